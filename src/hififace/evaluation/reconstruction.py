"""Reconstruction: when source and target show one person, the result should be the target.

PSNR and SSIM between result and target in a crop of the face, over the face region of the target's mesh alone, whatever
the network's own mask: a mask that shrinks to nothing would else be rewarded. Both images are cut out alike to the
`mini_128` template at 128 px. SSIM is Wang et al. (2004) on luma, with Gaussian windows of sigma 1.5.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.alignment import align, transform_points
from hififace.faces.masks import region_mask
from hififace.faces.templates import TEMPLATES
from hififace.types import FloatArray, RGBImage

PSNR_CEILING_DB: Final = 60.0
"""Equal images would have infinitely many; rounding to 8 bits alone costs as much as 59 dB."""

SIDE_PX: Final = 128
"""Of the crop; `portraits` takes 256."""

SIGMA: Final = 1.5
LUMA: Final = (0.299, 0.587, 0.114)
STABILISERS: Final = ((0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2)


def psnr_db(first: RGBImage, second: RGBImage, region: NDArray[np.bool_]) -> float:
    """Peak signal to noise ratio over a region (H, W): 10 log10(255² / mean squared difference), at most 60."""
    difference = first[region].astype(np.float64) - second[region].astype(np.float64)
    error = float(np.mean(difference**2)) if difference.size else 0.0
    return min(10.0 * float(np.log10(255.0**2 / error)), PSNR_CEILING_DB) if error > 0 else PSNR_CEILING_DB


def ssim(first: RGBImage, second: RGBImage, region: NDArray[np.bool_]) -> float:
    """Structural similarity of the luma, averaged over a region (H, W): 1 for equal images."""
    x, y = (image.astype(np.float64) @ np.array(LUMA) for image in (first, second))
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = STABILISERS
    map_ = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    return float(map_[region].mean()) if region.any() else 1.0


def face_crop(
    image: RGBImage, points5: NDArray[np.floating], mesh: NDArray[np.floating], side_px: int = SIDE_PX
) -> tuple[RGBImage, NDArray[np.bool_]]:
    """(S, S, 3) crop and (S, S) face region.

    Args:
        image: (H, W, 3).
        points5: (5, 2) of the target, for result and target alike.
        mesh: (468, 3) of the target.
        side_px: S.
    """
    crop, matrix = align(image, points5, TEMPLATES["mini_128"].scaled(side_px))
    points: FloatArray = transform_points(matrix, mesh).astype(np.float32)
    side = crop.shape[0]
    return crop, region_mask(points, (side, side), dilate_px=0.0, feather_px=0.0) > 0.5


def _blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(x, (11, 11), SIGMA, borderType=cv2.BORDER_REFLECT), np.float64)
