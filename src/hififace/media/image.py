"""Photographs to and from files: every kind people have, upright, in RGB, with what must survive kept aside.

Results of a swap never leave through this file: `swap/output.py` is their one door, since they must be
marked. `write_image` is for drawings that show no swapped face (annotated detections, contact sheets).
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from hififace.errors import ImageError
from hififace.media.atomic import atomic_path, atomic_write, refuse_address
from hififace.media.author_notes import AuthorNotes, author_notes, jpeg_segment
from hififace.media.colour import bit_depth, clean_exif, converted, to_rgb
from hififace.media.image_formats import DECODER_ERRORS, open_image, register_heif
from hififace.types import RGBImage

__all__ = [
    "MAX_MEGAPIXELS",
    "SUFFIX_FORMATS",
    "ImageSource",
    "LoadedImage",
    "atomic_path",
    "atomic_write",
    "encode_image",
    "format_for",
    "format_named",
    "from_pillow",
    "read_image",
    "suffix_for",
    "write_image",
]

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes]"

MAX_MEGAPIXELS: Final = 200.0
"""More than any camera makes; a larger header is more likely a decompression bomb than a photo."""

MAX_FILE_BYTES: Final = 1_700_000_000
"""As many as 200 megapixels take with 16 bits in four channels and no compression."""

SUFFIX_FORMATS: Final[dict[str, str]] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".gif": "GIF",
    ".bmp": "BMP",
}
"""File endings and the format that each stands for: what this file can write."""

_FORMAT_SUFFIXES: Final = {"JPEG": ".jpg", "HEIF": ".heic", "TIFF": ".tif"}
_WITH_ALPHA: Final = {"PNG", "WEBP", "TIFF", "AVIF", "HEIF", "GIF"}
_WITH_XMP: Final = {"JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"}
_DEFAULT_QUALITY: Final = 95
_OPTIMISED_PIXELS: Final = 40_000_000
"""Larger JPEGs are a few per cent longer: the shortest code needs all coefficients at once, 6 bytes a pixel."""


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """A decoded image, upright, with the metadata of its file that a result keeps."""

    pixels: RGBImage
    """(H, W, 3) uint8 RGB, after the EXIF orientation."""
    alpha: NDArray[np.uint8] | None = field(default=None, repr=False)
    """(H, W) uint8, 255 opaque; None for an image without transparency."""
    format: str = "PNG"
    """Pillow's name of the file's format: "JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", ..."""
    icc_profile: bytes | None = field(default=None, repr=False)
    """RGB colour profile of `pixels`; None means sRGB."""
    exif: bytes | None = field(default=None, repr=False)
    """EXIF block without orientation (it was applied) and without its thumbnail (it shows the old face)."""
    mode: str = "RGB"
    """Pillow's mode of the file before conversion: "RGB", "L", "CMYK", "P", "I;16", ..."""
    bit_depth: int = 8
    """Bits per channel in the file."""
    num_frames: int = 1
    """Number of images in the file, of which this is the first; more than 1 in an animation."""
    path: Path | None = None
    notes: AuthorNotes = field(default_factory=AuthorNotes)
    """Author, title and rights from IPTC and XMP, as far as they stay true for a result."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, upright."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def name(self) -> str:
        """Name for messages: the path, or "the image"."""
        return str(self.path) if self.path is not None else "the image"

    @classmethod
    def from_pixels(cls, pixels: RGBImage, *, format: str = "PNG") -> LoadedImage:
        """Wrap an (H, W, 3) uint8 array of sRGB pixels, without metadata."""
        _check_pixels(pixels)
        return cls(pixels=pixels, format=format)

    def with_pixels(self, pixels: RGBImage) -> LoadedImage:
        """A copy with other pixels; transparency is dropped if the size differs."""
        _check_pixels(pixels)
        alpha = self.alpha if pixels.shape[:2] == self.pixels.shape[:2] else None
        return replace(self, pixels=pixels, alpha=alpha)


def read_image(source: ImageSource, *, max_megapixels: float = MAX_MEGAPIXELS) -> LoadedImage:
    """Read an image of one of `IMAGE_FORMATS` (HEIC where pillow-heif is installed).

    Of an animation or a multi-image file the first frame is read.

    Args:
        source: a path, the bytes of a file, or a binary file object (read to its end, not closed).
        max_megapixels: refuse an image whose header announces more, before decoding anything.

    Raises:
        ImageError: missing, empty, truncated, too large, or not an image; says which.
    """
    refuse_address(source)
    path = Path(source) if isinstance(source, (str, os.PathLike)) else None
    name = str(path) if path is not None else "the image"
    data = _read_bytes(source, name)
    try:
        with open_image(data) as image:
            width, height = image.size
            if width * height > max_megapixels * 1e6:
                raise ImageError(
                    f"{name} announces {width} x {height} pixels ({width * height / 1e6:.0f} megapixels), "
                    f"more than the limit of {max_megapixels:g}. Make it smaller, or raise the limit if you "
                    f"trust it."
                )
            return _convert(image, path, data)
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} is not an image that can be read here{_what_it_looks_like(data)}. "
            f"JPEG, PNG, WebP, TIFF, AVIF, GIF and BMP are, and HEIC with `pip install '.[heic]'`."
        ) from None
    except DECODER_ERRORS as error:
        raise ImageError(
            f"{name} is damaged or cut short and cannot be decoded ({error}). Try the original file again."
        ) from error


def from_pillow(opened: Image.Image) -> LoadedImage:
    """A PIL image, which is not changed: upright, in 8-bit RGB, with its profile, transparency and camera notes.

    Raises:
        ImageError: its file is damaged or cut short.
    """
    try:
        loaded = _convert(opened.copy(), None, b"")
    except DECODER_ERRORS as error:
        raise ImageError(f"The PIL image cannot be decoded ({error}).") from error
    return replace(loaded, format=opened.format or "PNG", path=None)


def _read_bytes(source: ImageSource, name: str) -> bytes:
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not os.fspath(source):
            raise ImageError("An empty path was given; the path of an image file was expected.")
        if path.is_dir():
            raise ImageError(f"{name} is a folder; an image file was expected.")
        try:
            data = _bounded(path)
        except FileNotFoundError:
            raise ImageError(f"{name} does not exist. Check the spelling of the path.") from None
        except OSError as error:
            raise ImageError(f"{name} cannot be opened: {error.strerror or error}.") from error
    else:
        data = _read_open_file(source, name)
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(f"{name} has more than {MAX_FILE_BYTES / 1e9:.3g} GB; no photo is that large.")
    if not data:
        raise ImageError(f"{name} is empty (0 bytes); an image was expected.")
    return data


def _read_open_file(file: IO[bytes], name: str) -> bytes:
    try:
        data: object = file.read()  # of whatever has this method
    except (OSError, ValueError) as error:  # ValueError: it is closed
        raise ImageError(f"{name} cannot be read from its open file: {error}.") from error
    if not isinstance(data, bytes):
        raise ImageError(
            f"{name} comes from an open file that gives {type(data).__name__} instead of bytes; a binary file, "
            "open(path, 'rb'), was expected."
        )
    return data


def _bounded(path: Path) -> bytes:
    """The file's bytes, at most one more than `MAX_FILE_BYTES`: a pipe or a device may never end."""
    with path.open("rb") as file:
        pieces, total = [], 0
        while total <= MAX_FILE_BYTES and (piece := file.read(1 << 24)):
            pieces.append(piece)
            total += len(piece)
    return b"".join(pieces)


