from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, UnidentifiedImageError

import hififace
from hififace.errors import ImageError
from hififace.media.image import read_image
from hififace.media.image_formats import IMAGE_FORMATS, open_image
from hififace.provenance.verify import check_file

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 20 20
%%EndComments
0 0 20 20 rectfill
%%EOF
"""


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A false Ghostscript; the file that comes back exists as soon as it was started."""
    started, program = tmp_path / "started", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n: > '{started}'\nexit 0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return started


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_postscript_under_another_name_starts_no_program(tmp_path: Path, ghostscript: Path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(EPS)
    with pytest.raises(ImageError, match="PostScript"):
        read_image(photo)
    assert not check_file(photo).marked
    assert not ghostscript.exists()
    with pytest.raises(OSError), Image.open(photo) as opened:  # what Pillow does of its own accord  # noqa: PT011
        opened.load()
    assert ghostscript.exists()


@pytest.mark.parametrize("format", ["PPM", "TGA", "PCX", "SGI", "ICO", "DDS", "JPEG2000", "EPS"])
def test_other_formats_are_no_images(format: str):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(buffer, format=format)
    with pytest.raises(UnidentifiedImageError):
        open_image(buffer.getvalue())
    with pytest.raises(ImageError, match="not an image that can be read"):
        read_image(buffer.getvalue())


@pytest.mark.parametrize("format", [name for name in IMAGE_FORMATS if name != "HEIF"])
def test_named_formats_open(format: str):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(buffer, format=format)
    assert open_image(buffer.getvalue()).format == format


def test_a_gif_of_65535_x_65535_is_a_sentence(tmp_path: Path):
    """Its pixels would fill 4 GB; `verify` looks only at its comment."""
    buffer = io.BytesIO()
    Image.new("P", (8, 8)).save(buffer, format="GIF")
    data = bytearray(buffer.getvalue())
    data[6:10] = b"\xff\xff\xff\xff"
    (tmp_path / "huge.gif").write_bytes(data)
    assert not check_file(tmp_path / "huge.gif").marked
    with pytest.raises(ImageError, match="65535 x 65535"):
        read_image(bytes(data))


def test_images_are_opened_with_their_formats_named():
    package = Path(hififace.__file__).parent
    opens = re.compile(r"Image\.open\((?!.*formats=)|cv2\.imread\(|\bimageio\b|VideoCapture\(")
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if opens.search(path.read_text(encoding="utf-8"))
    }
    assert found == set()  # elsewhere the formats are named in the call
