"""Putting a swapped crop back into its image.

What is pasted, and why. Let base be the target's own crop (the image, resampled to crop pixels), Δ = crop − base,
up(·) the way back to image pixels, and R = image − up(base) the detail of the image that is finer than the crop.

- Pasting up(crop) alone resamples everything under the mask, also what the network left as it was; an unchanged crop
  would come back blurred.
- Adding up(Δ) alone leaves unchanged pixels exactly as they were, but keeps R everywhere: in a large photograph the
  target's pores, wrinkles and moles would lie on the new face, with ghosts of the target's eyelids and lips.

So R is kept where the crop is unchanged and dropped where it is changed: a gate g, 0 where |Δ| is nought within a few
pixels and 1 from about three levels on. With k = (1 − share) · g,

    new = (1 − up(k)) · image + up(Δ + k · base),

which is up(crop) where the face was changed and the image itself, bit for bit, where it was not. What is resampled is
weighted by k beforehand, as colours are by their coverage: the ripples that cubic interpolation draws beside an edge of
k then cancel. `detail` above 0 gives back a share of R where it is texture: the grain of video and skin, without
which a generated face is smoother than its neck. Beside an edge of the target (eyelid, lip, rim of glasses) R is what
the edge left over, and stays dropped: there base has contrast c within a few pixels, and the share falls as
1 / (1 + (c / c0)²).

Where 0 < mask < 1 the two are mixed in linear light, as a lens mixes light at an edge: between a bright cheek and dark
hair a mix of the encoded values would be too dark, a grey rim.
"""

from __future__ import annotations

from functools import reduce

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.alignment import Border, compose, invert, transform_points, warp
from hififace.pixels import linear_to_srgb, srgb_to_linear
from hififace.types import FloatArray, Matrix23, RGBImage

CHANGED_LEVELS = 3.0
"""A change of so many levels of 255, averaged over `GATE_PX`, counts as a full change."""

GATE_PX = 5

TEXTURE_LEVELS = 12.0
"""Contrast (standard deviation over `GATE_PX`) at which half of the target's fine detail is taken for an edge's. In
crops of 128 px cheeks have 6 to 11, eyelids 24 to 54 (the two portraits of `examples/`)."""

STRIP_PIXELS = 1 << 15
"""So many are put back at a time."""

_LIGHT = srgb_to_linear(np.arange(256, dtype=np.float32) / np.float32(255.0))
"""Linear light of each level."""