def _what_it_looks_like(data: bytes) -> str:
    signatures = (
        (b"%PDF", " (it is a PDF)"),
        (b"\x1aE\xdf\xa3", " (it is a video, in place of a photo)"),
        (b"<svg", " (it is an SVG drawing)"),
        (b"<?xml", " (it is an XML file)"),
        (b"PK\x03\x04", " (it is a ZIP archive)"),
        (b"%!PS", " (it is a PostScript drawing, which is a program; it is never run)"),
        (b"\xc5\xd0\xd3\xc6", " (it is a PostScript drawing, which is a program; it is never run)"),
    )
    for signature, words in signatures:
        if data.startswith(signature):
            return words
    brand = data[8:12]
    if data[4:8] == b"ftyp":
        heif = brand in {b"heic", b"heix", b"mif1", b"hevc"}
        return " (it is a HEIC photo)" if heif else " (it is a video, in place of a photo)"
    return ""


def _convert(opened: Image.Image, path: Path | None, data: bytes) -> LoadedImage:
    """Decode, turn upright, and bring to 8-bit RGB."""
    mode, depth = opened.mode, bit_depth(opened, data)
    # Phones put a preview or a depth map beside the photo in MPO and HEIC: no animation.
    num_frames = 1 if opened.format in {"MPO", "HEIF"} else getattr(opened, "n_frames", 1)
    opened.load()
    icc = opened.info.get("icc_profile") or None
    exif = clean_exif(opened)
    notes = author_notes(opened)
    ImageOps.exif_transpose(opened, in_place=True)
    image = opened
    alpha: NDArray[np.uint8] | None = None
    if image.has_transparency_data:
        alpha = converted(image, "RGBA")[..., 3].copy()
        if bool((alpha == 255).all()) and mode in {"RGB", "P", "L"}:
            alpha = None
    rgb, icc = to_rgb(image, icc, str(path) if path is not None else "the image")
    return LoadedImage(
        pixels=rgb,
        alpha=alpha,
        format="JPEG" if opened.format == "MPO" else (opened.format or "PNG"),
        icc_profile=icc,
        exif=exif,
        mode=mode,
        bit_depth=depth,
        num_frames=num_frames,
        path=path,
        notes=notes,
    )


