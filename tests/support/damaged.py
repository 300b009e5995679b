"""Damaged, odd and hostile images and videos, made from a seed: the same numbers give the same files everywhere.

Nothing here is taken from anybody: faces are those of scikit-image's astronaut (public domain).
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, features

from tests.support.face_videos import head
from tests.support.videos import Recipe, Sound, make_video

Damage = Callable[[bytes, random.Random], bytes]

EXTREMES: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def truncate(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def flip_bits(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 4, 32, 256))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def flip_header_bits(data: bytes, chance: random.Random) -> bytes:
    head_size = min(len(data), 512)
    return flip_bits(data[:head_size], chance) + data[head_size:]


def overwrite(data: bytes, chance: random.Random) -> bytes:
    at, size = chance.randrange(len(data)), chance.choice((1, 16, 400))
    return data[:at] + chance.randbytes(size) + data[at + size :]


def set_extreme(data: bytes, chance: random.Random) -> bytes:
    """One number of a header to its edge: sizes, counts, offsets."""
    at = chance.randrange(min(len(data) - 8, 400))
    width, order = chance.choice((("B", 1), ("H", 2), ("I", 4))), chance.choice("<>")
    value = chance.choice(EXTREMES) & (256 ** width[1] - 1)
    return data[:at] + struct.pack(order + width[0], value) + data[at + width[1] :]


def cut_out(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.choice((1, 7, 300)) :]


def repeat_part(data: bytes, chance: random.Random) -> bytes:
    at, size = chance.randrange(len(data)), chance.choice((4, 100, 2000))
    return data[: at + size] + data[at:]


def put_behind(data: bytes, chance: random.Random) -> bytes:
    return data + chance.choice((b"\0" * 1000, chance.randbytes(1000), data))


DAMAGES: Final[Sequence[Damage]] = (
    truncate, flip_bits, flip_header_bits, overwrite, set_extreme, cut_out, repeat_part, put_behind,
)  # fmt: skip


def images(seed: int, number: int) -> Iterator[tuple[str, bytes]]:
    """(name, content) of so many image files; a quarter are odd and whole, the others damaged."""
    chance = random.Random(seed)
    whole = [*_whole_images(), *_odd_images()]
    for index in range(number):
        name, data = chance.choice(whole)
        suffix = chance.choice((Path(name).suffix,) * 4 + (".jpg", ".png", ".webp"))
        label = "whole"
        if index % 4:
            damage = chance.choice(DAMAGES)
            label, data = damage.__name__, damage(data, chance) if len(data) > 16 else data
        yield f"{index:04d}-{Path(name).stem}-{label}{suffix}", data


def videos(seed: int, number: int, folder: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of so many video files; `folder` takes the whole ones that they are made from."""
    chance = random.Random(seed)
    whole = [*_whole_videos(folder), *_odd_videos()]
    for index in range(number):
        name, data = chance.choice(whole)
        suffix = chance.choice((Path(name).suffix,) * 5 + (".mp4", ".mkv"))
        label = "whole"
        if index % 5:
            damage = chance.choice(DAMAGES)
            label, data = damage.__name__, damage(data, chance) if len(data) > 16 else data
        yield f"{index:04d}-{Path(name).stem}-{label}{suffix}", data


def _encoded(picture: Image.Image, format: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=format, **settings)
    return buffer.getvalue()


def _whole_images() -> Iterator[tuple[str, bytes]]:
    face = Image.fromarray(head())
    grey = face.convert("L")
    yield "photo.jpg", _encoded(face, "JPEG", quality=85)
    yield "progressive.jpg", _encoded(face, "JPEG", progressive=True, exif=_exif())
    yield "cmyk.jpg", _encoded(face.convert("CMYK"), "JPEG")
    yield "photo.png", _encoded(face, "PNG")
    yield "palette.png", _encoded(face.quantize(16), "PNG", transparency=3)
    yield "alpha.png", _encoded(face.convert("RGBA"), "PNG")
    yield "deep.png", _encoded(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "PNG")
    yield "photo.webp", _encoded(face, "WEBP", exif=_exif())
    yield "lossless.webp", _encoded(face.convert("RGBA"), "WEBP", lossless=True)
    yield "plain.tif", _encoded(face, "TIFF")
    yield "lzw.tif", _encoded(face, "TIFF", compression="tiff_lzw")
    yield "deflate.tif", _encoded(grey, "TIFF", compression="tiff_adobe_deflate")
    yield "photo.bmp", _encoded(face, "BMP")
    yield "photo.gif", _encoded(face.quantize(64), "GIF", comment=b"words")
    yield "moving.gif", _encoded(face.quantize(8), "GIF", save_all=True, append_images=[grey.quantize(8)] * 3)
    if features.check("avif"):
        yield "photo.avif", _encoded(face, "AVIF", quality=50, speed=10)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    return exif


