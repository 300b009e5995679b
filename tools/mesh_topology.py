"""The topology of the face mesh: named groups of points, triangles, and which point is which in a mirror.

All of it follows from the lists of connections in the MediaPipe package: its tesselation is listed triangle
by triangle, each group as the edges of its outline. The mirror permutation is grown from
the top of the forehead (point 10), which is its own mirror image, triangle by triangle. It agrees point for
point with
the nearest neighbours of the mirrored mean face, although the triangulation itself is not symmetric
everywhere: 22 of its 852 triangles, around the nostrils and the outer eye corners, have no counterpart.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict

MEMBER = "mediapipe/python/solutions/face_mesh_connections.py"
NUM_POINTS = 468

NOSE_RIDGE = [168, 6, 197, 195, 5, 4, 1, 19, 94, 2]
"""From between the eyes over the tip to the upper lip."""

Edge = tuple[int, int]
Triangle = tuple[int, int, int]


def _read_edges(source: str, name: str) -> list[Edge]:
    """The pairs of one list of the package's module, in order."""
    found = re.search(rf"FACEMESH_{name} = frozenset\(\[(.*?)\]\)", source, re.DOTALL)
    if found is None:
        raise SystemExit(f"the package lists no FACEMESH_{name}")
    return [(int(a), int(b)) for a, b in re.findall(r"\((\d+),\s*(\d+)\)", found.group(1))]


def _walk(edges: list[Edge], start: int, then: int | None = None) -> list[int]:
    """Points along the outline from `start` (by way of `then`), each once."""
    neighbours = defaultdict(list)
    for a, b in edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    path = [start, neighbours[start][0] if then is None else then]
    while True:
        onward = [p for p in neighbours[path[-1]] if p not in path]
        if not onward:
            return path
        path.append(onward[0])


def _read_triangles(source: str) -> list[Triangle]:
    """The tesselation's triples of edges a-b, b-c, c-a as triangles (a, b, c)."""
    edges = _read_edges(source, "TESSELATION")
    triangles = []
    for place in range(0, len(edges), 3):
        (a, b), (b2, c), (c2, a2) = edges[place : place + 3]
        if (a, b, c) != (a2, b2, c2):
            raise SystemExit(f"edges {place} to {place + 2} of the tesselation are no triangle")
        triangles.append((a, b, c))
    return triangles


def _mirror(triangles: list[Triangle]) -> list[int]:
    """Point i of a face is point mirror[i] of its mirror image: grown from the forehead, by triangles."""
    across: dict[frozenset[int], list[Triangle]] = defaultdict(list)
    for a, b, c in triangles:
        for edge in ((a, b), (b, c), (c, a)):
            across[frozenset(edge)].append((a, b, c))
    images = {10: 10, 338: 109, 109: 338}
    waiting = [(10, 338), (10, 109)]
    seen: set[frozenset[int]] = set()
    while waiting:
        edge = waiting.pop(0)
        if frozenset(edge) in seen:
            continue
        seen.add(frozenset(edge))
        here = {p for t in across[frozenset(edge)] for p in t} - set(edge)
        there = {p for t in across[frozenset(images[p] for p in edge)] for p in t}
        there -= {images[p] for p in edge}
        unknown = [p for p in here if p not in images]
        free = [p for p in there if p not in images.values()]
        if len(unknown) == 1 and len(free) == 1:
            images[unknown[0]] = free[0]
        for third in here & images.keys():
            waiting += [(edge[0], third), (edge[1], third)]
    mirror = [images.get(p, -1) for p in range(NUM_POINTS)]
    if any(p < 0 or mirror[p] != q for q, p in enumerate(mirror)):
        raise SystemExit("the tesselation is too asymmetric: no mirror permutation was found")
    return mirror


def _fill(outline: list[int]) -> list[Triangle]:
    """Triangles that close an opening, between its two long sides, from corner to corner."""
    count = len(outline)
    triangles = []
    for step in range(1, count // 2):
        a, b = outline[step], outline[-step]
        before_a, before_b = outline[step - 1], outline[-step + 1] if step > 1 else outline[0]
        triangles.append((before_a, a, b))
        if step > 1:
            triangles.append((before_a, b, before_b))
    triangles.append((outline[count // 2 - 1], outline[count // 2], outline[count // 2 + 1]))
    return triangles


def build(content: bytes) -> bytes:
    """The topology as JSON.

    Args:
        content: the package's module of connections.

    Returns:
        UTF-8 JSON with `groups` (name to ordered indices; image_left is the viewer's left, which the package
        calls RIGHT), `triangles` (852, eyes and mouth open), `openings` (46 more that close them) and
        `mirror` (468).
    """
    source = content.decode()
    lips = _read_edges(source, "LIPS")
    nose = _read_edges(source, "NOSE")
    groups = {
        "face_oval": _walk(_read_edges(source, "FACE_OVAL"), 10, 338),
        "lips_outer": _walk(lips, 61, 185),
        "lips_inner": _walk(lips, 78, 191),
        "image_left_eye": _walk(_read_edges(source, "RIGHT_EYE"), 33, 246),
        "image_right_eye": _walk(_read_edges(source, "LEFT_EYE"), 362, 398),
        "nose_ridge": NOSE_RIDGE,
        "nose_outline": _walk([e for e in nose if not set(e) <= set(NOSE_RIDGE)], 4, 45),
    }
    for name, side, upper, lower in (
        ("image_left_brow", "RIGHT_EYEBROW", 70, 46),
        ("image_right_brow", "LEFT_EYEBROW", 336, 285),
    ):
        edges = _read_edges(source, side)
        groups[name] = _walk(edges, upper) + _walk(edges, lower)[::-1]
    triangles = _read_triangles(source)
    opened = ("lips_inner", "image_left_eye", "image_right_eye")
    openings = [triangle for name in opened for triangle in _fill(groups[name])]
    topology = {
        "groups": groups,
        "triangles": triangles,
        "openings": openings,
        "mirror": _mirror(triangles),
    }
    return (json.dumps(topology, separators=(",", ":")) + "\n").encode()