def format_for(path: str | os.PathLike[str]) -> str:
    """The format a file ending stands for.

    Raises:
        ImageError: an ending that no image can be written under.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIX_FORMATS:
        raise ImageError(
            f"{path} ends in {suffix or 'nothing'!r}, which is no image format that can be written. "
            f"Use one of: {', '.join(sorted(SUFFIX_FORMATS))}."
        )
    return SUFFIX_FORMATS[suffix]


def format_named(name: str) -> str:
    """Pillow's name of a format, of that name or a file ending ("JPEG", "jpg") in any case.

    Raises:
        ImageError: there is no such format, or it cannot be written.
    """
    found = SUFFIX_FORMATS.get(f".{name.lower().lstrip('.')}", name.upper())
    if found not in SUFFIX_FORMATS.values():
        raise ImageError(
            f"There is no image format {name!r} that can be written; use one of: "
            f"{', '.join(sorted(set(SUFFIX_FORMATS.values())))}."
        )
    return found


def suffix_for(format: str) -> str:
    """The usual file ending of a format; ".png" for one that can be read but not written."""
    if format in _FORMAT_SUFFIXES:
        return _FORMAT_SUFFIXES[format]
    return f".{format.lower()}" if format in SUFFIX_FORMATS.values() else ".png"


def encode_image(
    image: LoadedImage,
    *,
    format: str | None = None,
    quality: int | None = None,
    xmp: bytes | None = None,
    keep_exif: bool = True,
) -> bytes:
    """The bytes of a file with these pixels: same format, size, alpha and ICC profile unless asked otherwise.

    Alpha is dropped where the format has none. A format that can be read but not written becomes PNG.

    Args:
        image: pixels and the settings to keep, usually `loaded.with_pixels(result)`.
        format: Pillow's name of another format.
        quality: 1 to 100 for lossy formats; 95 with full colour resolution if not given.
        xmp: an XMP packet to store; in a GIF it becomes the comment, a BMP has no place for it.
        keep_exif: carry the camera's notes over.

    Raises:
        ImageError: a quality out of range, a format that is not installed, an image too large for it.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise ImageError(f"The quality is {quality}; a whole number from 1 to 100 was expected.")
    format = format or image.format
    if format not in SUFFIX_FORMATS.values():
        format = "PNG"
    if format == "HEIF":
        register_heif()
        if "HEIF" not in Image.SAVE:
            raise ImageError("HEIC cannot be written here. Run `pip install '.[heic]'` or choose .jpg.")
    canvas = _canvas(image, format)
    settings = _settings(format, quality or _DEFAULT_QUALITY)
    if format == "JPEG" and canvas.width * canvas.height > _OPTIMISED_PIXELS:
        settings["optimize"] = False
    exif = image.exif if keep_exif and format in _WITH_XMP else None
    written = image.notes if keep_exif else AuthorNotes()
    settings |= _notes(format, exif, xmp if format in _WITH_XMP or format == "GIF" else None, written)
    if image.icc_profile and format not in {"GIF", "BMP"}:
        settings["icc_profile"] = image.icc_profile
    buffer = io.BytesIO()
    try:
        canvas.save(buffer, format=format, **settings)
    except DECODER_ERRORS as error:
        width, height = image.size
        raise ImageError(f"A {width} x {height} image cannot be written as {format}: {error}.") from error
    return buffer.getvalue()


