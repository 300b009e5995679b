"""Putting generated faces back into the planes of a video's frame: no RGB of the whole frame on the way.

The formula is that of `faces/blending.py`. With Δ = crop − base, k the gate and M the matrix from RGB to the numbers of
the planes (o its offset),

    new = (1 − up(k)) · plane + up(M · (Δ + k · base) + k · o),

since M is linear: each plane is resampled at its own resolution. Two things are simpler than in images. Where
0 < mask < 1, brightness is mixed in light as a power of 2 of the level, not 2.2 (a root instead of two tables; where
levels of 50 and 200 meet it gives 146, exact light 150 and a mix of levels 125), and colour differences as they are.
And where a crop grows, it is doubled by cubic interpolation first and then resampled by linear, which costs half of
cubic resampling and looks the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.alignment import compose, invert, matrix_scale
from hififace.faces.blending import affected_rectangle, change_layers
from hififace.faces.shape_warp import PlaneMap, ShapeWarp, plane_map, warp_plane
from hififace.media.planes import Box, Plane, bit_depth, plane_steps, planes_of
from hififace.media.video_colour import ColourFacts, plane_matrix
from hififace.swap.generate import enlarging
from hififace.types import FloatArray, Matrix23, RGBImage

WHOLE: Final = 0.9999
"""From here on the crop is taken as a whole: no level is another for it."""

MARGIN_PX: Final = 16
"""So much of the crop beyond the mask is resampled with it: more than its gate, its doubling and interpolation read."""

STRIP_SAMPLES: Final = 1 << 14
"""So many samples of a plane are mixed at a time."""

LEAST_SHRINK: Final = 0.6
"""Layers that shrink further are halved by averaging first."""


class Patch(NamedTuple):
    """One generated face, ready to be put back."""

    crop: NDArray[np.uint8] | FloatArray
    """(S, S, 3) uint8, or float 0..1."""
    base: RGBImage
    """(S, S, 3) the target's own pixels in the crop."""
    mask: FloatArray
    """(R, R) 0..1, of the same square as the crop."""
    matrix: Matrix23
    """Image pixels to pixels of `crop`."""
    gain: float = 1.0
    """By how much the target would have to be brighter to be in ordinary light."""


def paste_into(
    frame: av.VideoFrame, patches: Sequence[Patch], facts: ColourFacts, *, detail: float = 0.0
) -> Box | None:
    """Put faces into a frame, whose planes change.

    Args:
        frame: upright, planar, with planes of its own.
        patches: in the order in which they are put back.
        facts: what the frame's numbers mean.
        detail: share of the target's fine texture that is kept, 0 to 1.

    Returns:
        The rectangle that could have changed, in pixels; None where no face reaches the image.
    """
    boxes = [box for patch in patches if (box := _paste(frame, patch, facts, detail)) is not None]
    if not boxes:
        return None
    low, high = np.array(boxes)[:, :2].min(axis=0), np.array(boxes)[:, 2:].max(axis=0)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def warp_planes(frame: av.VideoFrame, warps: Sequence[ShapeWarp | None]) -> None:
    """Warp a frame as its image was warped before its faces were generated; every plane, so that transparency follows.

    Args:
        frame: upright, planar, with planes of its own, which change.
        warps: one after the other.
    """
    top = (1 << bit_depth(frame.format.name)) - 1
    for one in warps:
        if one is None:
            continue
        maps: dict[tuple[int, ...], PlaneMap | None] = {}  # planes of one size share theirs
        for plane in planes_of(frame):
            step = plane_steps(frame, plane)
            key = (*plane.shape, *step)
            if key not in maps:
                maps[key] = plane_map(plane.shape, one, step)
            if (how := maps[key]) is None:
                continue
            warp_plane(plane, how)
            # Cubic interpolation overshoots at edges, and 10 bits lie in words of 16.
            if top < np.iinfo(plane.dtype).max:
                np.minimum(plane, top, out=plane)


