"""Clips like real footage, made of portraits that may be shipped (`benchmarks/portraits`).

People move, turn their heads and stand before a background that stands still or pans; there are cuts, the grain of a
camera, and faces of 120 to 500 px. What each frame shows is known: who is where.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np

from hififace.types import FloatArray, RGBImage

PORTRAITS = Path(__file__).parent / "portraits"
PORTRAIT_PX, FACE_PX = 640, 337.0
RATE = 25
REPEAT = 100
"""After so many frames the images come back in reverse: drawing them costs neither time nor memory of note."""


@dataclass(frozen=True, slots=True)
class Person:
    """Where somebody stands."""

    name: str
    """Of a portrait, such as 001_neutral; `-` before it mirrors it, which makes another person of it."""
    x: float
    y: float
    """Centre of the face, in shares of the image's width and height."""
    size_px: float
    """Of the face (square root of its box's area)."""


@dataclass(frozen=True, slots=True)
class Clip:
    """What a clip shows."""

    width: int
    height: int
    codec: str
    shots: tuple[tuple[Person, ...], ...]
    """Who is in each shot; the shots are of one length."""
    pan: bool = False
    """Whether the camera moves."""
    grain: float = 3.0
    """Standard deviation, levels."""
    select: str = "all"


def one(name: str, size_px: float, x: float = 0.5, y: float = 0.5) -> tuple[Person, ...]:
    """A shot of one person."""
    return (Person(name, x, y, size_px),)


_NAMES = ("001", "002", "024", "025", "029", "038", "100", "119", "124", "128")
_LEADER = Person("001_neutral", 0.5, 0.45, 200.0)
_OTHERS = tuple(
    Person(f"{name}_neutral", 0.08 + 0.21 * (place % 5), 0.22 if place < 5 else 0.8, 120.0)
    for place, name in enumerate(_NAMES[1:])
)

CLIPS: dict[str, Clip] = {
    "720p one": Clip(1280, 720, "libx264", (one("001_neutral", 280),)),
    "720p pan": Clip(1280, 720, "libx264", (one("024_smiling", 280),), pan=True),
    "720p cut": Clip(
        1280,
        720,
        "libx264",
        (
            (Person("001_neutral", 0.3, 0.5, 220), Person("002_smiling", 0.7, 0.5, 180)),
            one("001_smiling", 320, 0.4, 0.5),
        ),
    ),
    "1080p alone": Clip(1920, 1080, "libx264", ((_LEADER,),), select="largest"),
    "1080p one of ten": Clip(1920, 1080, "libx264", ((_LEADER, *_OTHERS),), select="largest"),
    "1080p HEVC": Clip(1920, 1080, "libx265", (one("100_neutral", 400),), pan=True),
    "4K HEVC": Clip(3840, 2160, "libx265", (one("119_smiling", 500),)),
}


@cache
def portrait(name: str) -> RGBImage:
    """(640, 640, 3) by the name of a `Person`."""
    bgr = cv2.imread(str(PORTRAITS / f"{name.removeprefix('-')}.jpg"))
    image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(image[:, ::-1] if name.startswith("-") else image)