def _canvas(image: LoadedImage, format: str) -> Image.Image:
    _check_pixels(image.pixels)
    canvas = Image.fromarray(np.ascontiguousarray(image.pixels))
    if image.alpha is not None and format in _WITH_ALPHA:
        canvas.putalpha(Image.fromarray(np.ascontiguousarray(image.alpha)))
    return canvas


def _settings(format: str, quality: int) -> dict[str, Any]:
    if format == "JPEG":
        return {"quality": quality, "subsampling": 0 if quality >= 90 else 2, "optimize": True}
    if format == "WEBP":
        return {"quality": quality, "method": 4}
    if format == "AVIF":
        return {"quality": quality, "subsampling": "4:4:4" if quality >= 90 else "4:2:0"}
    if format == "HEIF":
        return {"quality": quality, "chroma": 444 if quality >= 90 else 420}
    if format == "TIFF":
        return {"compression": "tiff_lzw"}
    return {}


def _notes(format: str, exif: bytes | None, xmp: bytes | None, written: AuthorNotes) -> dict[str, Any]:
    """EXIF, XMP and what else the author wrote, as Pillow wants them for each format."""
    if format == "TIFF":
        return _tiff_tags(exif, xmp, written)
    if format == "GIF":
        return {} if xmp is None else {"comment": xmp}
    notes: dict[str, Any] = {} if exif is None else {"exif": exif}
    if format == "PNG":
        return notes | _png_texts(xmp, written)
    if xmp is not None:
        notes["xmp"] = xmp
    if format == "JPEG" and written.resources is not None:
        notes["extra"] = jpeg_segment(written.resources)
    if format == "JPEG" and written.comment:
        notes["comment"] = written.comment
    return notes


def _tiff_tags(exif: bytes | None, xmp: bytes | None, written: AuthorNotes) -> dict[str, Any]:
    """Everything as ordinary tags of the file's one directory; 700 is XMP, 33723 IPTC.

    Sub-directories (exposure, GPS) are left out: libtiff, which compresses, cannot be handed them through Pillow.
    """
    tags, camera = Image.Exif(), Image.Exif()
    if exif is not None:
        camera.load(exif)
        for tag, value in camera.items():
            if tag not in {ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}:
                tags[tag] = value
    if xmp is not None:
        tags[700] = xmp
    if written.iptc is not None:
        tags[33723] = written.iptc
    return {"exif": tags} if len(tags) else {}


def _png_texts(xmp: bytes | None, written: AuthorNotes) -> dict[str, Any]:
    if xmp is None and not written.texts:
        return {}
    info = PngInfo()
    for name, text in written.texts:
        info.add_itxt(name, text)
    if xmp is not None:
        info.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8"))
    return {"pnginfo": info}


def write_image(path: str | os.PathLike[str], pixels: RGBImage, *, quality: int | None = None) -> None:
    """Write a drawing that shows no swapped face: annotated detections, contact sheets, charts.

    It carries no mark. A result of a swap goes through `swap.output.save_image`, which marks it.

    Args:
        path: where; its ending names the format.
        pixels: (H, W, 3) uint8 RGB.
        quality: 1 to 100 for lossy formats.

    Raises:
        ImageError: an unknown ending, or a place that cannot be written to.
    """
    format = format_for(path)
    atomic_write(path, encode_image(LoadedImage.from_pixels(pixels, format=format), quality=quality))


def _check_pixels(pixels: NDArray[Any]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"pixels must be (H, W, 3) uint8 RGB, not {pixels.shape} {pixels.dtype}")
