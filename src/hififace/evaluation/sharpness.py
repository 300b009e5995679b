"""Sharpness: the share of the target's fine detail that the result has.

    sharpness = mean over the generated face of L(result)² / mean over the same pixels of L(target)²

L is the Laplacian of the luma in pixels of the image, without resampling, so that more detail is expected of a face of
400 px than of one of 100 px. The rim of the face is left out, since result and target are blended there and a seam
would count as detail. 1 is as sharp as the target; more is noise or speckles.

The reference is the same photo through a *perfect* network of some side (`perfect`): the target's own crop, reduced to
that side and pasted back. No network of that side can be sharper and correct.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.alignment import align, invert, transform_points, warp
from hififace.faces.masks import region_mask
from hififace.faces.templates import TEMPLATES
from hififace.types import FloatArray, RGBImage

PERFECT_SIDES_PX: Final = (128, 256, 512)

RIM_SHARE: Final = 0.05
"""Width of the rim that is left out, in face widths."""

GENERATED: Final = 0.95
"""Mask values above this count as generated."""

LEAST_ENERGY: Final = 0.25
"""Minimum energy of the target; below it, a root mean square Laplacian of half a level, there is no detail."""


def sharpness(
    result: RGBImage, target: RGBImage, mesh: NDArray[np.floating], mask: NDArray[np.floating]
) -> float:
    """The measure of the module's docstring; NaN if the target has no detail.

    Args:
        result: (H, W, 3).
        target: (H, W, 3).
        mesh: (468, 3) of the target, in its pixels.
        mask: (H, W) 0..1, weight of the generated face. If it is empty, the whole face is measured.
    """
    points = np.asarray(mesh)[:, :2]
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - 2, 0)
    high = np.ceil(points.max(axis=0)).astype(int) + 3
    part = (slice(low[1], high[1]), slice(low[0], high[0]))
    size = result[part].shape[:2]
    inside = (
        region_mask(points - low, size, dilate_px=-RIM_SHARE * float(np.ptp(points[:, 0])), feather_px=0) > 0
    )
    generated = inside & (mask[part] > GENERATED)
    where = generated if generated.any() else inside
    before, after = (_energy(image[part], where) for image in (target, result))
    return after / before if before >= LEAST_ENERGY else float("nan")


def perfect(
    target: RGBImage, points5: NDArray[np.floating], mesh: NDArray[np.floating], side_px: int
) -> tuple[RGBImage, FloatArray]:
    """The result of a perfect network of some side, which reproduces the target, and its mask (H, W).

    Args:
        target: (H, W, 3).
        points5: (5, 2) of its face.
        mesh: (468, 3) of its face.
        side_px: of the network's crops, in the proportions of the template `mini_128`.
    """
    crop, matrix = align(target, points5, TEMPLATES["mini_128"].scaled(side_px), border="edge")
    points = transform_points(matrix, mesh)
    mask = region_mask(points, (side_px, side_px), dilate_px=0, feather_px=0.06 * side_px)
    # `paste_back` would leave an unchanged crop out. This repeats its processing of changed crops, without the transfer
    # of detail.
    size = (target.shape[1], target.shape[0])
    back = warp(crop, invert(matrix), size, border="edge").astype(np.float32)
    seen = np.clip(warp(mask, invert(matrix), size), 0.0, 1.0).astype(np.float32)
    mixed = target + seen[..., None] * (back - target)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), seen


def _energy(image: RGBImage, where: NDArray[np.bool_]) -> float:
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    edges = cv2.Laplacian(luma, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REPLICATE)
    return float(np.square(edges[where]).mean()) if where.any() else 0.0
