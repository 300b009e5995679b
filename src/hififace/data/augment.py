"""Small changes that a photo survives: mirroring, and for sources a slight change of colours.

What the frozen networks said about the photo changes along: coefficients were computed for the mirror image in
preparation, landmarks are mirrored here, and the identity vector averages both sides already. The draw is a
pure function of (seed, n), like the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.data.pairs import KeyedRandom
from hififace.errors import OptionError
from hififace.types import FloatArray, RGBImage

_PURPOSE_AUGMENT: Final = 0x5EED_0003
_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of R, G and B in BT.601 luma: the grey that saturation is measured from."""


@dataclass(frozen=True)
class AugmentOptions:
    """How much may change. Zeros change nothing."""

    mirror: float = 0.5
    """Probability of mirroring, drawn for source and target independently."""
    brightness: float = 0.08
    """Largest shift of a source's levels, as a share of the full range."""
    contrast: float = 0.1
    """Largest relative change of a source's contrast."""
    saturation: float = 0.15
    """Largest relative change of a source's saturation."""

    def __post_init__(self) -> None:
        for name in ("mirror", "brightness", "contrast", "saturation"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise OptionError(f"augment.{name} is {value}; a number from 0 to 1 was expected.")


NO_AUGMENTATION: Final = AugmentOptions(mirror=0.0, brightness=0.0, contrast=0.0, saturation=0.0)


_SLACK: Final = 1e-3
"""Photo pixels: a chip that fills its crop must not lose its border to rounding."""


class Change(NamedTuple):
    """What happens to one photo."""

    mirror: bool
    colour: NDArray[np.float32] | None
    """(3, 4) matrix from (R, G, B, 255) to (R, G, B), or None for no change."""


class PairChange(NamedTuple):
    """What happens to the two photos of a pair."""

    source: Change
    target: Change


def draw_change(options: AugmentOptions, seed: int, number: int) -> PairChange:
    """The changes of pair `number`. The target's colours stay: it is what a result is compared with."""
    random = KeyedRandom(seed, _PURPOSE_AUGMENT, number)
    mirror_source = random.uniform() < options.mirror
    mirror_target = random.uniform() < options.mirror
    shift = random.uniform(-options.brightness, options.brightness)
    contrast = 1.0 + random.uniform(-options.contrast, options.contrast)
    saturation = 1.0 + random.uniform(-options.saturation, options.saturation)
    colour = None
    if options.brightness or options.contrast or options.saturation:
        colour = colour_matrix(shift, contrast, saturation)
    return PairChange(Change(mirror_source, colour), Change(mirror_target, None))


def colour_matrix(shift: float, contrast: float, saturation: float) -> NDArray[np.float32]:
    """(3, 4) matrix of saturation about the grey axis, then contrast about middle grey, then a shift.

    It acts on levels scaled to 0..1 with a constant 1 as fourth entry; on 0..255 scale its last column.
    """
    mix = saturation * np.eye(3, dtype=np.float32) + (1.0 - saturation) * np.ones((3, 1), np.float32) * _LUMA
    offset = np.full((3, 1), 0.5 - 0.5 * contrast + shift, dtype=np.float32)
    return np.concatenate([contrast * mix, offset], axis=1).astype(np.float32)


def recolour(image: RGBImage, matrix: NDArray[np.float32]) -> RGBImage:
    """Apply a `colour_matrix` to an image; OpenCV does it outside Python's lock."""
    scaled = matrix.copy()
    scaled[:, 3] *= 255.0
    return cast("RGBImage", cv2.transform(image, scaled))


def mirror_landmarks(points: FloatArray, mirror: NDArray[np.int64], width: int) -> FloatArray:
    """The landmarks of the mirrored image.

    Args:
        points: (P, 2) or (P, 3) in pixels.
        mirror: (P,) the index that each point becomes under a horizontal flip.
        width: of the image, in pixels; with pixel centres at integers, x becomes width − 1 − x.
    """
    flipped = np.empty_like(points)
    flipped[mirror] = points
    flipped[:, 0] = width - 1 - flipped[:, 0]
    return flipped


def valid_region(
    matrix: FloatArray, photo_size: FloatArray, size: int, mirror: bool = False
) -> NDArray[np.uint8]:
    """(size, size) uint8: 1 where the crop shows the photo, 0 where it shows padding.

    A crop pixel is valid where its place in the photo lies among the photo's pixel centres, so that
    interpolation touched no padding.

    Args:
        matrix: (2, 3) photo pixels to crop pixels, invertible.
        photo_size: (2,) width and height in pixels.
        size: side of the crop.
        mirror: whether the crop was mirrored after it was cut.
    """
    inverse = cv2.invertAffineTransform(np.asarray(matrix, dtype=np.float64))
    # The region is convex: four valid corners are a whole crop.
    if all(_shows_photo(inverse, photo_size, x, y) for x in (0, size - 1) for y in (0, size - 1)):
        return np.ones((size, size), dtype=np.uint8)
    steps = np.arange(size, dtype=np.float64)
    columns = steps[::-1] if mirror else steps
    valid = np.ones((size, size), dtype=bool)
    for axis in range(2):
        place = (inverse[axis, 1] * steps + inverse[axis, 2])[:, None] + inverse[axis, 0] * columns
        valid &= (place >= -_SLACK) & (place <= float(photo_size[axis]) - 1.0 + _SLACK)
    return valid.view(np.uint8)


def _shows_photo(inverse: NDArray[Any], photo_size: FloatArray, x: int, y: int) -> bool:
    """Whether a crop pixel lies among the photo's pixel centres."""
    places = (inverse[axis, 0] * x + inverse[axis, 1] * y + inverse[axis, 2] for axis in range(2))
    return all(
        -_SLACK <= place <= float(side) - 1.0 + _SLACK for place, side in zip(places, photo_size, strict=True)
    )
