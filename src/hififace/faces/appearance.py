"""How well a face is shown: how blurred it is, how far it is turned, and whether two networks agree about it.

The mesh alone cannot be trusted with this: it fits a frontal face to a profile and calls it 2 degrees. So the turn is
also read off the detector's five points, and where points and mesh disagree neither is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.alignment import align
from hififace.faces.landmarks import mesh_points5
from hififace.faces.templates import find_template
from hififace.types import Detection, FloatArray, Landmarks, RGBImage

BLUR_SIDE_PX = (24, 96)
"""Blur is measured in an aligned crop of the face's own size, within these bounds: small is not blurred."""

BLUR_SHARE = 1 / 32
"""Standard deviation of the test blur, in sides of the crop."""

BLURRED, SURELY_BLURRED_PX = 0.78, 40.0
"""A face of at least so many pixels that is blurred more is out of focus: of 111 portraits blurred by an 18th of their
size 99 % are beyond, of 125 sharp ones of 48 px less than 1 %."""

EYES: Final = (((159, 145), (33, 133)), ((386, 374), (362, 263)))
"""Of the image-left and the image-right eye of the mesh: middle of the lids, then the corners."""

SHUT: Final = 0.12
"""An eye whose lids are nearer to each other than this, in widths of the eye, is shut or nearly so."""

TURN_PER_NOSE_DEG = 109.0
"""Degrees for each unit that the nose lies beside the line from eyes to mouth, in lengths of that line: fitted to the
mesh's yaw on 125 portraits, correlation 0.96. Beyond 45 degrees the nose says less than is true, and the eyes come
together instead."""

FRONTAL_EYES = 1.0
"""Distance of the eyes over the distance from eyes to mouth, from the front: 0.92 to 1.13 on 74 portraits turned by
less than 10 degrees. Turned by an angle, it is multiplied by about its cosine."""

NARROW_EYES = 0.7
"""Above it, the distance of the eyes tells people apart rather than angles."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """How one face is shown."""

    size_px: float
    blur: float
    """0 to 1: share of its edges that a small further blur leaves. Sharp faces have 0.4 to 0.7; out of focus by an 18th
    of the face, 0.8 and more."""
    turn_deg: float
    """0 to 90, by the detector's five points."""
    disagreement: float
    """Mean distance between the detector's five points and the mesh's, in face sizes: 0.07 at most on 155 portraits."""
    mesh_score: float
    """The mesh network's confidence, 0 to 1."""

    @property
    def is_blurred(self) -> bool:
        """Whether it is surely out of focus."""
        return self.size_px >= SURELY_BLURRED_PX and self.blur > BLURRED


def appearance_of(image: RGBImage, detection: Detection, landmarks: Landmarks) -> Appearance:
    """How a face of an image (H, W, 3) is shown.

    Raises:
        FaceError: its five points coincide.
    """
    size = max(detection.size_px, 1.0)
    apart = np.linalg.norm(mesh_points5(landmarks.points) - detection.points, axis=1)
    return Appearance(
        size_px=detection.size_px,
        blur=blur_of(image, detection),
        turn_deg=points_turn_deg(detection.points),
        disagreement=float(apart.mean()) / size,
        mesh_score=landmarks.score,
    )


def blur_of(image: RGBImage, detection: Detection) -> float:
    """0 to 1, see `Appearance.blur`."""
    side = int(np.clip(detection.size_px, *BLUR_SIDE_PX))
    crop = align(image, detection.points, find_template("arcface_112").scaled(side), border="edge").crop
    return remaining_edges(crop)


def remaining_edges(crop: RGBImage, mask: FloatArray | None = None) -> float:
    """Share of the strength of its edges that a crop keeps when it is blurred by `BLUR_SHARE` of its side.

    Args:
        crop: (S, S, 3).
        mask: (S, S) weights; None weighs every pixel alike.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    softer = np.asarray(cv2.GaussianBlur(grey, (0, 0), max(crop.shape[0] * BLUR_SHARE, 0.7)), np.float32)
    weight = np.ones_like(grey) if mask is None else np.asarray(mask, np.float32)
    before, after = (float((_edges(np.asarray(x, np.float32)) * weight).sum()) for x in (grey, softer))
    return after / before if before > 0 else 1.0


def eye_openings(mesh: NDArray[np.floating]) -> NDArray[np.float64]:
    """(2,) distance of the lids over the width of the eye, image-left and image-right; about 0.3 when open.

    Args:
        mesh: (468, 3); distances in space stay the same when the head turns.
    """
    points = np.asarray(mesh, np.float64)

    def between(pair: tuple[int, int]) -> float:
        return float(np.linalg.norm(points[pair[0]] - points[pair[1]]))

    return np.array([between(lids) / max(between(corners), 1e-6) for lids, corners in EYES])


def points_turn_deg(points: NDArray[np.floating]) -> float:
    """How far a face is turned aside by its five points (5, 2): 0 from the front to 90 in profile."""
    five = np.asarray(points, np.float64)
    eyes, mouth = five[:2].mean(axis=0), five[3:].mean(axis=0)
    down = mouth - eyes
    length = max(float(np.linalg.norm(down)), 1e-6)
    across = np.array([down[1], -down[0]]) / length
    nose = abs(float((five[2] - (eyes + mouth) / 2) @ across)) / length
    apart = abs(float((five[1] - five[0]) @ across)) / length
    turn = nose * TURN_PER_NOSE_DEG
    if apart < NARROW_EYES:
        turn = max(turn, float(np.rad2deg(np.arccos(min(apart / FRONTAL_EYES, 1.0)))))
    return min(turn, 90.0)


def _edges(grey: FloatArray) -> FloatArray:
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.magnitude(across, down), np.float32)  # np.hypot takes ten times as long
