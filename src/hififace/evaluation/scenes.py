"""Modifications of a photo before the swap: reduced size, dimmed light, a drawn occluder, drawn glasses.

They are synthetic, so that the correct result is known: an occluder should be unchanged, a dimmed target should give
the dimmed result of the original one, and glasses that only the source wears should not appear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.types import RGBImage

Points = NDArray[np.float64]

OCCLUDERS: Final = ("fingers", "bar", "microphone", "mask", "glasses")
DIM: Final = 0.25
"""Factor on the levels, for a face in a dark room."""

SHIFT: Final = 4
"""Fractional bits of coordinates in OpenCV's drawing functions."""


class Scene(NamedTuple):
    """A modification of a photo; picklable."""

    face_px: int = 0
    """Reduce the photo to this square root of its face box's area; 0 does not. Photos are never enlarged."""
    gain: float = 1.0
    """Factor on all levels."""
    occluder: str = ""
    """One of `OCCLUDERS`, drawn over the face."""

    @property
    def tag(self) -> str:
        """Identifies the scene in file names and hashes; empty for an unchanged photo."""
        parts = [f"{self.face_px}px"] if self.face_px else []
        parts += [f"gain{self.gain:g}"] if self.gain != 1.0 else []
        parts += [self.occluder] if self.occluder else []
        return "-".join(parts)


PLAIN: Final = Scene()


class Rendered(NamedTuple):
    """A modified photo."""

    pixels: RGBImage
    scale: float
    """Its size relative to the photo."""
    drawn: NDArray[np.bool_] | None
    """(H, W) where an occluder was drawn; None without one."""


def render(scene: Scene, photo: RGBImage, size_px: float, mesh: NDArray[np.floating]) -> Rendered:
    """Apply a scene to a photo.

    Args:
        scene: the modification.
        photo: (H, W, 3).
        size_px: square root of the area of its face box.
        mesh: (468, 3) of its face, in its pixels.
    """
    scale, image = 1.0, photo
    if scene.face_px and scene.face_px < size_px:
        wanted = scene.face_px / size_px
        width = max(round(photo.shape[1] * wanted), 1)
        height = max(round(photo.shape[0] * wanted), 1)
        scale = width / photo.shape[1]
        image = np.asarray(cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    drawn = None
    if scene.occluder:
        points = (np.asarray(mesh, np.float64)[:, :2] + 0.5) * scale - 0.5
        image, drawn = draw_occluder(scene.occluder, image, points)
    if scene.gain != 1.0:
        image = np.rint(image * np.float32(scene.gain)).clip(0, 255).astype(np.uint8)
    return Rendered(image, scale, drawn)


def draw_occluder(name: str, image: RGBImage, points: Points) -> tuple[RGBImage, NDArray[np.bool_]]:
    """The image with an occluder over its face, and the occluder's mask (H, W) without its soft edge.

    Args:
        name: one of `OCCLUDERS`.
        image: (H, W, 3).
        points: (468, 2) of the mesh.
    """
    height, width = image.shape[:2]
    cover = np.zeros((height, width), np.uint8)
    shade = np.zeros((height, width, 3), np.float32)
    _DRAWERS[name](cover, shade, points)
    eyes = float(np.linalg.norm(points[33] - points[263]))
    soft = cv2.GaussianBlur(cover, (0, 0), max(0.006 * eyes, 0.5)).astype(np.float32)[..., None] / 255.0
    mixed = image + soft * (shade - image)
    solid = cv2.erode(cover, np.ones((3, 3), np.uint8), iterations=max(round(0.012 * eyes), 1)) > 254
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), np.asarray(solid)


def glasses_lines(cover: NDArray[np.uint8], points: Points) -> None:
    """Draw the frames of glasses into a mask (H, W) as 255: two rings and a bridge."""
    eyes = float(np.linalg.norm(points[33] - points[263]))
    thick = max(round(0.045 * eyes), 2)
    across = (points[263] - points[33]) / max(eyes, 1e-6)
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    down = np.array([-across[1], across[0]])
    inner = []
    for first, second, side in ((33, 133, 1), (362, 263, -1)):
        middle = (points[first] + points[second]) / 2 + 0.04 * eyes * down
        axes = (0.24 * eyes, 0.185 * eyes)
        _ellipse(cover, middle, axes, angle, 255, thick)
        inner.append(middle + side * axes[0] * across)
    _line(cover, inner[0], inner[1], 255, thick)


