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
from hififace.media.planes import Box, Plane, bit_depth, plane_steps, planes_of
from hififace.media.video_colour import ColourFacts, plane_matrix
from hififace.swap.generate import enlarging
from hififace.types import FloatArray, Matrix23, RGBImage

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


def _paste(frame: av.VideoFrame, patch: Patch, facts: ColourFacts, detail: float) -> Box | None:
    side = patch.crop.shape[0]
    # The mask's own pixels may be larger: its matrix is the crop's, scaled.
    to_mask = compose(patch.matrix, enlarging(patch.mask.shape[0] / side))
    box = affected_rectangle(patch.mask, to_mask, (frame.height, frame.width))
    if box is None:
        return None
    layers = change_layers(patch.crop, patch.base, detail=detail, gain=patch.gain)
    bits = bit_depth(frame.format.name)
    numbers = plane_matrix(facts, bits, frame.format.name)
    planes = planes_of(frame)[: len(numbers)]
    # Rows: numbers of the planes, then k itself, on which the offset hangs.
    mixed = cv2.transform(layers, np.vstack([numbers, [[0.0, 0.0, 0.0, 1.0]]]).astype(np.float32))
    channels = list(cv2.split(mixed))
    steps = [plane_steps(frame, plane) for plane in planes]
    is_light = [facts.is_rgb or place == 0 for place in range(len(planes))]
    black = 0 if facts.is_full else 16 << (bits - 8)
    top = (1 << bits) - 1
    alphas: dict[tuple[int, int], FloatArray] = {}
    for place, (plane, step) in enumerate(zip(planes, steps, strict=True)):
        x0, y0 = box[0] // step[0], box[1] // step[1]
        x1, y1 = -(-box[2] // step[0]), -(-box[3] // step[1])
        size = (min(x1, plane.shape[1]) - x0, min(y1, plane.shape[0]) - y0)
        if step not in alphas:
            alphas[step] = np.clip(
                _resampled(patch.mask, to_mask, step, (x0, y0), size, edge=False), 0.0, 1.0
            )
        pair = _resampled(
            np.asarray(cv2.merge([channels[place], channels[-1]])), patch.matrix, step, (x0, y0), size
        )
        view = plane[y0 : y0 + size[1], x0 : x0 + size[0]]
        _mix(view, pair, alphas[step], black if is_light[place] else None, top)
    return box


def _mix(view: Plane, pair: FloatArray, alpha: FloatArray, black: int | None, top: int) -> None:
    """Write a plane's part (h, w): itself where alpha is 0, what is new where it is 1.

    Args:
        view: (h, w) of the plane.
        pair: (h, w, 2) what is added, and k.
        alpha: (h, w) 0..1.
        black: level of black of a plane that holds light; None: it holds colour differences.
        top: its highest level.
    """
    added, kept = cv2.split(pair)
    old = view.astype(np.float32)
    new = np.clip((1.0 - kept) * old + added, 0.0, top)
    if black is None:
        mixed = old + alpha * (new - old)
    else:
        # Squares are exact up to 12 bits, so that an unchanged level comes back as it was.
        old_light, new_light = (np.square(np.maximum(one - black, 0.0)) for one in (old, new))
        mixed = np.sqrt(old_light + alpha * (new_light - old_light)) + black
        # Below black there is no light: such levels are mixed as they are.
        mixed = np.where((old < black) | (new < black), old + alpha * (new - old), mixed)
    np.copyto(view, np.rint(mixed).astype(view.dtype), where=alpha > 0.0)


def _resampled(
    layers: NDArray[np.floating],
    matrix: Matrix23,
    step: tuple[int, int],
    corner: tuple[int, int],
    size: tuple[int, int],
    *,
    edge: bool = True,
) -> FloatArray:
    """Layers of a crop in the pixels of a part of a plane.

    Args:
        layers: (S, S[, C]).
        matrix: image pixels to crop pixels.
        step: how many pixels of the image one sample of the plane spans, across and down.
        corner: x and y of the part, in samples of the plane.
        size: width and height of the part.
        edge: beyond the crop its edge goes on; else there is nothing.
    """
    back = invert(matrix)
    scale = matrix_scale(back) / float(np.sqrt(step[0] * step[1]))
    factor = 1.0
    if scale > 1.0 and layers.ndim == 3:
        factor = 2.0
        layers = np.asarray(
            cv2.resize(layers, None, fx=2.0, fy=2.0, interpolation=cv2.INTER_CUBIC), np.float32
        )
    while scale * (1.0 / factor) < LEAST_SHRINK and layers.shape[0] % 2 == 0:
        factor /= 2.0
        half = (layers.shape[1] // 2, layers.shape[0] // 2)
        layers = np.asarray(cv2.resize(layers, half, interpolation=cv2.INTER_AREA), np.float32)
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
        cv2.warpAffine(layers, there, size, flags=cv2.INTER_LINEAR, borderMode=border), np.float32
    )
