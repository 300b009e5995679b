"""Which pixels of a crop are face: the region of the mesh, soft erosion, the fade at the border; and matched colour."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.landmarks import point_groups
from hififace.types import FloatArray, RGBImage

FOREHEAD_RISE = 0.18
"""How far the upper part of the oval is pushed beyond the mesh, in shares of its height above the eyes: the mesh ends
below the hairline, and a seam there, on bare skin, is the one that shows."""

CHIN = 152
"""The mesh's lowest point of the chin."""

FADE_SHARES = (1 / 8, 1 / 16)
"""How far a mask that reaches the border of its crop is faded, in sides of the crop: at the top, where bare forehead
goes on beyond the crop, and at the bottom, where a wide fade would let the target's chin shine through."""

FADE_LEVELS = (1 / 8, 3 / 8, 5 / 8, 7 / 8)
"""A mask touches the border to the share of these levels that it exceeds there, so that the fade grows smoothly where
in a video a face moves toward the border."""

FADE_SIDE_PX = 128

THIN_SHARE = 1 / 24
"""Over so many sides of the crop every mask is faded, however little of it touches."""

GREY_LEVELS, GREY_SHARE = 6, 0.02
"""Channels of a grey image lie so near to each other in all but 2 % of its pixels: the coding of a JPEG or of a video
adds a little colour. In a face in colour they lie 20 levels and more apart."""

MOMENTS_SIDE_PX = 128
"""Colours of larger crops are compared at this size."""

STD_RATIO = (0.7, 1.4)
"""Colour matching stretches contrast by no more than this, or noise would turn into blotches."""


def face_polygon(points: NDArray[np.floating]) -> FloatArray:
    """Outline of the face from the mesh, raised over the forehead.

    Args:
        points: (468, 2) or (468, 3) in pixels.

    Returns:
        (36, 2) corners in order.
    """
    groups = point_groups()
    flat = np.asarray(points, np.float64)[:, :2]
    oval = flat[list(groups["face_oval"])]
    left = flat[list(groups["image_left_eye"])].mean(axis=0)
    right = flat[list(groups["image_right_eye"])].mean(axis=0)
    across = right - left
    # Up is square to the eyes' line; in profile, where the eyes nearly meet, from the chin to the eyes.
    middle = (left + right) / 2
    up = middle - flat[CHIN] if np.linalg.norm(across) < 1e-3 else np.array([across[1], -across[0]])
    up = up / max(float(np.linalg.norm(up)), 1e-9)
    height = np.maximum((oval - middle) @ up, 0.0)
    raised: FloatArray = (oval + (FOREHEAD_RISE * height)[:, None] * up).astype(np.float32)
    return raised


