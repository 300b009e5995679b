"""From a photograph to the one face it is about, and its aligned crop."""

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
"""Border put around a photo in which no face was found, as a share of its longer side: detectors are trained
on faces with something around them, and a face that fills its image can escape them."""

JPEG_QUALITY: Final = 95


class Detector(Protocol):
    """What is asked of a face detector (`faces/detection.py`)."""

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

    A face is as prominent as it is large, less up to half for lying towards a corner.

    Args:
        detector: any face detector.
        image: (H, W, 3) photo.
        given: ten numbers x, y of five points from the data set's own list: nothing is detected then.
        max_rival: how prominent the second face may be, relative to the first.
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
    """Align a face to a template that is scaled to the wanted size.

    Where the crop reaches beyond the photo it shows the photo mirrored; `data.augment.valid_region` tells
    where that is, and no loss looks there.

    Args:
        image: (H, W, 3) photo.
        points: (5, 2) in pixels of the photo.
        template: five points and size of the crop.

    Raises:
        FaceError: points by which no face can be aligned.
    """
    aligned = align(image, points, template, border="mirror")
    return Crop(aligned.crop, aligned.matrix, matrix_scale(aligned.matrix))


def encode_crop(image: RGBImage) -> bytes:
    """JPEG, quality 95, colour at full resolution."""
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
    """A detection around given points: a box of 2.4 eye distances, centred where detectors centre theirs."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    span = max(float(np.linalg.norm(points[1] - points[0])), float(np.linalg.norm(mouth - eyes)))
    centre = eyes + 0.45 * (mouth - eyes)
    half = np.array([1.1 * span, 1.4 * span], dtype=np.float32)
    return Detection(box=np.concatenate([centre - half, centre + half]), score=1.0, points=points)
