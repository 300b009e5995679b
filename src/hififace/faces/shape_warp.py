"""Warping a target so that the shape of its face is the source's, before the generator sees it.

A generator that sees and fills one crop cannot move a jaw far: where the face becomes narrower it has to invent what
lay behind it, and where it becomes wider the crop's border and the blending mask hold it back. Brows, nose, eyes and
mouth it moves a part of the way. So the image itself is warped, as far as the shape model says that the two faces
differ, and the generator fills the inside.

With v(s) the landmarks of the target's pose and expression with shape s, laid upon each other by eye corners and nose,

    d_j = w_j · strength · (v(source's shape)_j − v(target's shape)_j)      for every landmark j of jaw and features,

and no movement of the forehead, of the middle of the cheeks, and of a ring around the face. Eyes and lips are moved and
stretched from side to side as a whole: how far they are open is the target's, although shape coefficients know a part
of it. Between these points the displacement is interpolated by radial basis functions with Wendland's compactly
supported C² kernel (Wendland 1995), so that it is smooth, and zero from a little beyond the ring on.

Letters: P = 468 mesh points, G nodes along each side of the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.alignment import estimate_similarity, transform_points
from hififace.faces.landmarks import point_groups
from hififace.faces.shape import MeshShapePrior
from hififace.types import FloatArray, RGBImage, ShapeCoefficients

JAW_STRENGTH: Final = 1.7
FEATURE_STRENGTH: Final = 1.2
"""Coefficients are posterior means, which fall short of what a face really is; the lab book has the figures."""

JAW: Final = (454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
              148, 176, 149, 150, 136, 172, 58, 132, 93, 234)  # fmt: skip
"""The outline from ear to ear, by way of the chin."""
_AT_THE_EAR: Final = (0.6, 0.8)
"""Weights of its first two points and its last two: ears hang on the head, not on the jaw."""
_RIGID: Final = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1)
"""Eye corners and the ridge of the nose."""
_CHEEKS: Final = (50, 280)
_FREE: Final = ("nose_ridge", "nose_outline", "image_left_brow", "image_right_brow")
_WHOLE: Final = (("lips_outer", "lips_inner"), ("image_left_eye",), ("image_right_eye",))
"""Groups of landmarks whose points move each by itself, and those that move together."""
_RING: Final = 1.45
"""Size of the ring that stays, over that of the outline."""
_REACH: Final = 0.9
"""Radius of the kernel, in widths of the face."""
_FARTHEST, _FARTHEST_INSIDE = 0.15, 0.06
"""No point of the jaw and of the features moves further, in widths of the face: nothing can fold."""
_SMOOTHING: Final = 1e-3
"""Added to the kernel's diagonal: points may be missed by so little, and close pairs cannot blow up the solution."""
_NODES: Final = 33
BOX_STEP: Final = 4
"""Sides of the grid lie on multiples of so many pixels, so that samples of subsampled planes lie on it as pixels do."""
_LEAST_PX: Final = 0.02
"""Nodes that move less count as still, so that fewer pixels are resampled."""
_TAPERED: Final = 4
"""Nodes at the border of the grid over which the displacement fades to nothing."""
_FULL_TURN_DEG, _NO_TURN_DEG = 35.0, 65.0
"""Beyond, what is seen of a turned face as its outline is not the mesh's, so the warp fades away."""


