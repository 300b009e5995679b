"""The real resolution of a crop: the side below which reducing it loses something that can be seen.

A photo of a small face is enlarged to fill its crop, and a soft one fills it with nothing. Both look like 256 pixels
to a discriminator, and teach it that real faces are blurred. So each crop is reduced and enlarged again: where that
changes the face by more than `SAME_DB`, the pixels were needed.
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
"""Of equal images."""

SAME_DB: Final = 38.0
"""PSNR within the face at which a reduced and enlarged crop passes for the crop itself."""

MIN_NATIVE_PX: Final = 32
SHARES: Final = (1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8)
"""The sides that are tried, in shares of the crop's; between them the side is interpolated on a log scale."""


def reduced_and_enlarged(image: Image.Image, side: int) -> Image.Image:
    """A square image after a detour over a smaller side (Lanczos both ways, as packed sets are enlarged)."""
    small = image.resize((side, side), Image.Resampling.LANCZOS)
    return small.resize(image.size, Image.Resampling.LANCZOS)


def psnr_db(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two images of one shape, at most `PSNR_CEILING_DB`."""
    error = float(cv2.norm(one, two, cv2.NORM_L2SQR)) / one.size
    return decibels(error, peak=255.0, ceiling=PSNR_CEILING_DB)


def native_px(crop: RGBImage, mask: NDArray[np.uint8]) -> float:
    """The side at which reducing a crop and enlarging it again changes the face by `SAME_DB`.

    Measured on the grey levels, where detail is. Noise counts as detail.

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
    """Where the line of decibels over the logarithm of the side reaches `SAME_DB`."""
    share = (SAME_DB - below[1]) / (above[1] - below[1])
    return below[0] * float((above[0] / below[0]) ** share)