def region_mask(
    points: NDArray[np.floating], size_hw: tuple[int, int], *, dilate_px: float, feather_px: float
) -> FloatArray:
    """The face region of an image or crop, for when no network gives a mask.

    Args:
        points: (468, 2) or (468, 3) mesh points in pixels of that image.
        size_hw: its height and width.
        dilate_px: how far the edge is moved outwards (inwards if negative).
        feather_px: width of the soft edge, which is 0.5 on the moved edge; 0 gives a hard one.

    Returns:
        (H, W) float32, 0 to 1.
    """
    height, width = size_hw
    inside = np.zeros((height, width), np.uint8)
    corners = np.rint(face_polygon(points) * 16).astype(np.int32)  # four binary digits behind the point
    cv2.fillPoly(inside, [corners], 255, shift=4)
    if dilate_px == 0 and feather_px == 0:
        return (inside > 0).astype(np.float32)
    # A frame lets the distance be measured as if there were room beyond the image.
    framed = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    outwards = cv2.distanceTransform(255 - framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inwards = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = (np.where(framed > 0, 0.5 - inwards, outwards - 0.5))[1:-1, 1:-1]
    if feather_px <= 0:
        return (distance <= dilate_px).astype(np.float32)
    return _smooth_step((dilate_px - distance) / feather_px + 0.5)


def soft_erosion(
    mask: NDArray[np.floating], kernel: int = 7, threshold: float = 0.9, iterations: int = 7
) -> FloatArray:
    """Shrink a mask by a few pixels and give it a soft rim, as the reference implementation does.

    With w(d) ∝ d_max − d over a square kernel (d the distance to its middle, d_max that of its corners), summing to 1:
    `iterations` − 1 times x ← min(x, w∗x), then x ← w∗x once more; what is at least `threshold` becomes 1 and the
    rest is divided by its largest value. A disc of radius 80 is 1 up to 74, one half at 78 and nought from 82.

    Args:
        mask: (H, W), 0 to 1; beyond its edge it counts as 0.
        kernel: side of the kernel, odd.
        threshold: see above.
        iterations: see above.

    Returns:
        (H, W) float32, 0 to 1.
    """
    if kernel % 2 != 1 or kernel < 3 or iterations < 1:
        raise ValueError(
            f"expected an odd kernel of 3 or more and 1 iteration or more, got {kernel} and {iterations}"
        )
    radius = kernel // 2
    axis = np.arange(-radius, radius + 1, dtype=np.float32)
    distance = np.hypot(axis[:, None], axis[None, :])
    weights = distance.max() - distance
    weights = (weights / weights.sum()).astype(np.float32)
    x = np.ascontiguousarray(mask, np.float32)
    for _ in range(iterations - 1):
        x = np.minimum(x, _weighted(x, weights))
    x = _weighted(x, weights)
    whole = x >= threshold
    rest = np.where(whole, 0.0, x)
    return np.where(whole, 1.0, rest / (rest.max(initial=0.0) + 1e-7)).astype(np.float32)


def border_fade(mask: NDArray[np.floating]) -> FloatArray:
    """What a mask is multiplied by so that nobody sees where the crop ends.

    A face larger than its crop has a mask that is cut off by the border: a straight edge across the forehead. For each
    level t let R_t be the pixels of the rim in which the mask exceeds t, the rim being the border and what of the
    corners lies outside the superellipse |x|³ + |y|³ = 1: it rounds the edge as a hairline is rounded. With d_t the
    distance to R_t, w the width of the fade and s the smooth step from 0 to 1,

        fade = s(distance to the border / thin) · mean over t of s(d_t / w).

    A mask that keeps away from the border is left as it is, but for the thin strip.

    Args:
        mask: (S, S), 0 to 1, as the network gave it: erosion would already have taken it off the border.

    Returns:
        (S, S) float32, 0 to 1.
    """
    size = mask.shape[0]
    # The rest is smooth: a coarse one, enlarged, is the same and costs a tenth at 512 px.
    side = min(size, FADE_SIDE_PX)
    coarse = cv2.resize(np.asarray(mask, np.float32), (side, side), interpolation=cv2.INTER_AREA)
    rim, width = _rim(side)
    highest = float(coarse[rim].max())
    total = np.zeros((side, side), np.float32)
    for level in FADE_LEVELS:
        if highest <= level:
            total += 1.0  # nothing of the rim is reached, so nothing is faded
            continue
        free = np.where(rim & (coarse > level), 0, 255).astype(np.uint8)
        total += _smooth_step(cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_5) / width)
    wide = cv2.resize(total / len(FADE_LEVELS), (size, size), interpolation=cv2.INTER_LINEAR)
    fade: FloatArray = _thin_fade(size) * np.asarray(wide, np.float32)
    return fade


@lru_cache(maxsize=8)
def _thin_fade(size: int) -> FloatArray:
    """(size, size) the fade of the thin strip."""
    inwards = np.minimum(np.arange(size), np.arange(size)[::-1])
    return _smooth_step((np.minimum.outer(inwards, inwards) + 0.5) / max(size * THIN_SHARE, 1.0))


@lru_cache(maxsize=8)
def _rim(side: int) -> tuple[NDArray[np.bool_], FloatArray]:
    """(side, side) whether a pixel lies on the rim, and (side, 1) the width of the fade of each row."""
    axis = np.arange(side)
    cubes = np.abs(2.0 * axis / max(side - 1, 1) - 1.0) ** 3
    rim = np.add.outer(cubes, cubes) >= 1.0
    rim[[0, -1]] = rim[:, [0, -1]] = True
    top, bottom = FADE_SHARES
    width = side * (top + (bottom - top) * axis / max(side - 1, 1))[:, None].astype(np.float32)
    return rim, width


