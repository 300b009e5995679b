"""Sharpness: how much of the fine detail of the target's face the result still has.

    sharpness = mean over the generated face of L(result)² / mean over the same pixels of L(target)²

L is the Laplacian of the luma, in pixels of the image itself: nothing is resampled before it is measured, so that a
face of 400 px in a photo is asked for detail that a face of 100 px does not have. The rim is left out: there result and
target are mixed, and a seam would count as detail. 1 is as sharp as the target; more is noise or speckles.

Read it beside the same photo through a *perfect* network of some side (`perfect`): the target's own crop, reduced to
that side and put back. No network of that side can be sharper and right.
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
"""How far inside the outline of the face is measured, in widths of the face."""

GENERATED: Final = 0.95
"""A mask above this: the generated face alone is seen."""

LEAST_ENERGY: Final = 0.25
"""A target with less (a mean Laplacian of half a level) has no detail to keep."""


def sharpness(
    result: RGBImage, target: RGBImage, mesh: NDArray[np.floating], mask: NDArray[np.floating]
) -> float:
    """See above; NaN where the target has no detail.

    Args:
        result: (H, W, 3).
        target: (H, W, 3).
        mesh: (468, 3) of the target, in its pixels.
        mask: (H, W) 0..1 through which the generated face is seen. Where it is empty (nothing was generated) the whole
            face is measured.
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
    """The target through a perfect network of one side, and the mask (H, W) of what went through it.

    Args:
        target: (H, W, 3).
        points5: (5, 2) of its face.
        mesh: (468, 3) of its face.
        side_px: of the network's crops, in the proportions of the template `mini_128`.
    """
    crop, matrix = align(target, points5, TEMPLATES["mini_128"].scaled(side_px), border="edge")
    points = transform_points(matrix, mesh)
    mask = region_mask(points, (side_px, side_px), dilate_px=0, feather_px=0.06 * side_px)
    # `paste_back` would know that nothing was changed and leave the image as it is. This is the way that a changed crop
    # takes there, without its detail.
    size = (target.shape[1], target.shape[0])
    back = warp(crop, invert(matrix), size, border="edge").astype(np.float32)
    seen = np.clip(warp(mask, invert(matrix), size), 0.0, 1.0).astype(np.float32)
    mixed = target + seen[..., None] * (back - target)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), seen


def _energy(image: RGBImage, where: NDArray[np.bool_]) -> float:
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    edges = cv2.Laplacian(luma, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REPLICATE)
    return float(np.square(edges[where]).mean()) if where.any() else 0.0