@cache
def _head_mask() -> FloatArray:
    """(640, 640) 1 on the head, with a soft rim."""
    mask = np.zeros((PORTRAIT_PX, PORTRAIT_PX), np.float32)
    cv2.ellipse(mask, (PORTRAIT_PX // 2, PORTRAIT_PX // 2), (230, 300), 0, 0, 360, 1.0, -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 12), np.float32)


@cache
def _room(width: int, height: int) -> RGBImage:
    """A wall with furniture, out of focus, larger than the image so that a camera can pan over it."""
    rng = np.random.default_rng(0)
    wall = np.full((height + 64, width + 256, 3), (150, 140, 128), np.uint8)
    for _ in range(60):
        x, y = int(rng.integers(0, width + 256)), int(rng.integers(0, height + 64))
        w, h = int(rng.integers(width // 40, width // 6)), int(rng.integers(height // 20, height // 3))
        colour = tuple(int(v) for v in rng.integers(40, 215, 3))
        cv2.rectangle(wall, (x, y), (x + w, y + h), colour, -1)
    return np.asarray(cv2.GaussianBlur(wall, (0, 0), height / 180), np.uint8)


def _turned(yaw_deg: float, roll_deg: float, scale: float, centre: tuple[float, float]) -> FloatArray:
    """(3, 3) from the portrait to the image: a plane turned about its upright axis, seen from five portraits away."""
    yaw, roll = np.deg2rad(yaw_deg), np.deg2rad(roll_deg)
    half, far = PORTRAIT_PX / 2, 5.0 * PORTRAIT_PX
    to_middle = np.array([[1, 0, -half], [0, 1, -half], [0, 0, 1]])
    turn = np.array([[np.cos(yaw), 0, 0], [0, 1, 0], [np.sin(yaw) / far, 0, 1]])
    cosine, sine = scale * np.cos(roll), scale * np.sin(roll)
    place = np.array([[cosine, -sine, centre[0]], [sine, cosine, centre[1]], [0, 0, 1]])
    return np.asarray(place @ turn @ to_middle, np.float32)


def shot_of(clip: Clip, number: int, num_frames: int) -> int:
    """Which shot frame `number` of a clip of so many belongs to."""
    return min(number * len(clip.shots) // num_frames, len(clip.shots) - 1)


def centre_of(clip: Clip, shot: int, place: int, number: int) -> tuple[float, float]:
    """Where (x, y) the face of the person at a place of a shot is, in pixels, in frame `number`."""
    person = clip.shots[shot][place]
    phase = number / RATE + 1.7 * place
    return (
        person.x * clip.width + 0.12 * person.size_px * float(np.sin(1.9 * phase)),
        person.y * clip.height + 0.06 * person.size_px * float(np.sin(2.7 * phase)),
    )


def draw(clip: Clip, number: int, num_frames: int) -> RGBImage:
    """Frame `number` (H, W, 3) of a clip of so many."""
    width, height = clip.width, clip.height
    shot = shot_of(clip, number, num_frames)
    wall = _room(width, height)
    if shot % 2:
        wall = wall[::-1, ::-1]
    across = int(128 + 120 * np.sin(number / 40)) if clip.pan else 128
    image = np.ascontiguousarray(wall[32 : 32 + height, across : across + width])
    for place, person in enumerate(clip.shots[shot]):
        phase = number / RATE + 1.7 * place
        size = person.size_px
        centre = centre_of(clip, shot, place, number)
        matrix = _turned(18 * np.sin(1.3 * phase), 6 * np.sin(phase), size / FACE_PX, centre)
        reach = int(size * 1.1)
        x0, y0 = max(int(centre[0]) - reach, 0), max(int(centre[1]) - reach, 0)
        x1, y1 = min(int(centre[0]) + reach, width), min(int(centre[1]) + reach, height)
        moved = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float32) @ matrix
        flags = cv2.INTER_AREA if size < FACE_PX / 2 else cv2.INTER_LINEAR
        head = cv2.warpPerspective(portrait(person.name), moved, (x1 - x0, y1 - y0), flags=flags)
        share = cv2.warpPerspective(_head_mask(), moved, (x1 - x0, y1 - y0))[..., None]
        part = image[y0:y1, x0:x1]
        part[...] = np.rint(part * (1 - share) + head * share)
    if clip.grain:
        noise = np.random.default_rng(number % 16).normal(0, clip.grain, (height, width)).astype(np.float32)
        image = np.clip(image + noise[..., None], 0, 255).astype(np.uint8)
    return image


def make_clip(path: Path, clip: Clip, num_frames: int) -> Path:
    """Write a clip at about the rate of a camera."""
    options = {"crf": "20", "preset": "veryfast"}
    if clip.codec == "libx265":
        options["x265-params"] = "log-level=error"
    with av.open(str(path), "w") as video:
        stream = video.add_stream(clip.codec, rate=Fraction(RATE), options=options)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        for number in range(num_frames):
            turn = number % (2 * REPEAT)
            image = draw(clip, number if len(clip.shots) > 1 else min(turn, 2 * REPEAT - turn), num_frames)
            video.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        video.mux(stream.encode(None))
    return path
