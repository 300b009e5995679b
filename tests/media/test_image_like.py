from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hififace.errors import ImageError
from hififace.media.image import LoadedImage
from hififace.media.image_like import load_image

PIXELS = np.random.default_rng(5).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_kind_gives_the_same_pixels(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(png(PIXELS))
    with path.open("rb") as file:
        given = [str(path), path, png(PIXELS), bytearray(png(PIXELS)), io.BytesIO(png(PIXELS)), file]
        given += [
            PIXELS,
            PIXELS / 255.0,
            PIXELS.astype(np.float16) / np.float16(255),
            PIXELS.astype(np.uint16) * 257,
        ]
        given += [Image.fromarray(PIXELS), LoadedImage(PIXELS), np.asfortranarray(PIXELS)]
        for image in given:
            np.testing.assert_array_equal(load_image(image).pixels, PIXELS)


def test_grey_and_alpha():
    grey = PIXELS[..., 0]
    for image in (grey, grey[..., None], grey / 255.0):
        np.testing.assert_array_equal(load_image(image).pixels, np.repeat(grey[..., None], 3, axis=2))
    with_alpha = np.dstack([PIXELS, grey])
    loaded = load_image(with_alpha)
    np.testing.assert_array_equal(loaded.pixels, PIXELS)
    np.testing.assert_array_equal(loaded.alpha, grey)
    assert load_image(np.dstack([PIXELS, np.full((6, 8), 255, np.uint8)])).alpha is None
    assert load_image(PIXELS.astype(np.uint16) * 257).bit_depth == 16


def test_a_pil_image_is_turned_upright_keeps_its_format_and_is_not_changed():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", exif=exif)
    opened = Image.open(buffer)
    loaded = load_image(opened)
    assert loaded.size == (6, 8)
    assert loaded.format == "JPEG"
    assert opened.size == (8, 6)
    assert load_image(Image.fromarray(PIXELS).convert("CMYK")).pixels.shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (PIXELS.transpose(2, 0, 1), r"channels first.*Use array.transpose\(1, 2, 0\)"),
        (PIXELS[None], "a batch of 1.*swap_many"),
        (PIXELS.astype(float), "floats from .* 0 to 1 was expected. Divide by 255"),
        (PIXELS / 127.5 - 1.0, r"Scale it to 0\.\.1; from -1\.\.1 that is array / 2 \+ 0.5"),
        (np.full((4, 4, 3), np.nan), "floats that are NaN or infinite"),
        (np.full((4, 4), np.inf), "floats that are NaN or infinite"),
        (PIXELS.astype(np.int64), r"holds int64.*array.astype\(np.uint8\)"),
        (PIXELS > 3, "holds bool"),
        (PIXELS[..., :2], r"with 2 channels.*Use array\[\.\.\., 0\]"),
        (
            PIXELS.astype(np.uint16),
            r"holds uint16 from \d+ to \d+; 0 to 65535 was expected. Use array.astype",
        ),
        (PIXELS[:0], r"\(0, 8, 3\)"),
        (np.zeros(5, np.uint8), r"\(5,\)"),
    ],
)
def test_arrays_that_are_no_image_say_why(array: np.ndarray, sentence: str):
    with pytest.raises(ImageError, match=sentence):
        load_image(array)


def test_other_things_are_refused():
    with pytest.raises(ImageError, match="A list of 2 was given where one image was expected"):
        load_image([PIXELS, PIXELS])  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="cannot be read from int"):
        load_image(7)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"None was given.*OpenCV's imread returns None"):
        load_image(None)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="An empty path was given"):
        load_image("")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path):
    (tmp_path / "text.jpg").write_text("hello")
    with (
        (tmp_path / "text.jpg").open() as text,
        pytest.raises(ImageError, match="gives str instead of bytes"),
    ):
        load_image(text)  # type: ignore[arg-type]
    closed = (tmp_path / "text.jpg").open("rb")
    closed.close()
    with pytest.raises(ImageError, match="cannot be read from its open file: read of closed file"):
        load_image(closed)
