"""Finds the dominant face of a photo, and makes its aligned crop."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, cast

import cv2
import numpy as np
from PIL import Image

from hififace.faces.alignment import align, matrix_scale
from hififace.faces.templates import Template
from hififace.preparation.quality import Reason, Rejection
from hififace.types import Detection, FloatArray, Matrix23, RGBImage

_PADDING: Final = 0.3
"""Border added to a photo without a detection, as a share of its longer side: detectors are trained on faces with
surroundings, and may miss a face that fills the image."""

JPEG_QUALITY: Final = 95


class Detector(Protocol):
    """Interface of a face detector (`faces/detection.py`)."""

    def detect(self, image: RGBImage) -> list[Detection]:
        """Faces, in pixels of the image."""


class Crop(NamedTuple):
    """An aligned face."""

    image: RGBImage
    """(S, S, 3)"""
    matrix: Matrix23
    """(2, 3) photo pixels to crop pixels."""
    magnification: float
    """Crop pixels per photo pixel."""


def find_face(
    detector: Detector, image: RGBImage, given: Sequence[float] | None, max_rival: float
) -> Detection | Rejection:
    """The dominant face of a photo.

    The prominence of a face is its size, reduced by up to half towards the corners.

    Args:
        detector: any face detector.
        image: (H, W, 3) photo.
        given: ten numbers x, y of five points from the data set's landmark list, instead of a detection.
        max_rival: maximum prominence of the second face, relative to the first.
    """
    if given is not None:
        return _from_points(np.asarray(given, dtype=np.float32).reshape(5, 2))
    faces = detector.detect(image) or _detect_padded(detector, image)
    if not faces:
        return Rejection(Reason.NO_FACE, "no face was found")
    height, width = image.shape[:2]
    centre, half_diagonal = np.array([width, height]) / 2, float(np.hypot(width, height)) / 2

    def prominence(face: Detection) -> float:
        middle = (face.box[:2] + face.box[2:]) / 2
        return face.size_px * (1.0 - 0.5 * min(1.0, float(np.linalg.norm(middle - centre)) / half_diagonal))

    ranked = sorted(faces, key=prominence, reverse=True)
    if len(ranked) > 1 and prominence(ranked[1]) > max_rival * prominence(ranked[0]):
        return Rejection(Reason.SEVERAL_FACES, f"{len(ranked)} faces and none dominates")
    return ranked[0]


def cut(image: RGBImage, points: FloatArray, template: Template) -> Crop:
    """Align a face to a template of the wanted size.

    Outside the photo the crop shows the mirrored photo; `data.augment.valid_region` marks these pixels, which no loss
    uses.

    Args:
        image: (H, W, 3) photo.
        points: (5, 2) in pixels of the photo.
        template: five points and size of the crop.

    Raises:
        FaceError: the points do not define an alignment.
    """
    aligned = align(image, points, template, border="mirror")
    return Crop(aligned.crop, aligned.matrix, matrix_scale(aligned.matrix))


def encode_crop(image: RGBImage) -> bytes:
    """JPEG of quality 95 without chroma subsampling."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def encode_mask(mask: RGBImage) -> bytes:
    """PNG with one channel."""
    done, data = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    if not done:
        raise ValueError(f"a mask of shape {mask.shape} {mask.dtype} cannot be encoded")
    return bytes(data.tobytes())


def _detect_padded(detector: Detector, image: RGBImage) -> list[Detection]:
    margin = round(_PADDING * max(image.shape[:2]))
    padded = cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    return [
        Detection(box=face.box - margin, score=face.score, points=face.points - margin)
        for face in detector.detect(cast("RGBImage", padded))
    ]


def _from_points(points: FloatArray) -> Detection:
    """A detection from given points, with a box of 2.4 eye distances at the place where detectors put theirs."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    span = max(float(np.linalg.norm(points[1] - points[0])), float(np.linalg.norm(mouth - eyes)))
    centre = eyes + 0.45 * (mouth - eyes)
    half = np.array([1.1 * span, 1.4 * span], dtype=np.float32)
    return Detection(box=np.concatenate([centre - half, centre + half]), score=1.0, points=points)
