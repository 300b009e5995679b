"""Skin tone as a photo shows it: the individual typology angle, for figures by group where no labels are given.

    ITA = arctan((L* - 50) / b*), degrees

of the median colour of both cheeks (Chardon, Cretois and Hourseau 1991). It is what the camera and its light made of
the skin, not what the skin is; over many photos the groups still hold mostly what their names say. Boundaries as in
dermatology: above 41 light, down to 10 medium, below dark.
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
"""Of the patches, in distances of the outer eye corners."""

LIGHT_DEG: Final = 41.0
DARK_DEG: Final = 10.0


def skin_tone_deg(image: RGBImage, mesh: NDArray[np.floating]) -> float:
    """The angle, -90 to 90; NaN where no cheek lies in the image or the image is gray.

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
    """`light`, `medium`, `dark`; None where the tone is not known."""
    if np.isnan(angle_deg):
        return None
    return "light" if angle_deg > LIGHT_DEG else "medium" if angle_deg >= DARK_DEG else "dark"