@dataclass(frozen=True, slots=True, eq=False)
class ShapeWarp:
    """A smooth displacement of a part of an image."""

    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 of the part, multiples of `BOX_STEP`; it may reach beyond the image."""
    field: FloatArray
    """(G, G, 2) by how many pixels what is shown there has moved, at nodes in the middle of equal cells of the box."""


def shape_warp(
    prior: MeshShapePrior,
    points: NDArray[np.floating],
    own: ShapeCoefficients,
    source_shape: FloatArray,
    *,
    rate: float = 1.0,
) -> ShapeWarp | None:
    """The warp that gives the shape of a source's face to a target.

    Args:
        prior: the shape model.
        points: (P, 3) landmarks of the target in its image.
        own: coefficients of the target, steadied where it is followed.
        source_shape: (K,) identity coefficients of the source.
        rate: share of the way, 0 to 1.

    Returns:
        None where nothing moves.
    """
    mesh = np.asarray(points, np.float64)
    turn_deg = float(np.abs(own.pose_deg[:2]).max())
    faded = np.clip((_NO_TURN_DEG - turn_deg) / (_NO_TURN_DEG - _FULL_TURN_DEG), 0.0, 1.0)
    share = rate * float(faded)
    before = prior.landmarks(own)[:, :2].astype(np.float64)
    after = prior.landmarks(replace(own, identity=np.asarray(source_shape)))[:, :2].astype(np.float64)
    rigid, jaw, still = list(_RIGID), list(JAW), _still_points()
    after = transform_points(estimate_similarity(after[rigid], before[rigid]), after)
    plane = mesh[:, :2]
    width = max(float(np.linalg.norm(plane[JAW[0]] - plane[JAW[-1]])), 0.7 * float(np.ptp(plane[:, 1])))
    outline = JAW_STRENGTH * share * _jaw_weights()[:, None] * (after - before)[jaw]
    features, inside = _features_moved(plane, FEATURE_STRENGTH * share * (after - before))
    if not max(np.abs(outline).max(), np.abs(inside).max()) > 0.05:  # pixels
        return None
    oval = list(point_groups()["face_oval"])
    ring = plane[oval].mean(axis=0) + _RING * (plane[oval] - plane[oval].mean(axis=0))
    places = np.concatenate([plane[jaw], plane[features], plane[still], ring])
    values = np.zeros_like(places)
    values[: len(jaw)] = _at_most(_FARTHEST * width, outline)
    values[len(jaw) : len(jaw) + len(features)] = _at_most(_FARTHEST_INSIDE * width, inside)
    # The displacement is looked up where things have moved to.
    centres = places + values
    system = _kernel(centres, centres, _REACH * width) + _SMOOTHING * np.eye(len(centres))
    weights = np.linalg.solve(system, values)
    low = np.floor((ring.min(axis=0) - 0.1 * width) / BOX_STEP).astype(int) * BOX_STEP
    high = np.ceil((ring.max(axis=0) + 0.1 * width) / BOX_STEP).astype(int) * BOX_STEP
    across, down = (
        low[axis] - 0.5 + (np.arange(_NODES) + 0.5) * (high[axis] - low[axis]) / _NODES for axis in (0, 1)
    )
    nodes = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    field = (_kernel(nodes, centres, _REACH * width) @ weights).reshape(_NODES, _NODES, 2) * _taper()
    return ShapeWarp((int(low[0]), int(low[1]), int(high[0]), int(high[1])), field.astype(np.float32))


def warped(image: RGBImage, warps: Sequence[ShapeWarp | None], *, sharp: bool = True) -> RGBImage:
    """An image (H, W, 3) after these warps, one after the other; the image itself where there are none.

    Args:
        image: not changed.
        warps: None moves nothing.
        sharp: cubic instead of linear interpolation, which takes five times as long.
    """
    result = image
    for one in warps:
        if one is not None and (how := plane_map(image.shape[:2], one)) is not None:
            result = image.copy() if result is image else result
            warp_plane(result, how, sharp=sharp)
    return result


class PlaneMap(NamedTuple):
    """Where a plane's samples are read under a warp."""

    part: tuple[slice, slice]
    """Rows and columns that are written."""
    read: tuple[slice, slice]
    """Rows and columns that are read."""
    places: FloatArray
    """(h, w, 2) x and y in what is read, for each sample that is written."""


def plane_map(shape: tuple[int, int], warp: ShapeWarp, step: tuple[int, int] = (1, 1)) -> PlaneMap | None:
    """The map of a plane (H, W) of an image that is `step` times as large; None where nothing of it moves.

    Args:
        shape: H and W.
        warp: in pixels of that image.
        step: pixels of the image for each sample of the plane, across and down; divisors of `BOX_STEP`.
    """
    columns, rows = (_touched(shape[1 - axis], warp, axis, step[axis]) for axis in (0, 1))
    if not len(columns) or not len(rows):
        return None
    # OpenCV remaps no image of 32,767 px and more, so that only what can be read is handed to it.
    reach = int(np.abs(warp.field).max()) + 3
    corner = max(columns[0] - reach, 0), max(rows[0] - reach, 0)
    # Where the nodes are, and what is shown there; between them linear, like the displacement.
    nodes = np.empty_like(warp.field)
    for axis in (0, 1):
        cell = (warp.box[axis + 2] - warp.box[axis]) / _NODES
        at = (warp.box[axis] + (np.arange(_NODES) + 0.5) * cell) / step[axis] - 0.5 - corner[axis]
        nodes[..., axis] = at[None, :] if axis == 0 else at[:, None]
        nodes[..., axis] -= warp.field[..., axis] / np.float32(step[axis])
    left, top, right, bottom = (edge // step[place % 2] for place, edge in enumerate(warp.box))
    size = right - left, bottom - top
    places = np.asarray(cv2.resize(nodes, size, interpolation=cv2.INTER_LINEAR), np.float32)
    return PlaneMap(
        np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1],
        np.s_[corner[1] : rows[-1] + 1 + reach, corner[0] : columns[-1] + 1 + reach],
        places[rows[0] - top : rows[-1] + 1 - top, columns[0] - left : columns[-1] + 1 - left],
    )


