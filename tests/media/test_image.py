from __future__ import annotations

import contextlib
import functools
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from hififace.errors import ImageError
from hififace.media.image import (
    LoadedImage,
    encode_image,
    format_for,
    read_image,
    suffix_for,
    write_image,
)


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    """An image whose four corners differ, so that any turn or swap of channels shows."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, 128 + 0 * x], axis=-1).astype(np.uint8)


def encoded(image: Image.Image, format: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **settings)
    return buffer.getvalue()


@functools.cache  # it holds the second in which it was made
def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# -- reading: every kind of pixel ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_exif_orientation_is_applied_and_forgotten(orientation, turn):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Camera"
    stored = gradient()
    loaded = read_image(encoded(Image.fromarray(stored), "PNG", exif=exif))
    np.testing.assert_array_equal(loaded.pixels, turn(stored))
    kept = Image.Exif()
    kept.load(loaded.exif or b"")
    assert ExifTags.Base.Orientation not in kept
    assert kept[ExifTags.Base.Make] == "Camera"


def test_exif_thumbnail_and_maker_note_are_not_carried_over():
    """A camera's thumbnail would still show the face that was replaced."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = b"secret thumbnail"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2026:01:02 03:04:05"
    loaded = read_image(encoded(Image.fromarray(gradient()), "JPEG", exif=exif))
    assert loaded.exif is not None
    assert b"secret" not in loaded.exif
    assert b"2026:01:02" in loaded.exif


def test_alpha_is_kept_aside_and_returned():
    rgba = np.dstack([gradient(), np.full((40, 60), 77, np.uint8)])
    loaded = read_image(encoded(Image.fromarray(rgba), "PNG"))
    np.testing.assert_array_equal(loaded.pixels, gradient())
    assert loaded.alpha is not None
    assert set(np.unique(loaded.alpha)) == {77}
    back = np.asarray(Image.open(io.BytesIO(encode_image(loaded))))
    np.testing.assert_array_equal(back, rgba)


def test_alpha_is_dropped_where_the_format_has_none():
    rgba = np.dstack([gradient(), np.full((40, 60), 77, np.uint8)])
    loaded = read_image(encoded(Image.fromarray(rgba), "PNG"))
    assert Image.open(io.BytesIO(encode_image(loaded, format="JPEG"))).mode == "RGB"


def test_grey_becomes_three_equal_channels():
    grey = gradient()[..., 0]
    loaded = read_image(encoded(Image.fromarray(grey), "PNG"))
    assert loaded.mode == "L"
    for channel in range(3):
        np.testing.assert_array_equal(loaded.pixels[..., channel], grey)


def test_one_bit_pictures_become_black_and_white():
    loaded = read_image(encoded(Image.fromarray(gradient()).convert("1"), "PNG"))
    assert set(np.unique(loaded.pixels)) == {0, 255}


def test_sixteen_bit_grey_is_scaled_not_clipped():
    """Pillow's own conversion of 16-bit grey to 8 clips everything above 255 to white."""
    grey = (gradient()[..., 0].astype(np.uint16)) * 257
    loaded = read_image(encoded(Image.fromarray(grey), "PNG"))
    assert loaded.bit_depth == 16
    np.testing.assert_array_equal(loaded.pixels[..., 1], gradient()[..., 0])


def test_sixteen_bit_colour_is_reduced_to_eight():
    pixels = gradient()
    wide = (pixels.astype(">u2") * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    loaded = read_image(png)
    assert loaded.bit_depth == 16
    np.testing.assert_array_equal(loaded.pixels, pixels)


def test_palette_with_transparency():
    image = Image.fromarray(gradient()).quantize(16)
    image.info["transparency"] = 0
    loaded = read_image(encoded(image, "PNG", transparency=0))
    assert loaded.mode == "P"
    assert loaded.alpha is not None
    assert set(np.unique(loaded.alpha)) == {0, 255}


def test_cmyk_becomes_srgb_without_profile():
    image = Image.fromarray(gradient()).convert("CMYK")
    loaded = read_image(encoded(image, "JPEG", quality=100))
    assert loaded.mode == "CMYK"
    assert loaded.icc_profile is None
    assert np.abs(loaded.pixels.astype(int) - gradient()).mean() < 4


def test_rgb_profile_is_kept_and_written_again():
    profile = srgb_profile()
    loaded = read_image(encoded(Image.fromarray(gradient()), "JPEG", icc_profile=profile))
    assert loaded.icc_profile == profile
    again = read_image(encode_image(loaded))
    assert again.icc_profile == profile
    assert (again.format, again.size) == ("JPEG", (60, 40))


def test_a_profile_of_another_colour_space_is_dropped():
    grey_profile = b"\0" * 16 + b"GRAY" + b"\0" * 200
    image = Image.fromarray(gradient()[..., 0])
    assert read_image(encoded(image, "PNG", icc_profile=grey_profile)).icc_profile is None


def test_first_frame_of_an_animation():
    frames = [Image.fromarray(np.full((20, 20, 3), value, np.uint8)) for value in (10, 200)]
    loaded = read_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert abs(int(loaded.pixels.mean()) - 10) <= 3


def test_heic_is_read_and_written():
    pytest.importorskip("pillow_heif")
    loaded = read_image(encode_image(LoadedImage.from_pixels(gradient(), format="HEIF")))
    assert (loaded.format, loaded.size) == ("HEIF", (60, 40))
    assert np.abs(loaded.pixels.astype(int) - gradient()).mean() < 4


def test_bytes_paths_and_file_objects_give_the_same(tmp_path: Path):
    data = encoded(Image.fromarray(gradient()), "PNG")
    path = tmp_path / "ä photo.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        for source in (data, path, str(path), file):
            np.testing.assert_array_equal(read_image(source).pixels, gradient())
    assert read_image(path).path == path


# -- reading: what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello, I am a text file", "not an image"),
        (b"%PDF-1.7 and so on", "PDF"),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 40, "video"),
        (b"\x1aE\xdf\xa3" + b"\0" * 40, "video"),
        (b"\x89PNG\r\n\x1a\n", "damaged or cut short|not an image"),
    ],
)
def test_files_that_are_no_pictures(data: bytes, words: str):
    with pytest.raises(ImageError, match=words):
        read_image(data)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_files_give_a_sentence(format: str, share: float):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), format)
    with pytest.raises(ImageError, match=r"damaged or cut short|not an image"):
        read_image(data[: int(len(data) * share)])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_damaged_bytes_never_escape_as_another_exception(format: str):
    clean = bytearray(encoded(Image.fromarray(gradient()), format))
    rng = np.random.default_rng(1)
    for _ in range(60):
        data = bytearray(clean)
        for at in rng.integers(4, len(data), 8):
            data[at] = int(rng.integers(256))
        with contextlib.suppress(ImageError):
            assert read_image(bytes(data)).pixels.dtype == np.uint8