def match_colour(
    crop: RGBImage, reference: RGBImage, mask: NDArray[np.floating], strength: float = 1.0
) -> RGBImage:
    """Give a crop the mean and spread of colour that another has within a mask.

    Reinhard et al. (2001), in CIE L*a*b*, over the masked pixels of both.

    Args:
        crop: (S, S, 3) whose colours change, all over.
        reference: (S, S, 3), usually the target's crop.
        mask: (R, R), 0 to 1, of the same square: what is compared.
        strength: 0 leaves the crop as it is, 1 matches fully.

    Returns:
        (S, S, 3); the crop itself where the mask is empty.
    """
    if strength <= 0.0:
        return crop
    # Mean and spread say as much of a coarse image.
    side = min(crop.shape[0], MOMENTS_SIDE_PX)
    weight = _at_side(np.asarray(mask, np.float32), side)
    total = float(weight.sum())
    if total < 1.0:
        return crop
    mean, std = _moments(_lab(_at_side(crop, side)), weight, total)
    wanted_mean, wanted_std = _moments(_lab(_at_side(reference, side)), weight, total)
    ratio = np.clip(wanted_std / np.maximum(std, 1e-3), *STD_RATIO)
    # mixed = lab + strength · ((lab - mean) · ratio + wanted_mean - lab), as one matrix.
    lab = _lab(crop)
    factor = 1.0 + strength * (ratio - 1.0)
    shift = strength * (wanted_mean - mean * ratio)
    mixed = cv2.transform(lab, np.column_stack([np.diag(factor), shift]).astype(np.float32))
    # The difference is added, so that nothing changes where nothing need: the way to L*a*b* and back is not exact.
    change = cv2.subtract(cv2.cvtColor(mixed, cv2.COLOR_LAB2RGB), cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
    levels = cv2.scaleAdd(np.asarray(change, np.float32), 255.0, crop.astype(np.float32))
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


def grey_as(crop: RGBImage, reference: RGBImage) -> RGBImage:
    """A crop without its colours where another has none: networks trained on colour put colour into grey images.

    Args:
        crop: (S, S, 3).
        reference: (R, R, 3), usually the target's crop.

    Returns:
        (S, S, 3) the luma of Rec. 601 where the reference is grey; the crop itself otherwise.
    """
    # Channel by channel, and counted by level: numpy's maxima along an axis of three take thirty times as long.
    red, green, blue = cv2.split(reference)
    largest, smallest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    spread = np.bincount(cv2.subtract(largest, smallest).ravel(), minlength=256)
    if spread[GREY_LEVELS + 1 :].sum() > GREY_SHARE * spread.sum():
        return crop
    luma = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return np.asarray(np.repeat(luma[..., None], 3, axis=2), np.uint8)


def _smooth_step(x: NDArray[np.floating]) -> FloatArray:
    """0 below 0, 1 above 1, 3x² - 2x³ in between."""
    ramp = np.clip(x, 0.0, 1.0)
    step: FloatArray = (ramp * ramp * (3.0 - 2.0 * ramp)).astype(np.float32)
    return step


def _weighted(x: FloatArray, weights: FloatArray) -> FloatArray:
    return np.asarray(cv2.filter2D(x, -1, weights, borderType=cv2.BORDER_CONSTANT), np.float32)


def _lab(image: RGBImage) -> FloatArray:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB), np.float32)


def _moments(lab: FloatArray, weight: FloatArray, total: float) -> tuple[FloatArray, FloatArray]:
    """Weighted mean and standard deviation (3,) of (S, S, 3)."""
    flat, row = lab.reshape(-1, 3), weight.reshape(1, -1)
    mean = (row @ flat)[0] / total
    variance = (row @ np.square(flat - mean))[0] / total
    return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)


def _at_side(image: NDArray[Any], side: int) -> NDArray[Any]:
    """A square image (S, S[, 3]) reduced to a side by averaging; itself where it has it."""
    if image.shape[0] == side:
        return image
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), image.dtype)
