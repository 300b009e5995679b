"""Everything that is accepted as an image: paths, bytes, files, PIL images, arrays; with an error for each mistake."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hififace.errors import ImageError
from hififace.media.image import LoadedImage, from_pillow, read_image
from hififace.pixels import to_uint8
from hififace.types import RGBImage

ImageLike: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | IO[bytes] | Image.Image | NDArray[Any] | LoadedImage
)
"""A path, the bytes of a file, an open binary file, a PIL image, an array, or a `LoadedImage`.

Arrays are (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA; uint8, uint16, or float from 0 to 1."""

_CHANNELS: Final = (1, 3, 4)
_TOLERANCE: Final = 1e-3
"""Floats this far outside 0 to 1 are rounding errors, not another range."""


def load_image(image: ImageLike) -> LoadedImage:
    """Load an image of any accepted kind as 8-bit RGB, upright.

    Raises:
        ImageError: it cannot be read, or is not an image; the message says what was found and what was expected.
    """
    if isinstance(image, LoadedImage):
        return image
    if isinstance(image, Image.Image):
        return from_pillow(image)
    if isinstance(image, (bytearray, memoryview)):
        return read_image(bytes(image))
    if isinstance(image, (str, bytes, os.PathLike)) or hasattr(image, "read"):
        return read_image(cast("str | bytes", image))
    if hasattr(image, "__array__"):
        return _from_array(np.asarray(image))
    given: object = image  # beyond what the types promise
    if isinstance(given, Sequence):
        raise ImageError(
            f"A {type(given).__name__} of {len(given)} was given where one image was expected. Pass each by itself, or "
            "several to `swap_many`."
        )
    wanted = "a path, bytes, an open file, a PIL image or a numpy array was expected"
    if given is None:
        raise ImageError(
            f"None was given; {wanted}. OpenCV's imread returns None for a file that it cannot read."
        )
    raise ImageError(f"An image cannot be read from {type(given).__name__}; {wanted}.")


def _from_array(array: NDArray[Any]) -> LoadedImage:
    pixels = _levels(array, _to_channels_last(array))
    alpha = None
    if pixels.shape[2] == 4:
        alpha = np.ascontiguousarray(pixels[..., 3])
        alpha = None if bool((alpha == 255).all()) else alpha
        pixels = pixels[..., :3]
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    depth = 16 if array.dtype == np.uint16 else 8
    return LoadedImage(pixels=np.ascontiguousarray(pixels), alpha=alpha, bit_depth=depth)


def _to_channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """(H, W) or (H, W, C) to (H, W, C)."""
    wanted = "(H, W), (H, W, 3) RGB or (H, W, 4) RGBA was expected"
    if array.ndim == 4:
        raise ImageError(
            f"The array is {array.shape}, a batch of {len(array)}; {wanted}. Pass the images one by one, or to "
            "`swap_many`."
        )
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ImageError(f"The array is {array.shape}; {wanted}.")
    if array.ndim == 2:
        return array[..., None]
    if array.shape[2] in _CHANNELS:
        return array
    if array.shape[0] in _CHANNELS:
        raise ImageError(
            f"The array is {array.shape}, with its channels first; {wanted}. Use array.transpose(1, 2, 0)."
        )
    hint = " Use array[..., 0] if these are grey and alpha." if array.shape[2] == 2 else ""
    raise ImageError(f"The array is {array.shape}, with {array.shape[2]} channels; {wanted}.{hint}")


def _levels(array: NDArray[Any], pixels: NDArray[Any]) -> RGBImage:
    if array.dtype == np.uint8:
        return cast("RGBImage", pixels)
    if array.dtype == np.uint16:
        if 0 < (highest := int(pixels.max())) <= 255:
            raise ImageError(
                f"The array holds uint16 from {int(pixels.min())} to {highest}; 0 to 65535 was expected. Use "
                "array.astype(np.uint8)."
            )
        return to_uint8(pixels.astype(np.float32) / 65535.0)
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"The array holds {array.dtype}; uint8 from 0 to 255, or floats from 0 to 1, were expected. Use "
            "array.astype(np.uint8) if its numbers go from 0 to 255."
        )
    low, high = float(np.min(pixels)), float(np.max(pixels))
    if not np.isfinite(low + high):
        raise ImageError(
            "The array holds floats that are NaN or infinite; 0 to 1 was expected. Look where they come from, or use "
            "np.nan_to_num."
        )
    if low < -_TOLERANCE or high > 1.0 + _TOLERANCE:
        hint = {
            True: "Divide by 255, or use array.astype(np.uint8).",
            False: "Scale it to 0..1; from -1..1 that is array / 2 + 0.5.",
        }[low >= 0.0]
        raise ImageError(f"The array holds floats from {low:g} to {high:g}; 0 to 1 was expected. {hint}")
    return to_uint8(np.clip(pixels, 0.0, 1.0))
