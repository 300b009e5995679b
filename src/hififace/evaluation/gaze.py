"""Gaze: by how many degrees the eyes of the result look elsewhere than the target's.

The iris lies off the middle between the eye's corners; along the line of the corners it is measured in widths of the
eye as they are seen, so that a turned head changes nothing, and square to it in widths of the eye in space. An eyeball
that turns about its centre makes degrees of it: with an eye 30 mm wide between its corners and the iris 10 mm before
the centre of rotation (means of adults), sin(angle) = 3 · offset. Both eyes count alike; eyes that the target has shut
are left out. L2CS and other gaze networks of the literature cannot be had here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hififace.faces.appearance import eye_openings
from hififace.faces.landmarks import EYE_CORNERS

EYE_WIDTH_MM: Final = 30.0
IRIS_RADIUS_MM: Final = 10.0
"""Of the circle that the middle of the iris moves on."""

OPEN: Final = 0.12
"""Eyes less open than this (lids over width) show no iris to speak of."""

LARGEST_SINE: Final = 0.95


def gaze_directions(mesh: NDArray[np.floating], irises: NDArray[np.floating]) -> NDArray[np.float64]:
    """(2, 3) unit vectors in the frame of each eye: along its corners to image right, down, out of the head.

    Args:
        mesh: (468, 3) in pixels.
        irises: (2, 5, 3) in the same pixels, the middle first.
    """
    points = np.asarray(mesh, np.float64)
    directions = []
    for (first, second), iris in zip(EYE_CORNERS, np.asarray(irises, np.float64), strict=True):
        across = points[second, :2] - points[first, :2]
        seen_width = max(float(np.linalg.norm(across)), 1e-6)
        width = max(float(np.linalg.norm(points[second] - points[first])), 1e-6)
        along = across / seen_width
        offset = iris[0, :2] - (points[first, :2] + points[second, :2]) / 2
        shares = [offset @ along / seen_width, offset @ np.array([-along[1], along[0]]) / width]
        sines = np.array(shares) * EYE_WIDTH_MM / IRIS_RADIUS_MM
        sines /= max(float(np.linalg.norm(sines)) / LARGEST_SINE, 1.0)
        directions.append([*sines, np.sqrt(1.0 - sines @ sines)])
    return np.array(directions)


def gaze_error_deg(
    result: tuple[NDArray[np.floating], NDArray[np.floating]],
    target: tuple[NDArray[np.floating], NDArray[np.floating]],
) -> float:
    """Mean angle between the gazes of two faces, each (mesh, irises); NaN where the target's eyes are shut."""
    between = angles_deg(gaze_directions(*result), gaze_directions(*target))
    seen = eye_openings(target[0]) >= OPEN
    return float(between[seen].mean()) if seen.any() else float("nan")


def angles_deg(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) between unit vectors (N, 3)."""
    sines = np.linalg.norm(np.cross(first, second), axis=1)
    return np.asarray(np.degrees(np.arctan2(sines, (first * second).sum(axis=1))))
