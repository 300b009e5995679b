"""The only image formats that files are opened as, wherever they come from.

Pillow tries every format it knows on any file whose name says nothing, and some of them start other programs:
an EPS called `.jpg` starts Ghostscript, which can hang and has run code of strangers before. Here it is told which
formats to try, so every other decoder stays unreachable. All images are opened through `open_image`.
"""

from __future__ import annotations

import io
import struct
import threading
import zlib
from typing import Final

from PIL import Image

__all__ = ["DECODER_ERRORS", "IMAGE_FORMATS", "open_image", "register_heif"]

IMAGE_FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "GIF", "BMP")
"""Pillow's names. JPEG includes MPO, the two-image files of phones."""

DECODER_ERRORS: Final = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    MemoryError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""Everything that Pillow is known to raise on damaged files, in headers as in pixels."""

_LIMIT_LOCK = threading.Lock()


def open_image(data: bytes) -> Image.Image:
    """Read the header of an image file of one of `IMAGE_FORMATS`; pixels are decoded when they are asked for.

    How large it may be is for callers to decide by its `size`: Pillow's own limit is one number for the whole
    process, and a header alone costs nothing.

    Raises:
        PIL.UnidentifiedImageError: of no such format.
        DECODER_ERRORS: of one, but damaged.
    """
    register_heif()
    formats: list[str] = [name for name in IMAGE_FORMATS if name in _known()]
    with _LIMIT_LOCK:
        saved = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(io.BytesIO(data), formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = saved


def register_heif() -> None:
    """Teach Pillow HEIC where pillow-heif is installed; registering twice does nothing."""
    if "HEIF" in Image.OPEN:
        return
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()


def _known() -> set[str]:
    """Formats that this Pillow can read; AVIF is missing from some builds, and naming it would be an error."""
    Image.init()
    return set(Image.OPEN)