def test_a_decompression_bomb_is_refused_by_its_header():
    data = encoded(Image.new("1", (20000, 12000)), "PNG")
    assert len(data) < 100_000
    with pytest.raises(ImageError, match="240 megapixels"):
        read_image(data)


def test_the_limit_is_ours_and_pillow_keeps_its_own(monkeypatch: pytest.MonkeyPatch):
    """Pillow's limit is one number for the whole process: another library's choice must not reach us."""
    data = encoded(Image.fromarray(gradient()), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(data).size == (60, 40)
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(ImageError, match=r"limit of 0\.001"):
        read_image(data, max_megapixels=0.001)


def test_missing_file_and_folder(tmp_path: Path):
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / "nowhere.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)


def test_floating_point_pixels_are_refused():
    data = encoded(Image.fromarray(np.linspace(0, 9, 100, dtype=np.float32).reshape(10, 10)), "TIFF")
    with pytest.raises(ImageError, match="no value is defined as white"):
        read_image(data)


# -- writing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_lossless_formats_give_the_pixels_back(format: str):
    loaded = LoadedImage.from_pixels(gradient(), format=format)
    again = read_image(encode_image(loaded))
    assert again.format == format
    np.testing.assert_array_equal(again.pixels, gradient())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_notes_of_the_camera_and_xmp_travel(format: str):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    source = read_image(encoded(Image.fromarray(gradient()), "JPEG", exif=exif, icc_profile=srgb_profile()))
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    data = encode_image(source, format=format, xmp=packet)
    assert packet in data
    again = read_image(data)
    assert again.exif is not None
    assert b"Camera" in again.exif
    assert again.icc_profile == srgb_profile()
    bare = encode_image(source, format=format, keep_exif=False)
    assert b"Camera" not in bare


def test_quality_changes_the_size_and_is_checked():
    loaded = LoadedImage.from_pixels(gradient(), format="JPEG")
    assert len(encode_image(loaded, quality=30)) < len(encode_image(loaded))
    with pytest.raises(ImageError, match="from 1 to 100"):
        encode_image(loaded, quality=0)


def test_a_format_that_cannot_be_written_becomes_png():
    assert encode_image(LoadedImage.from_pixels(gradient(), format="PSD")).startswith(b"\x89PNG")
    assert suffix_for("PSD") == ".png"


def test_a_picture_too_large_for_its_format_gives_a_sentence():
    wide = LoadedImage.from_pixels(np.zeros((2, 20000, 3), np.uint8), format="WEBP")
    with pytest.raises(ImageError, match="20000 x 2 image cannot be written as WEBP"):
        encode_image(wide)


def test_endings_name_formats():
    assert format_for("a/b.JPEG") == "JPEG"
    assert [suffix_for(name) for name in ("JPEG", "HEIF", "WEBP", "TIFF")] == [
        ".jpg",
        ".heic",
        ".webp",
        ".tif",
    ]
    with pytest.raises(ImageError, match=r"'\.txt'"):
        format_for("a.txt")


def test_with_pixels_keeps_settings_and_checks_shapes():
    loaded = LoadedImage(pixels=gradient(), alpha=np.zeros((40, 60), np.uint8), format="WEBP")
    assert loaded.with_pixels(gradient()).alpha is loaded.alpha
    assert loaded.with_pixels(gradient(20, 20)).alpha is None
    with pytest.raises(ValueError, match="uint8 RGB"):
        loaded.with_pixels(gradient()[..., 0])


def test_write_picture_makes_folders_and_names_the_format_by_the_ending(tmp_path: Path):
    path = tmp_path / "new" / "drawing.png"
    write_image(path, gradient())
    np.testing.assert_array_equal(read_image(path).pixels, gradient())
    with pytest.raises(ImageError, match="no image format"):
        write_image(tmp_path / "drawing", gradient())
