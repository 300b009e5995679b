"""Baselines that bound the figures of models: no change at all, and a swap without a generator.

- `copy` returns the target unchanged: the best possible pose, expression, gaze and realism, and the worst identity.
- `paste` warps the source's face onto the target's by the triangles of the mesh, matches its colours, and blends it in,
  similar to FaceSwap of FaceForensics++ (Rössler et al. 2019), which uses a 3D model. The warp reproduces the target's
  pose and the position of its eyelids and lips, but not the eyeballs and the inside of the mouth.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.landmarks import point_groups, triangles
from hififace.faces.masks import match_colour, region_mask
from hififace.types import FloatArray, RGBImage

FEATHER_SHARE: Final = 0.08
"""Width of the mask's soft edge and its distance inside the outline, in face widths."""

_REACH: Final = 0.5
"""Maximum distance of a pixel's centre outside its triangle, in barycentric coordinates."""


def copy_target(target: RGBImage) -> tuple[RGBImage, FloatArray]:
    """The target itself, and an empty mask (H, W)."""
    return target, np.zeros(target.shape[:2], np.float32)


def paste_source(
    source: RGBImage, source_mesh: NDArray[np.floating], target: RGBImage, target_mesh: NDArray[np.floating]
) -> tuple[RGBImage, FloatArray]:
    """The source's face on the target's, and the mask (H, W) through which it was blended.

    Args:
        source: (h, w, 3).
        source_mesh: (468, 3) in its pixels.
        target: (H, W, 3).
        target_mesh: (468, 3) in its pixels.
    """
    warped, covered = warp_by_triangles(source, source_mesh, target_mesh, target.shape[:2])
    width = float(np.ptp(np.asarray(target_mesh)[:, 0]))
    edge = FEATHER_SHARE * width
    size = (target.shape[0], target.shape[1])
    inside = region_mask(target_mesh, size, dilate_px=-edge, feather_px=2 * edge)
    # The region extends above the mesh onto the forehead, where nothing was warped.
    reached = cv2.distanceTransform(np.pad(covered.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    mask = np.minimum(inside, np.clip(reached / max(2 * edge, 1.0), 0.0, 1.0)).astype(np.float32)
    matched = match_colour(warped, target, mask)
    mixed = target + mask[..., None] * (matched.astype(np.float32) - target)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), mask


def warp_by_triangles(
    image: RGBImage,
    mesh: NDArray[np.floating],
    onto: NDArray[np.floating],
    size_hw: tuple[int, ...],
) -> tuple[RGBImage, NDArray[np.bool_]]:
    """Warps a face to other mesh points: each triangle by an affine transform, the farthest ones first.

    Args:
        image: (h, w, 3).
        mesh: (468, 3) in its pixels.
        onto: (468, 3) new points; their z decides which triangle is in front.
        size_hw: of the output image.

    Returns:
        (H, W, 3), black where nothing was drawn, and (H, W) True where something was drawn.
    """
    height, width = int(size_hw[0]), int(size_hw[1])
    holes, surface = np.concatenate(_filled_holes()), triangles()
    corners = np.concatenate([holes, surface])
    goal = np.asarray(onto, np.float64)
    # Fan triangles in the holes are very thin; the surface is drawn over their edges.
    far_first = np.argsort(-goal[surface, 2].mean(axis=1), kind="stable")
    order = [*range(len(holes)), *(len(holes) + far_first)]
    owner = np.full((height, width), -1, np.int32)
    for number in order:
        outline = np.rint(goal[corners[number], :2] * 16).astype(np.int32)
        cv2.fillConvexPoly(owner, outline, int(number), shift=4)
    drawn = owner >= 0
    rows, columns = np.nonzero(drawn)
    chosen = corners[owner[drawn]]
    # Barycentric coordinates of every drawn pixel in its triangle, then the same mixture of the source's corners.
    a, b, c = (goal[chosen[:, i], :2] for i in range(3))
    pixel = np.column_stack([columns, rows]) - a
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    v = (pixel[:, 0] * ac[:, 1] - pixel[:, 1] * ac[:, 0]) / area
    w = (ab[:, 0] * pixel[:, 1] - ab[:, 1] * pixel[:, 0]) / area
    start = np.asarray(mesh, np.float64)[:, :2]
    shares = np.column_stack([1 - v - w, v, w])
    # A pixel is drawn where a triangle touches it, so its centre may lie outside: slightly for most triangles, by many
    # triangle widths for very thin ones. Beyond `_REACH` the pixel gets the displacement of the nearest corner.
    places = np.einsum("nc,ncd->nd", shares, start[chosen])
    off = goal[chosen, :2] - np.column_stack([columns, rows])[:, None]
    near = np.take_along_axis(chosen, np.square(off).sum(axis=2).argmin(axis=1)[:, None], axis=1)[:, 0]
    moved = np.column_stack([columns, rows]) + start[near] - goal[near, :2]
    places = np.where((shares.min(axis=1) < -_REACH)[:, None], moved, places)
    maps = np.full((2, height, width), -1.0, np.float32)
    maps[0][drawn], maps[1][drawn] = places[:, 0], places[:, 1]
    border = cv2.BORDER_REPLICATE
    warped = cv2.remap(image, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=border).astype(np.uint8)
    warped[~drawn] = 0
    return warped, drawn


def _filled_holes() -> list[NDArray[np.int64]]:
    """Fans of triangles that close the holes of the mesh at the eyes and the mouth."""
    groups = point_groups()
    holes = [groups["image_left_eye"], groups["image_right_eye"], groups["lips_inner"]]
    return [np.array([(hole[0], a, b) for a, b in pairwise(hole[1:])]) for hole in holes]
