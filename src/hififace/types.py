"""Common types: images, detections, landmarks, shape coefficients, faces.

Words and units: images are RGB uint8 HxWx3; points are (x, y[, z]) in pixels, x right, y down, pixel
centres at integers; angles are in degrees here and in radians only inside maths that says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

RGBImage: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8, RGB."""

FloatArray: TypeAlias = NDArray[np.float32]

Matrix23: TypeAlias = NDArray[np.float64]
"""(2, 3) affine matrix that maps (x, y, 1) of one image to (x, y) of another."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One detected face, in pixels of the image."""

    box: FloatArray
    """(4,) x0, y0, x1, y1; may reach beyond the image."""
    score: float
    """Confidence, 0 to 1."""
    points: FloatArray
    """(5, 2) image-left eye, image-right eye, nose tip, image-left and image-right mouth corner."""

    @property
    def size_px(self) -> float:
        """Size of the face: square root of the box's area, in pixels."""
        x0, y0, x1, y1 = (float(v) for v in self.box)
        return float(np.sqrt(max(x1 - x0, 0.0) * max(y1 - y0, 0.0)))


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The 468 points of the face mesh, in pixels of the image."""

    points: FloatArray
    """(468, 3) x, y, z; z grows away from the camera, on the same scale as x and y."""
    score: float
    """The mesh network's own confidence that this is a face, 0 to 1."""


@dataclass(frozen=True, slots=True)
class ShapeCoefficients:
    """Coefficients of the mesh shape prior for one face (`faces/shape.py`)."""

    identity: FloatArray
    """(K_id,) coordinates on the identity basis, in standard deviations of the population."""
    expression: FloatArray
    """(K_exp,) coordinates on the expression basis, in standard deviations."""
    pose_deg: FloatArray
    """(3,) pitch (positive looks down), yaw (positive looks to image right), roll (positive tilts clockwise)."""
    scale: float
    """Pixels per unit of the mean shape."""
    translation: FloatArray
    """(3,) centre of the mesh, in pixels of the image it was measured in."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face of an image; parts that were not computed are None."""

    index: int
    """Number of the face, left to right, counted from 0."""
    detection: Detection
    landmarks: Landmarks | None = None
    identity: FloatArray | None = field(default=None, repr=False)
    """(D,) unit-length identity embedding."""
    coefficients: ShapeCoefficients | None = None
    irises: FloatArray | None = field(default=None, repr=False)
    """(2, 5, 3) image-left and image-right iris: centre, then four points of its rim, in image pixels."""
