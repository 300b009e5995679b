"""A generated face as blurred as the face that it replaces: out of focus, moved, or enlarged before it came here.

The network generates a sharp face whatever it is shown, and a sharp face in a blurred head looks pasted. How blurred
the target's face is, is measured in its own pixels (`appearance.remaining_edges`, under the network's mask), and the
generated face is blurred by a Gaussian until as few of its edges are left. Sharp targets are not touched: between
`SHARP` and `BLURRED` the effect begins without a jump, so that nothing flickers.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from hififace.faces.appearance import remaining_edges
from hififace.types import FloatArray, RGBImage

SHARP, BLURRED = 0.66, 0.75
"""Of 10 portraits at four sizes from 48 px on, sharp ones have 0.34 to 0.64, and those blurred by a 32nd of the face's
size 0.70 to 0.80. What the shipped network generates on sharp ones is within 0.04 of them in the mean."""

SIDE_PX: Final = (48, 192)
"""Blur is measured in a crop of the face's own size, within these bounds: small is not blurred."""

MOST_SHARE: Final = 1 / 12
"""Largest standard deviation, in sides of the crop: more leaves no face."""

_STEPS: Final = 7
"""Halvings of the interval in which the blur is sought: to a hundredth of the largest."""


def matching_blur(target: RGBImage, generated: RGBImage, mask: FloatArray, side_px: float) -> float:
    """By how much a generated face is to be blurred.

    Args:
        target: (S, S, 3) the target's crop, at ordinary brightness.
        generated: (N, N, 3) what was generated on it.
        mask: (N, N) 0..1, where.
        side_px: side of the crop in pixels of the target's image.

    Returns:
        Standard deviation of a Gaussian in pixels of `generated`; 0 where the target is sharp, or no sharper face was
        generated. The more blurred the target, the greater.
    """
    side = int(np.clip(round(side_px), *SIDE_PX))
    weights = np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    if not weights.any():
        return 0.0
    before = remaining_edges(_at(target, side), weights)
    if before <= SHARP:
        return 0.0
    small = _at(generated, side)
    own = remaining_edges(small, weights)
    wanted = own + (before - own) * min((before - SHARP) / (BLURRED - SHARP), 1.0)
    low, high = 0.0, MOST_SHARE * side
    if wanted <= own:
        return 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        enough = remaining_edges(blurred(small, middle), weights) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return float(high * generated.shape[0] / side)


def blurred(image: RGBImage, sigma_px: float) -> RGBImage:
    """(N, N, 3) blurred by a Gaussian; the image itself where that is none."""
    if sigma_px <= 0.0:
        return image
    soft = cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(soft, np.uint8)


def softened(mask: FloatArray, sigma_px: float) -> FloatArray:
    """(N, N) a mask whose rim is as wide as those of an image so blurred, and reaches no further than before."""
    if sigma_px <= 0.0:
        return mask
    return mask * np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma_px), np.float32)


def _at(image: RGBImage, side: int) -> RGBImage:
    """(side, side, 3)."""
    shrinks = side <= image.shape[0]
    flags = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side, side), interpolation=flags), np.uint8)
