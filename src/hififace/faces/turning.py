"""Faces that lie on their side or stand on their head: turn the picture, search it, map back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from hififace.faces.candidates import Candidates
from hififace.types import FloatArray, Matrix23, RGBImage


def search_turned(
    search: Callable[[RGBImage], Candidates],
    image: RGBImage,
    *,
    angles_deg: Sequence[int] = (0, 90, 180, 270),
) -> Candidates:
    """Search a picture turned by several angles and map what was found back.

    Of two finds of one face the one that stands more upright in its turned picture wins: an upside-down face may
    be found as a face, but with its mouth for eyes.

    Args:
        search: finds upright faces and those leaning by up to half a step.
        image: (H, W, 3).
        angles_deg: clockwise turns.
    """
    several = []
    for angle in angles_deg:
        turned, back = turn_picture(image, angle)
        found = search(turned)
        lean = leaning_deg(found.points)
        found = Candidates(
            found.boxes, found.scores, found.points, (found.ranks - np.abs(lean) / 180.0).astype(np.float32)
        )
        several.append(found.turned(back))
    return Candidates.joined(several)


def turn_picture(image: RGBImage, angle_deg: int) -> tuple[RGBImage, Matrix23]:
    """Turn a picture clockwise onto a canvas that holds all of it; the matrix maps turned pixels back to it."""
    height, width = image.shape[:2]
    if angle_deg % 360 == 0:
        return image, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    radians = np.deg2rad(angle_deg)
    cos, sin = np.cos(radians), np.sin(radians)
    canvas_w = int(np.ceil(abs(cos) * width + abs(sin) * height - 1e-6))
    canvas_h = int(np.ceil(abs(sin) * width + abs(cos) * height - 1e-6))
    turn = np.array([[cos, -sin], [sin, cos]])  # clockwise, as y points down
    middle, canvas_middle = np.array([width - 1, height - 1]) / 2, np.array([canvas_w - 1, canvas_h - 1]) / 2
    forward = np.concatenate([turn, (canvas_middle - turn @ middle)[:, None]], axis=1)
    back = np.concatenate([turn.T, (middle - turn.T @ canvas_middle)[:, None]], axis=1)
    if angle_deg % 90 == 0:
        return np.ascontiguousarray(np.rot90(image, -angle_deg // 90)), back
    turned = cv2.warpAffine(image, forward, (canvas_w, canvas_h), flags=cv2.INTER_LINEAR)
    return np.asarray(turned, np.uint8), back


def leaning_deg(points: FloatArray) -> FloatArray:
    """Roll of faces by their five points: (N, 5, 2) to (N,) degrees, 0 upright, positive clockwise.

    The vertical from the eyes to the mouth is used, not the line through the eyes, which foreshortens in profile.
    """
    down = points[:, 3:].mean(axis=1) - points[:, :2].mean(axis=1)
    return np.asarray(np.rad2deg(np.arctan2(-down[:, 0], down[:, 1])), np.float32)
