"""Faces in dim light: how much brighter a crop must become before a network looks at it, and the way back.

Networks saw faces in ordinary light. At a quarter of it the detector's points of the astronaut (`examples/`) shift by
3 px on a face of 100 px, and the swapped face is 14 levels off, on the scale of good light, from the same swap in good
light. So what a network is shown of a dim face is multiplied by a gain, and what the generator made is divided by it:
2 levels. Both happen on encoded levels, where less light is nearly a factor and black stays black.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.types import FloatArray, RGBImage

BRIGHT_PERCENTILE, HIGHLIGHT_PERCENTILE = 90.0, 98.0
"""The bright part of a face tells the light: a face lit from one side is half dark, and not to be made brighter for
that. Its highlights must not be cut off."""

ORDINARY_LEVEL = 196.0
"""Luma of the bright part of a face in good light (between a quarter and a half of 193 portraits reach it): what dim
faces are brought to."""

LEAST_ORDINARY_LEVEL = 140.0
"""Of those portraits nine in ten are at least so bright. They are shown as they are."""

DIM_LEVEL = 100.0
"""Below it a face is brought all the way; from here to `LEAST_ORDINARY_LEVEL` less and less, so that in a video nothing
jumps."""

LARGEST_GAIN = 16.0
"""Below a sixteenth of the ordinary light too few levels are left to show a face."""

FACE_SHARES = (0.32, 0.4)
"""Half axes, across and down, of the ellipse in the middle of an aligned crop that is surely face, in sides."""

BOX_SHARES = (0.4, 0.45)
"""The same in the box of a face."""

MOST_SAMPLES_PX = 128
"""Of a larger crop every second, third, ... pixel is looked at."""


def exposure_gain(crop: RGBImage, shares: tuple[float, float] = FACE_SHARES) -> float:
    """By how much a face is to be made brighter: 1 in ordinary light, up to `LARGEST_GAIN` in dim light.

    Args:
        crop: (H, W, 3) with the face in its middle.
        shares: half axes of the ellipse that is looked at, across and down, in sides of the crop.
    """
    step = max(min(crop.shape[:2]) // MOST_SAMPLES_PX, 1)
    crop = crop[::step, ::step]
    inside = _ellipse(*crop.shape[:2], *shares)
    if not inside.any():
        return 1.0
    luma = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
    levels = cv2.calcHist([luma], [0], inside, [256], [0, 256]).ravel().cumsum()
    bright, highlight = (_percentile(levels, share) for share in (BRIGHT_PERCENTILE, HIGHLIGHT_PERCENTILE))
    wanted = np.interp(bright, (DIM_LEVEL, LEAST_ORDINARY_LEVEL), (ORDINARY_LEVEL, LEAST_ORDINARY_LEVEL))
    gain = min(float(wanted) / max(bright, 1.0), 255.0 / max(highlight, 1.0), LARGEST_GAIN)
    return gain if bright < LEAST_ORDINARY_LEVEL and gain > 1.0 else 1.0


@lru_cache(maxsize=64)
def _ellipse(height: int, width: int, across_share: float, down_share: float) -> NDArray[np.uint8]:
    """(height, width) 255 within the ellipse in the middle."""
    across = ((np.arange(width) + 0.5) / width - 0.5) / across_share
    down = ((np.arange(height) + 0.5) / height - 0.5) / down_share
    return (np.add.outer(down**2, across**2) <= 1.0).astype(np.uint8) * np.uint8(255)


def _percentile(counted: NDArray[Any], share: float) -> float:
    """The level at a percentile, between levels as `numpy.percentile` does.

    Args:
        counted: (256,) how many samples have a level up to this.
        share: 0 to 100.
    """
    place = share / 100.0 * (float(counted[-1]) - 1.0)
    low, high = (
        float(np.searchsorted(counted, whole, side="right")) for whole in (int(place), int(place) + 1)
    )
    return low + (place - int(place)) * (min(high, 255.0) - low)


def brightened(crop: RGBImage, gain: float) -> RGBImage:
    """(H, W, 3) every level times the gain, at most 255; the crop itself where the gain is 1."""
    if gain == 1.0:
        return crop
    return np.asarray(cv2.convertScaleAbs(crop, alpha=gain), np.uint8)


def in_ordinary_light(crop: RGBImage, shares: tuple[float, float] = FACE_SHARES) -> RGBImage:
    """A crop (H, W, 3) as a network is to see it: `brightened` by its own `exposure_gain`."""
    return brightened(crop, exposure_gain(crop, shares))


def dimmed(crop: NDArray[np.uint8], gain: float) -> NDArray[np.uint8] | FloatArray:
    """The way back: (H, W, 3) float 0..1, not rounded to levels; the crop itself where the gain is 1."""
    if gain == 1.0:
        return crop
    return np.asarray(crop, np.float32) / np.float32(255.0 * gain)
