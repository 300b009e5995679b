"""Estimates the real resolution of a crop: the smallest side to which it can be reduced without visible loss.

Photos of small faces are enlarged to fill their crops, and unsharp photos have no fine detail; both teach a
discriminator that real faces are blurred. Each crop is reduced and enlarged again at several sides; the real resolution
is the side at which that changes the face by `SAME_DB`.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hififace.pixels import decibels
from hififace.types import RGBImage

PSNR_CEILING_DB: Final = 99.0
"""PSNR reported for equal images."""

SAME_DB: Final = 38.0
"""PSNR within the face above which a reduced and enlarged crop counts as equal to the crop."""

MIN_NATIVE_PX: Final = 32
SHARES: Final = (1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8)
"""Sides that are tried, as shares of the crop's; between them the side is interpolated on a log scale."""


def reduced_and_enlarged(image: Image.Image, side: int) -> Image.Image:
    """A square image reduced to a smaller side and enlarged again, by Lanczos as in reading packed sets."""
    small = image.resize((side, side), Image.Resampling.LANCZOS)
    return small.resize(image.size, Image.Resampling.LANCZOS)


def psnr_db(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two images of equal shape, at most `PSNR_CEILING_DB`."""
    error = float(cv2.norm(one, two, cv2.NORM_L2SQR)) / one.size
    return decibels(error, peak=255.0, ceiling=PSNR_CEILING_DB)


def native_px(crop: RGBImage, mask: NDArray[np.uint8]) -> float:
    """The side at which reducing a crop and enlarging it again changes the face by `SAME_DB`.

    Measured on grey levels. Noise counts as detail.

    Args:
        crop: (S, S, 3).
        mask: (S, S) 0..255, the face; an empty one means the whole crop.

    Returns:
        `MIN_NATIVE_PX` (or S, if that is less) to S; S where even 7/8 of S loses more.
    """
    size = crop.shape[0]
    pixels = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8)
    grey = Image.fromarray(pixels)
    inside = np.where(mask > 127, 255, 0).astype(np.uint8)
    if not inside.any():
        inside[:] = 255
    num_pixels = np.count_nonzero(inside)
    before: tuple[int, float] | None = None
    for side in sorted({round(share * size) for share in SHARES if share * size >= MIN_NATIVE_PX}):
        again = np.asarray(reduced_and_enlarged(grey, side), np.uint8)
        error = float(cv2.norm(pixels, again, cv2.NORM_L2SQR, inside)) / num_pixels
        found = decibels(error, peak=255.0, ceiling=PSNR_CEILING_DB)
        if found >= SAME_DB:
            return float(side) if before is None else _between(before, (side, found))
        before = (side, found)
    return float(size)


def _between(below: tuple[int, float], above: tuple[int, float]) -> float:
    """Interpolates decibels linearly over the logarithm of the side; returns the side at `SAME_DB`."""
    share = (SAME_DB - below[1]) / (above[1] - below[1])
    return below[0] * float((above[0] / below[0]) ** share)