def paste_back(
    image: RGBImage,
    crop: NDArray[np.uint8] | FloatArray,
    mask: NDArray[np.floating],
    matrix: Matrix23,
    *,
    detail: float = 0.0,
    border: Border = "black",
    gain: float = 1.0,
    base: RGBImage | None = None,
) -> RGBImage:
    """Put a swapped crop back into the image that it was cut from.

    Args:
        image: (H, W, 3) the target's image.
        crop: (S, S, 3) the swapped crop, uint8 or float 0..1.
        mask: (S, S), 0 to 1: how much of the crop is taken. Where it does not end before the border of the crop, that
            border shows; `masks.border_fade` sees to it.
        matrix: image pixels to crop pixels, as `align` gave it (times S over the aligned size, where the network
            enlarges).
        detail: share of the target's texture finer than the crop that is kept on the new face, 0 to 1.
        border: as the crop was aligned with.
        gain: by how much the face would have to be brighter to be in ordinary light (`exposure.py`): the levels of
            change and texture are meant for that.
        base: (S, S, 3) the image in crop pixels, for callers that have it.

    Returns:
        A new image. Outside the rectangle that the mask reaches, and wherever the crop equals the target's own, every
        pixel is the image's.
    """
    size = crop.shape[0]
    if crop.shape != (size, size, 3) or mask.shape != (size, size):
        raise ValueError(f"expected a square crop and a mask of its size, got {crop.shape} and {mask.shape}")
    result = image.copy()
    weight = np.clip(mask, 0.0, 1.0).astype(np.float32)
    rectangle = affected_rectangle(weight, matrix, image.shape[:2])
    if rectangle is None:
        return result
    if base is None:
        base = np.asarray(warp(image, matrix, size, border=border), np.uint8)
    layers = change_layers(crop, base, detail=detail, gain=gain)

    x0, y0, x1, y1 = rectangle
    # In strips that fit the processor's cache: faster, and memory does not grow with the face.
    step = max(STRIP_PIXELS // (x1 - x0), 1)
    for top in range(y0, y1, step):
        bottom = min(top + step, y1)
        back = compose(invert(matrix), np.array([[1.0, 0.0, -x0], [0.0, 1.0, -top]]))
        there = (x1 - x0, bottom - top)
        alpha = np.clip(warp(weight, back, there, border="black"), 0.0, 1.0)
        reached = np.flatnonzero(alpha.max(axis=0))
        if not len(reached):
            continue
        low, high = int(reached[0]), int(reached[-1]) + 1
        back[0, 2] -= low
        part = image[top:bottom, x0 + low : x0 + high]
        new = warp(layers, back, (high - low, bottom - top), border="edge")
        result[top:bottom, x0 + low : x0 + high] = _mix(part, new, alpha[:, low:high])
    return result


def change_layers(
    crop: NDArray[np.uint8] | FloatArray, base: RGBImage, *, detail: float = 0.0, gain: float = 1.0
) -> FloatArray:
    """What is put back: Δ + k · base and k.

    Args:
        crop: (S, S, 3) the swapped crop, uint8 or float 0..1.
        base: (S, S, 3) the target in its pixels.
        detail: as in `paste_back`.
        gain: likewise.

    Returns:
        (S, S, 4) float32, the first three in levels.
    """
    new = np.asarray(crop, np.float32) * np.float32(1.0 if crop.dtype == np.uint8 else 255.0)
    old = base.astype(np.float32)
    change = new - old
    # Channel by channel: numpy's reductions along an axis of three are ten times as slow.
    largest = reduce(np.maximum, cv2.split(np.abs(change)))
    gate = cv2.blur(largest, (GATE_PX, GATE_PX)) * np.float32(gain / CHANGED_LEVELS)
    kept = np.clip(gate, 0.0, 1.0)
    if detail > 0.0:
        kept *= 1.0 - np.float32(detail) * _texture(old * np.float32(gain))
    added = change + cv2.multiply(old, np.asarray(cv2.merge([kept, kept, kept]), np.float32))
    return np.asarray(cv2.merge([*cv2.split(added), kept]), np.float32)


def affected_rectangle(
    mask: NDArray[np.floating], matrix: Matrix23, size_hw: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """x0, y0, x1, y1 of the image's pixels that the mask can reach; None where it reaches none.

    Args:
        mask: (S, S) in crop pixels.
        matrix: image pixels to crop pixels.
        size_hw: height and width of the image.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    # Interpolation reaches two crop pixels further, and at least two image pixels.
    low_x, high_x = columns[0] - 2.0, columns[-1] + 2.0
    low_y, high_y = rows[0] - 2.0, rows[-1] + 2.0
    corners = transform_points(
        invert(matrix), [(low_x, low_y), (high_x, low_y), (high_x, high_y), (low_x, high_y)]
    )
    height, width = size_hw
    x0, y0 = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 2, 0)
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 3, (width, height))
    return None if x0 >= x1 or y0 >= y1 else (int(x0), int(y0), int(x1), int(y1))


def _texture(base: FloatArray) -> FloatArray:
    """(S, S) 1 where a crop is even but for its texture, toward 0 beside edges.

    Args:
        base: (S, S, 3) levels, 0 to 255.
    """
    luma = cv2.cvtColor(base, cv2.COLOR_RGB2GRAY)
    variance = cv2.blur(luma * luma, (GATE_PX, GATE_PX)) - cv2.blur(luma, (GATE_PX, GATE_PX)) ** 2
    share: FloatArray = 1.0 / (1.0 + np.maximum(variance, 0.0) / np.float32(TEXTURE_LEVELS**2))
    return share


def _mix(part: RGBImage, layers: FloatArray, alpha: FloatArray) -> RGBImage:
    """(h, w, 3) of `part` where alpha is 0, what is new where it is 1, and both in linear light in between.

    Args:
        part: (h, w, 3) of the image.
        layers: (h, w, 4) up(Δ + k · base) and up(k).
        alpha: (h, w), 0 to 1.
    """
    # Whole arrays of one shape and type: broadcasting along an axis of three costs numpy three times as much.
    left = np.asarray(cv2.cvtColor(1.0 - cv2.extractChannel(layers, 3), cv2.COLOR_GRAY2RGB), np.float32)
    change = np.asarray(cv2.cvtColor(layers, cv2.COLOR_RGBA2RGB), np.float32)
    new: FloatArray = np.clip(left * part.astype(np.float32) + change, 0.0, 255.0)
    rows, columns = np.nonzero((alpha > 0.0) & (alpha < 1.0))
    a, old = alpha[rows, columns, None], part[rows, columns]
    light = (1.0 - a) * _LIGHT[old] + a * srgb_to_linear(new[rows, columns] / 255.0)
    new[rows, columns] = linear_to_srgb(light) * 255.0
    mixed: RGBImage = np.rint(new).astype(np.uint8)
    cv2.copyTo(part, (alpha <= 0.0).astype(np.uint8), mixed)
    return mixed
