"""The face region of a crop, drawn from the landmarks without OpenCV."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from hififace.types import FloatArray

OUTLINE_PX: Final = 0.45
"""OpenCV also fills the pixels that a polygon's outline touches: by so much its regions are wider."""


class MaskOutline(BaseModel):
    """How the face region follows from the landmarks (`faces.masks.face_polygon`): a pack explains itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    oval: tuple[int, ...]
    image_left_eye: tuple[int, ...]
    image_right_eye: tuple[int, ...]
    chin: int
    forehead_rise: float


def face_polygons(points: FloatArray, outline: MaskOutline) -> FloatArray:
    """Outlines of faces, raised over the forehead: `faces.masks.face_polygon` for many faces.

    Args:
        points: (n, P, 2) or (n, P, 3) in pixels.
        outline: which points make it.

    Returns:
        (n, V, 2) corners in order.
    """
    flat = points[..., :2].astype(np.float64)
    oval = flat[:, list(outline.oval)]
    left = flat[:, list(outline.image_left_eye)].mean(axis=1)
    right = flat[:, list(outline.image_right_eye)].mean(axis=1)
    across, middle = right - left, (left + right) / 2
    up = np.stack([across[:, 1], -across[:, 0]], axis=1)
    # In profile the eyes nearly meet: there, up points from the chin to the eyes.
    meet = np.linalg.norm(across, axis=1) < 1e-3
    up[meet] = (middle - flat[:, outline.chin])[meet]
    up /= np.maximum(np.linalg.norm(up, axis=1, keepdims=True), 1e-9)
    height = np.maximum(np.einsum("nvd,nd->nv", oval - middle[:, None], up), 0.0)
    raised: FloatArray = (oval + (outline.forehead_rise * height)[..., None] * up[:, None]).astype(np.float32)
    return raised


def widen(corners: FloatArray, by_px: float) -> FloatArray:
    """Polygons whose corners are moved outwards, away from their mean.

    Args:
        corners: (n, V, 2).
        by_px: how far.
    """
    away = corners - corners.mean(axis=1, keepdims=True)
    wider: FloatArray = corners + by_px * away / np.maximum(np.linalg.norm(away, axis=2, keepdims=True), 1e-6)
    return wider


def draw_polygon(corners: FloatArray, size: int) -> NDArray[np.uint8]:
    """(size, size) 255 where a pixel's centre lies inside the polygon, by crossings along each line of pixels.

    Args:
        corners: (V, 2) in pixels, centres at integers.
        size: side of the image.
    """
    x0, y0 = corners[:, 0].astype(np.float64), corners[:, 1].astype(np.float64)
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    lines = np.arange(size, dtype=np.float64)[:, None]
    crosses = (y0 <= lines) != (y1 <= lines)  # (size, V)
    slope = np.where(y1 != y0, (x1 - x0) / np.where(y1 != y0, y1 - y0, 1.0), 0.0)
    at = x0 + (lines - y0) * slope
    # Every crossing turns the rest of its line over: count them by column, and sum along the line.
    first = np.clip(np.ceil(at), 0, size).astype(np.int64)
    flips = np.zeros((size, size + 1), np.int64)
    np.add.at(flips, (np.broadcast_to(np.arange(size)[:, None], first.shape)[crosses], first[crosses]), 1)
    inside = np.cumsum(flips[:, :size], axis=1) % 2 == 1
    return np.where(inside, 255, 0).astype(np.uint8)
