"""Videos of faces for tests: scikit-image's astronaut (public domain), moved, crossed, hidden and cut."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from tests.support.videos import Recipe, Sound, make_video

SIZE = (320, 240)


def head(mirrored: bool = False, dim: float = 1.0) -> np.ndarray:
    """(230, 230, 3) the astronaut's head, of about 100 px."""
    image = data.astronaut()[20:250, 110:340]
    image = image[:, ::-1] if mirrored else image
    return np.clip(image * dim, 0, 255).astype(np.uint8)


def room(shade: int = 90) -> np.ndarray:
    """(240, 320, 3) a wall with a pattern."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    wall = shade + 25 * np.sin(x / 17.0) * np.cos(y / 23.0)
    return np.repeat(wall[..., None], 3, axis=2).astype(np.uint8)


def put(
    frame: np.ndarray, face: np.ndarray, x: float, y: float, scale: float = 0.8, turn_deg: float = 0.0
) -> np.ndarray:
    """The frame with a head (an ellipse of it) centred at (x, y)."""
    side = face.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), turn_deg, scale)
    matrix[:, 2] += (x - side / 2, y - side / 2)
    mask = np.zeros((side, side), np.float32)
    cv2.ellipse(mask, (side // 2 - 2, side // 2 + 5), (85, 105), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 4)
    warped = cv2.warpAffine(face, matrix, SIZE).astype(np.float32)
    share = cv2.warpAffine(mask, matrix, SIZE)[..., None]
    return np.clip(frame * (1 - share) + warped * share, 0, 255).astype(np.uint8)


def face_video(
    path: Path, draw: Callable[[int], np.ndarray], num_frames: int, *, sound: bool = False, rate: int = 25
) -> Path:
    """Write a video whose frame n is draw(n), (240, 320, 3)."""
    recipe = Recipe(
        seconds=num_frames / rate,
        rate=Fraction(rate),
        size=SIZE,
        draw=lambda number, _seconds, _size: draw(number),
        sounds=(Sound(click_times_s=(0.2, 0.6)),) if sound else (),
        options={"crf": "14", "preset": "ultrafast"},
    )
    return make_video(path, recipe)
