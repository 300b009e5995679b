"""Skin tone in a photo by the individual typology angle, for figures by group where there are no labels.

    ITA = arctan((L* - 50) / b*), degrees

of the median colour of both cheeks (Chardon, Cretois and Hourseau 1991). It depends on camera and light as well as on
the skin; the median over several photos of a person is used. Boundaries as in dermatology: above 41 light, from 10 to
41 medium, below 10 dark.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.types import RGBImage

CHEEKS: Final = (50, 280)
"""Mesh points in the middle of both cheeks."""

RADIUS_SHARE: Final = 0.1
"""Radius of the patches, relative to the distance of the outer eye corners."""

LIGHT_DEG: Final = 41.0
DARK_DEG: Final = 10.0


def skin_tone_deg(image: RGBImage, mesh: NDArray[np.floating]) -> float:
    """The angle in degrees, -90 to 90; NaN if no cheek lies in the image or the image is grey.

    Args:
        image: (H, W, 3).
        mesh: (468, 3) in its pixels.
    """
    points = np.asarray(mesh, np.float64)[:, :2]
    radius = max(round(RADIUS_SHARE * float(np.linalg.norm(points[33] - points[263]))), 1)
    patches = []
    for cheek in CHEEKS:
        x, y = np.rint(points[cheek]).astype(int)
        patch = image[
            max(y - radius, 0) : max(y + radius + 1, 0), max(x - radius, 0) : max(x + radius + 1, 0)
        ]
        patches.append(patch.reshape(-1, 3))
    pixels = np.concatenate(patches).astype(np.float32) / 255.0
    if not len(pixels):
        return float("nan")
    lab = cv2.cvtColor(np.median(pixels, axis=0)[None, None].astype(np.float32), cv2.COLOR_RGB2LAB)[0, 0]
    if abs(float(lab[1])) < 1.0 and abs(float(lab[2])) < 1.0:
        return float("nan")
    return float(np.degrees(np.arctan2(float(lab[0]) - 50.0, max(float(lab[2]), 1e-6))))


def tone_group(angle_deg: float) -> str | None:
    """`light`, `medium`, `dark`; None if the angle is NaN."""
    if np.isnan(angle_deg):
        return None
    return "light" if angle_deg > LIGHT_DEG else "medium" if angle_deg >= DARK_DEG else "dark"