def _paste(frame: av.VideoFrame, patch: Patch, facts: ColourFacts, detail: float) -> Box | None:
    side = patch.crop.shape[0]
    # The mask's own pixels may be larger: its matrix is the crop's, scaled.
    to_mask = compose(patch.matrix, enlarging(patch.mask.shape[0] / side))
    box = affected_rectangle(patch.mask, to_mask, (frame.height, frame.width))
    if box is None:
        return None
    x0, y0, x1, y1 = _reach(patch.mask, side)
    layers = change_layers(patch.crop[y0:y1, x0:x1], patch.base[y0:y1, x0:x1], detail=detail, gain=patch.gain)
    to_layers = compose(patch.matrix, np.array([[1.0, 0.0, -x0], [0.0, 1.0, -y0]]))
    bits = bit_depth(frame.format.name)
    numbers = plane_matrix(facts, bits, frame.format.name)
    planes = planes_of(frame)[: len(numbers)]
    # Rows: numbers of the planes, then k itself, on which the offset hangs.
    mixed = cv2.transform(layers, np.vstack([numbers, [[0.0, 0.0, 0.0, 1.0]]]).astype(np.float32))
    channels = [np.asarray(channel, np.float32) for channel in cv2.split(mixed)]
    steps = [plane_steps(frame, plane) for plane in planes]
    is_light = [facts.is_rgb or place == 0 for place in range(len(planes))]
    black = 0 if facts.is_full else 16 << (bits - 8)
    top = (1 << bits) - 1
    for step in dict.fromkeys(steps):
        places = [place for place, one in enumerate(steps) if one == step]
        height, width = planes[places[0]].shape
        x0, y0 = box[0] // step[0], box[1] // step[1]
        size = (min(-(-box[2] // step[0]), width) - x0, min(-(-box[3] // step[1]), height) - y0)
        alpha = np.clip(_resampled(patch.mask, to_mask, step, (x0, y0), size, edge=False), 0.0, 1.0)
        # One channel at a time: OpenCV resamples two or three together at a third of the speed.
        kept = _resampled(channels[-1], to_layers, step, (x0, y0), size)
        for place in places:
            added = _resampled(channels[place], to_layers, step, (x0, y0), size)
            view = planes[place][y0 : y0 + size[1], x0 : x0 + size[0]]
            _mix(view, added, kept, alpha, black if is_light[place] else None, top)
    return box


def _reach(mask: FloatArray, side: int) -> Box:
    """x0, y0, x1, y1 of what of a crop of that side is resampled, in multiples of `MARGIN_PX` where the crop allows it.

    Args:
        mask: (R, R) of the same square, nought not everywhere.
        side: of the crop.
    """
    scale = side / mask.shape[0]

    def ends(axis: int) -> tuple[int, int]:
        where = np.flatnonzero(mask.any(axis=axis))
        low = int(where[0] * scale) // MARGIN_PX - 1
        high = -(-int(np.ceil((where[-1] + 1) * scale)) // MARGIN_PX) + 1
        return max(low * MARGIN_PX, 0), min(high * MARGIN_PX, side)

    (x0, x1), (y0, y1) = ends(0), ends(1)
    return x0, y0, x1, y1


def _mix(
    view: Plane,
    added: NDArray[np.floating],
    kept: NDArray[np.floating],
    alpha: FloatArray,
    black: int | None,
    top: int,
) -> None:
    """Write a plane's part (h, w): itself where alpha is 0, what is new where it is 1.

    Args:
        view: (h, w) of the plane.
        added: (h, w) what is added.
        kept: (h, w) k.
        alpha: (h, w) 0..1.
        black: level of black of a plane that holds light; None: it holds colour differences.
        top: its highest level.
    """
    # In strips that fit the processor's cache.
    rows = max(STRIP_SAMPLES // max(view.shape[1], 1), 1)
    for first in range(0, view.shape[0], rows):
        strip = np.s_[first : first + rows]
        share = alpha[strip]
        old = view[strip].astype(np.float32)
        new = (1.0 - kept[strip]) * old
        new += added[strip]
        np.clip(new, 0.0, top, out=new)
        if share.min() < WHOLE:
            new = _mixed(old, new, share, black)
        np.copyto(view[strip], np.rint(new, out=new).astype(view.dtype), where=share > 0.0)


def _mixed(old: FloatArray, new: FloatArray, alpha: FloatArray, black: int | None) -> FloatArray:
    """(h, w) both, in light or in colour differences."""
    change = new - old
    change *= alpha
    change += old
    if black is None:
        return change
    # Squares are exact up to 12 bits, so that an unchanged level comes back as it was.
    old_light, new_light = (np.square(np.maximum(one - black, 0.0)) for one in (old, new))
    new_light -= old_light
    new_light *= alpha
    new_light += old_light
    mixed: FloatArray = np.sqrt(new_light, out=new_light)
    mixed += black
    # Below black there is no light: such levels are mixed as they are.
    np.copyto(mixed, change, where=(old < black) | (new < black))
    return mixed


def _resampled(
    layer: NDArray[np.floating],
    matrix: Matrix23,
    step: tuple[int, int],
    corner: tuple[int, int],
    size: tuple[int, int],
    *,
    edge: bool = True,
) -> FloatArray:
    """A layer of a crop in the pixels of a part of a plane.

    Args:
        layer: (H, W).
        matrix: image pixels to its own.
        step: how many pixels of the image one sample of the plane spans, across and down.
        corner: x and y of the part, in samples of the plane.
        size: width and height of the part.
        edge: beyond the layer its edge goes on, and it is doubled where it grows; else there is nothing beyond.
    """
    back = invert(matrix)
    scale = matrix_scale(back) / float(np.sqrt(step[0] * step[1]))
    factor = 1.0
    if scale > 1.0 and edge:
        factor = 2.0
        layer = np.asarray(cv2.resize(layer, None, fx=2.0, fy=2.0, interpolation=cv2.INTER_CUBIC), np.float32)
    while scale * (1.0 / factor) < LEAST_SHRINK and layer.shape[0] % 2 == layer.shape[1] % 2 == 0:
        factor /= 2.0
        half = (layer.shape[1] // 2, layer.shape[0] // 2)
        layer = np.asarray(cv2.resize(layer, half, interpolation=cv2.INTER_AREA), np.float32)
    # A sample of a plane lies in the middle of the pixels that it spans.
    to_plane = np.array(
        [
            [1.0 / step[0], 0.0, (0.5 / step[0] - 0.5) - corner[0]],
            [0.0, 1.0 / step[1], (0.5 / step[1] - 0.5) - corner[1]],
        ]
    )
    there = compose(compose(enlarging(1.0 / factor), back), to_plane)
    border = cv2.BORDER_REPLICATE if edge else cv2.BORDER_CONSTANT
    return np.asarray(
        cv2.warpAffine(layer, there, size, flags=cv2.INTER_LINEAR, borderMode=border), np.float32
    )
