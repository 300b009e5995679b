"""Stand-ins for the literature's sets: their folders, names and lists, filled with one public-domain portrait."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from hififace.types import RGBImage
from tests.support.evaluation_doubles import portrait
from tests.support.videos import Recipe, make_video

LOOKS = {
    "000": (1.0, False),
    "003": (0.6, False),
    "071": (0.8, True),
    "054": (0.45, True),
}
"""Video of FaceForensics++ -> (brightness, mirrored); the two of a pair have their faces at the same places."""


def look(name: str, frame: int, side: int = 240) -> RGBImage:
    """A frame: the portrait, a little moved from frame to frame."""
    brightness, mirrored = LOOKS[name]
    image = portrait(brightness, mirrored, shift=frame % 5)
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def write_faceforensics(root: Path, *, num_frames: int = 13) -> Path:
    """Four original videos, 71 as frames only; two pairs both ways in the splits; another method's results."""
    videos = root / "original_sequences" / "youtube" / "c23" / "videos"
    videos.mkdir(parents=True)
    for name in LOOKS:
        _video(videos / f"{name}.mp4", name, num_frames)
    splits = root / "splits"
    splits.mkdir()
    (splits / "train.json").write_text(json.dumps([["000", "003"]]))
    (splits / "val.json").write_text(json.dumps([["071", "054"]]))
    (splits / "test.json").write_text(json.dumps([["953", "974"]]))  # both are missing
    return root


def write_method(root: Path, name: str, swaps: dict[str, str], num_frames: int = 13) -> Path:
    """Results TARGET_SOURCE.mp4 that show the named original instead."""
    folder = root / "manipulated_sequences" / name / "c23" / "videos"
    folder.mkdir(parents=True)
    for pair, shown in swaps.items():
        _video(folder / f"{pair}.mp4", shown, num_frames)
    return folder


def write_photos(folder: Path, num: int = 6) -> Path:
    """Photos as FFHQ names them, the last one of nobody."""
    for place in range(num):
        below = folder / "images1024x1024" / "00000"
        below.mkdir(parents=True, exist_ok=True)
        brightness, mirrored = list(LOOKS.values())[place % 4]
        image = portrait(brightness * (0.9 if place > 3 else 1.0), mirrored, shift=place)
        if place == num - 1:
            image = np.full_like(image, 90)
        Image.fromarray(image).save(below / f"{place:05d}.png")
    return folder


def _video(path: Path, name: str, num_frames: int) -> None:
    make_video(
        path,
        Recipe(
            seconds=num_frames / 25,
            size=(240, 240),
            rate=Fraction(25),
            draw=lambda number, _seconds, _size: look(name, number),
        ),
    )