def _odd_images() -> Iterator[tuple[str, bytes]]:
    face = Image.fromarray(head())
    yield "empty.jpg", b""
    yield "text.jpg", b"no image at all\n" * 40
    yield "zeros.png", bytes(2000)
    yield "script.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n%%EOF\n"
    yield "drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    yield "ppm.jpg", _encoded(face, "PPM")
    yield "ico.png", _encoded(face.resize((64, 64)), "ICO")
    yield "targa.jpg", _encoded(face, "TGA")
    yield "dot.png", _encoded(face.resize((1, 1)), "PNG")
    yield "thread.png", _encoded(face.resize((4000, 1)), "PNG")
    yield "mast.jpg", _encoded(face.resize((1, 4000)), "JPEG")
    yield "bomb.png", _png_of(60_000, 60_000)
    yield "huge.gif", _encoded(face.quantize(4), "GIF")[:6] + b"\xff\xff\xff\xff" + bytes(200)
    yield "notes.png", _encoded(face, "PNG", exif=bytes(range(256)), icc_profile=bytes(300))
    yield "deep-xmp.jpg", _encoded(face, "JPEG", xmp=b"<x>" * 15_000)


def _png_of(width: int, height: int) -> bytes:
    """A PNG whose header announces more pixels than its few bytes hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(999)))
        + chunk(b"IEND", b"")
    )


_SIZE: Final = (160, 120)


def _whole_videos(folder: Path) -> Iterator[tuple[str, bytes]]:
    face = np.asarray(Image.fromarray(head()).resize((100, 100)))

    def draw(number: int, _seconds: float, size: tuple[int, int]) -> np.ndarray:
        frame = np.full((size[1], size[0], 3), 90, np.uint8)
        frame[10:110, 20 + 2 * number : 120 + 2 * number] = face
        return frame

    common = {"seconds": 0.24, "size": _SIZE, "draw": draw}
    sound = (Sound(click_times_s=(0.1,)),)
    recipes = {
        "plain.mp4": Recipe(**common, sounds=sound),
        "fragments.mp4": Recipe(**common, container_options={"movflags": "frag_keyframe+empty_moov"}),
        "plain.mov": Recipe(**common, codec="mpeg4", options={}),
        "plain.mkv": Recipe(**common, sounds=sound),
        "plain.webm": Recipe(**common, codec="libvpx-vp9", options={"crf": "40", "deadline": "realtime"}),
        "plain.avi": Recipe(**common, codec="mpeg4", options={}),
        "plain.ts": Recipe(**common),
        "plain.flv": Recipe(**common, codec="flv", options={}),
        "plain.mpg": Recipe(**common, codec="mpeg2video", options={}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, recipe in recipes.items():
        yield name, make_video(folder / name, recipe).read_bytes()


def _odd_videos() -> Iterator[tuple[str, bytes]]:
    yield "empty.mp4", b""
    yield "text.mp4", b"no video at all\n" * 40
    yield "concat.mp4", b"ffconcat version 1.0\nfile plain.mp4\nfile /etc/passwd\n"
    yield "list.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    yield "atom.mp4", struct.pack(">I4sQ", 1, b"ftyp", 0xFFFFFFFFFFFFFFFF) + bytes(64)
    yield "image.mp4", _encoded(Image.fromarray(head()), "PNG")
    yield "random.mkv", b"\x1aE\xdf\xa3" + random.Random(1).randbytes(3000)