def warp_plane(plane: NDArray[Any], how: PlaneMap, *, sharp: bool = True) -> None:
    """Warp a plane in place.

    Args:
        plane: (H, W[, C]) of integers or floats.
        how: its map.
        sharp: cubic instead of linear interpolation, which takes five times as long.
    """
    read = plane[how.read]
    fast = not sharp and read.ndim == 3 and read.dtype == np.uint8  # with a fourth channel
    moved = cv2.remap(  # type: ignore[call-overload]  # the stubs want two maps, also where one has two channels
        cv2.cvtColor(read, cv2.COLOR_RGB2RGBA) if fast else read,
        how.places,
        None,
        cv2.INTER_CUBIC if sharp else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    plane[how.part] = cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB) if fast else moved


def _touched(side: int, warp: ShapeWarp, axis: int, step: int) -> range:
    """Places of a plane's samples, of `side` in all, that are moved at all along an axis of the image."""
    moving = np.abs(warp.field).max(axis=(axis, 2)) > _LEAST_PX
    nodes = np.flatnonzero(moving)
    if not len(nodes):
        return range(0)
    # From node to node: beyond the outermost ones nothing is interpolated.
    ends = np.clip([nodes[0] - 1, nodes[-1] + 1], 0, _NODES - 1)
    cell = (warp.box[axis + 2] - warp.box[axis]) / _NODES
    low, high = ((warp.box[axis] + (ends + 0.5) * cell) / step - 0.5).tolist()
    return range(max(int(np.ceil(low)), 0), min(int(np.floor(high)) + 1, side))


@cache
def _still_points() -> list[int]:
    """Places of the mesh points that do not move: the forehead and the middle of the cheeks."""
    return [*sorted(set(point_groups()["face_oval"]) - set(JAW)), *_CHEEKS]


def _features_moved(
    plane: NDArray[np.float64], differences: NDArray[np.float64]
) -> tuple[list[int], NDArray[np.float64]]:
    """Places of the features' mesh points (every other one is enough), and how far each moves, (N, 2)."""
    groups = point_groups()
    free = list(dict.fromkeys(place for name in _FREE for place in groups[name][::2]))
    moved = [differences[free]]
    side_to_side = plane[JAW[0]] - plane[JAW[-1]]
    side_to_side /= max(float(np.linalg.norm(side_to_side)), 1e-9)
    places = list(free)
    for names in _WHOLE:
        whole = [place for name in names for place in groups[name]]
        mean = differences[whole].mean(axis=0)
        along = (plane[whole] - plane[whole].mean(axis=0)) @ side_to_side
        stretch = along @ ((differences[whole] - mean) @ side_to_side) / max(float(along @ along), 1e-9)
        moved.append((mean + stretch * along[:, None] * side_to_side)[::2])
        places += whole[::2]
    return places, np.concatenate(moved)


def _at_most(length: float, moved: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors (N, 2), the longer ones shortened to this length."""
    shortened: NDArray[np.float64] = moved * np.minimum(
        1.0, length / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    )
    return shortened


@cache
def _jaw_weights() -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.ones(len(JAW))
    weights[: len(_AT_THE_EAR)] = _AT_THE_EAR
    weights[-len(_AT_THE_EAR) :] = _AT_THE_EAR[::-1]
    return weights


@cache
def _taper() -> NDArray[np.float64]:
    """(G, G, 1) one inside the grid, falling to nothing at its border."""
    place = np.arange(_NODES)
    along = np.minimum(np.minimum(place, place[::-1]) / _TAPERED, 1.0)
    taper: NDArray[np.float64] = np.minimum(along[:, None], along[None, :])[..., None]
    return taper


def _kernel(points: NDArray[np.float64], centres: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """(N, M) Wendland's φ(r) = (1 − r)⁴ (4 r + 1) of the distances over the radius; nothing beyond it."""
    # Squares by one product, in place, and in single precision: a tenth of the time of the distances themselves.
    a, b = ((one / radius).astype(np.float32) for one in (points, centres))
    r = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2.0 * (a @ b.T)
    np.sqrt(np.clip(r, 0.0, 1.0, out=r), out=r)
    near = (1.0 - r) ** 2
    kernel: NDArray[np.float64] = (near * near * (4.0 * r + 1.0)).astype(np.float64)
    return kernel