def _fingers(cover: NDArray[np.uint8], shade: NDArray[np.float32], points: Points) -> None:
    """Three fingers from below across the mouth and a cheek."""
    eyes = float(np.linalg.norm(points[33] - points[263]))
    across = (points[263] - points[33]) / max(eyes, 1e-6)
    down = np.array([-across[1], across[0]])
    thick = max(round(0.17 * eyes), 2)
    for number, offset in enumerate((-0.05, 0.14, 0.33)):
        tip = points[1] + eyes * ((offset + 0.06) * across + (0.08 + 0.06 * abs(number - 1)) * down)
        root = points[152] + eyes * ((offset + 0.35) * across + 0.55 * down)
        tone = (196.0 - 14 * number, 146.0 - 10 * number, 120.0 - 8 * number)
        _line(cover, root, tip, 255, thick)
        _line(shade, root, tip, (0.72 * tone[0], 0.72 * tone[1], 0.72 * tone[2]), thick)
        _line(shade, root, tip, tone, max(round(0.6 * thick), 1))


def _bar(cover: NDArray[np.uint8], shade: NDArray[np.float32], points: Points) -> None:
    """A dark bar across the cheek and the chin."""
    eyes = float(np.linalg.norm(points[33] - points[263]))
    ends = points[205] + eyes * np.array([[-1.2, -0.9], [1.4, 1.05]])
    _line(cover, ends[0], ends[1], 255, max(round(0.16 * eyes), 2))
    shade[:] = (48.0, 52.0, 60.0)


def _microphone(cover: NDArray[np.uint8], shade: NDArray[np.float32], points: Points) -> None:
    """A microphone in front of the chin and the lower lip."""
    eyes = float(np.linalg.norm(points[33] - points[263]))
    head = points[17] + eyes * np.array([-0.1, 0.12])
    _line(cover, head, head + eyes * np.array([-0.25, 1.4]), 255, max(round(0.18 * eyes), 2))
    shade[:] = (30.0, 30.0, 32.0)
    _ellipse(cover, head, (0.26 * eyes, 0.3 * eyes), 0.0, 255, -1)
    y, x = np.mgrid[: cover.shape[0], : cover.shape[1]].astype(np.float32)
    grid = 40.0 + 60.0 * (np.sin(x * (40.0 / eyes)) * np.sin(y * (40.0 / eyes)) > 0)
    inside = np.zeros_like(cover)
    _ellipse(inside, head, (0.26 * eyes, 0.3 * eyes), 0.0, 255, -1)
    shade[inside > 0] = grid[inside > 0][:, None]


def _mask(cover: NDArray[np.uint8], shade: NDArray[np.float32], points: Points) -> None:
    """A cloth mask from the nose to the chin."""
    ring = [234, 227, 50, 5, 280, 447, 454, 361, 397, 378, 152, 149, 172, 132]
    corners = np.rint(points[ring] * (1 << SHIFT)).astype(np.int32)
    cv2.fillPoly(cover, [corners], 255, shift=SHIFT)
    eyes = float(np.linalg.norm(points[33] - points[263]))
    y = np.arange(cover.shape[0], dtype=np.float32)[:, None, None]
    folds = 1.0 - 0.08 * (np.sin((y - points[5][1]) * (14.0 / eyes)) > 0.6)
    shade[:] = np.array([150.0, 190.0, 215.0]) * folds


def _glasses(cover: NDArray[np.uint8], shade: NDArray[np.float32], points: Points) -> None:
    """Thick dark frames."""
    glasses_lines(cover, points)
    shade[:] = (25.0, 22.0, 24.0)


_DRAWERS: Final[dict[str, Callable[[NDArray[np.uint8], NDArray[np.float32], Points], None]]] = {
    "fingers": _fingers,
    "bar": _bar,
    "microphone": _microphone,
    "mask": _mask,
    "glasses": _glasses,
}


def _line(
    image: NDArray[np.uint8] | NDArray[np.float32],
    first: Points,
    second: Points,
    value: float | tuple[float, float, float],
    thick: int,
) -> None:
    ends = [tuple(int(v) for v in np.rint(end * (1 << SHIFT))) for end in (first, second)]
    cv2.line(image, ends[0], ends[1], value, thick, cv2.LINE_8, SHIFT)


def _ellipse(
    image: NDArray[np.uint8], middle: Points, axes: tuple[float, float], angle: float, value: int, thick: int
) -> None:
    center = tuple(int(v) for v in np.rint(middle * (1 << SHIFT)))
    radii = tuple(round(v * (1 << SHIFT)) for v in axes)
    cv2.ellipse(image, center, radii, angle, 0, 360, value, thick, cv2.LINE_8, SHIFT)
