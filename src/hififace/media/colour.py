"""What a decoded image is turned into: 8-bit RGB, its profile, and the camera's notes worth keeping.

What happens to colour, decided once:

- RGB images keep their numbers and their ICC profile (a phone's wide-gamut photo stays one). Faces are
  found and swapped in those numbers as they are; pixels nobody touched come back bit for bit.
- CMYK and Lab images are converted to sRGB through their own profile, or by the plain formula where
  there is none; their results are sRGB and carry no profile.
- Grey images become RGB with three equal channels; a grey profile would be wrong on them and is dropped.
- More than 8 bits per channel are reduced to 8, which is what every network here was trained on.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from hififace.errors import ImageError
from hififace.media.image_formats import DECODER_ERRORS
from hififace.types import RGBImage

# Tags that stay true of the result. Orientation was applied; layout tags, thumbnails, maker notes and
# the colour, XMP and Photoshop blocks of a TIFF describe pixels that are no longer there.
_KEPT_TAGS: Final = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.XResolution,
    ExifTags.Base.YResolution,
    ExifTags.Base.ResolutionUnit,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
    ExifTags.Base.Rating,
    ExifTags.Base.RatingPercent,
    ExifTags.Base.XPTitle,
    ExifTags.Base.XPComment,
    ExifTags.Base.XPAuthor,
    ExifTags.Base.XPKeywords,
    ExifTags.Base.XPSubject,
)

_STRIP_PIXELS: Final = 1 << 22


def bit_depth(image: Image.Image, data: bytes) -> int:
    """Bits per channel in the file, which Pillow's modes hide for colour images."""
    if image.format == "PNG":
        return data[24]  # IHDR always comes first: 8 signature, 8 chunk header, 4 + 4 size, then depth
    if image.format == "TIFF":
        bits: Any = getattr(image, "tag_v2", {}).get(258, (8,))
        return int(max(bits)) if isinstance(bits, tuple) else int(bits)
    if image.format in {"HEIF", "AVIF"}:
        return int(image.info.get("bit_depth", 8) or 8)
    return 16 if image.mode.startswith("I;16") else 8


def clean_exif(image: Image.Image) -> bytes | None:
    """The camera's notes that stay true of a result, as an EXIF block; None if there are none."""
    exif = image.getexif()
    kept = Image.Exif()
    for tag in _KEPT_TAGS:
        if tag in exif:
            kept[tag] = exif[tag]
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        values = {tag: value for tag, value in exif.get_ifd(ifd).items() if tag != ExifTags.Base.MakerNote}
        if values:
            kept[ifd] = values
    if not len(kept):
        return None
    try:
        return kept.tobytes()
    except DECODER_ERRORS:
        # Broken values of some cameras cannot be written back; the photo matters more than its notes.
        return None


def to_rgb(image: Image.Image, icc: bytes | None, name: str) -> tuple[RGBImage, bytes | None]:
    """8-bit RGB pixels, and the profile they are in (None: sRGB).

    Raises:
        ImageError: 32-bit and floating-point values, whose white nobody can know.
    """
    mode = image.mode
    if mode in {"RGB", "RGBA", "RGBX", "P", "PA", "YCbCr", "HSV"}:
        return converted(image, "RGB"), icc if _is_rgb_profile(icc) else None
    if mode in {"CMYK", "LAB"}:
        return converted(_to_srgb(image, icc), "RGB"), None
    if mode in {"L", "LA", "La", "1"}:
        return np.repeat(converted(image, "L")[..., None], 3, axis=2), None
    if mode.startswith("I"):
        grey = np.asarray(image).astype(np.float64)
        top = float(grey.max(initial=0.0))
        if top <= 65535 and float(grey.min(initial=0.0)) >= 0:
            eight = np.rint(grey / 257.0).astype(np.uint8)
            return np.repeat(eight[..., None], 3, axis=2), None
    raise ImageError(
        f"{name} holds pixels of kind {mode!r}, for which no value is defined as white. "
        f"Save it with 8 or 16 bits per channel."
    )


def converted(image: Image.Image, mode: str) -> NDArray[np.uint8]:
    """Pixels in another mode of 8 bits: (H, W) for "L", (H, W, C) for others.

    Strip by strip: Pillow's own way makes three copies of the whole image, gigabytes for the largest photos.
    """
    width, height = image.size
    bands = Image.getmodebands(mode)
    pixels: NDArray[np.uint8] = np.empty((height, width) if bands == 1 else (height, width, bands), np.uint8)
    rows = max(_STRIP_PIXELS // max(width, 1), 1)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        # A cut: cropping would ask Pillow's own limit, which is the caller's business.
        strip = image.resize((width, bottom - top), Image.Resampling.NEAREST, (0, top, width, bottom))
        pixels[top:bottom] = np.asarray(strip.convert(mode))
    return pixels


def _is_rgb_profile(icc: bytes | None) -> bool:
    # Bytes 16 to 20 of an ICC header name the colour space of the data (ICC.1:2022, 7.2.6).
    return icc is not None and len(icc) >= 128 and icc[16:20] == b"RGB "


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    source: Any = None
    if icc is not None:
        with contextlib.suppress(OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    if source is None and image.mode == "LAB":
        source = ImageCms.createProfile("LAB")
    if source is not None:
        try:
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except ImageCms.PyCMSError:
            converted = None  # the profile does not fit the pixels: fall back to the formula
        if converted is not None:
            return converted
    return image.convert("RGB")
