"""The frozen parts around a generator: the detector, the recogniser and the feature encoder that a bundle asks for."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from hififace.errors import BundleError
from hififace.faces.alignment import Border, align, warp
from hififace.faces.detection import FaceDetector, ScrfdDetector, YuNetDetector
from hififace.faces.exposure import exposure_gain
from hififace.faces.identity import SFaceEmbedder
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.faces.templates import find_template
from hififace.swap.face_features import create_encoder
from hififace.swap.generate import TargetFace
from hififace.swap.stages import StageClock
from hififace.types import Face, FloatArray, Matrix23, RGBImage
from hififace.weights.bundle import Bundle
from hififace.weights.registry import find_card
from hififace.weights.store import locate


class FrozenParts:
    """Everything that looks at images before the generator does. Holds no state between calls.

    Attributes:
        bundle: what asked for the parts.
        template: the five points that faces are aligned to, at the generator's size.
        border: what crops show beyond the image.
        unit_identity: whether a mixed identity is brought back to unit length.
        embedder: the recogniser that ships, which tells people apart in every family.

    Raises:
        BundleError: a part that this hififace does not know.
        WeightsError: a file that is missing or broken.
    """

    def __init__(
        self, bundle: Bundle, *, providers: Sequence[str] | None = None, threads: int | None = None
    ) -> None:
        how: dict[str, Any] = {"providers": providers, "threads": threads}
        self.bundle = bundle
        self.template = find_template(bundle.template).scaled(bundle.resolution)
        self.embedder = SFaceEmbedder(**how)
        self._detector = create_detector(bundle.detector, **how)
        landmarker = FaceMeshLandmarker(**how) if bundle.family == "mesh" else None
        self._encoder = create_encoder(bundle, landmarker, self.embedder, **how)
        self.border: Border = self._encoder.border
        self.unit_identity = self._encoder.unit_identity

    def find_faces(
        self, image: RGBImage, *, threshold: float | None = None, rotated: bool = False
    ) -> list[Face]:
        """Faces of an image, left to right, numbered from 0, with detections and nothing more.

        Args:
            image: (H, W, 3).
            threshold: least score, 0 to 1; None is the detector's own.
            rotated: also turned by any angle.
        """
        detector = self._detector
        if threshold is not None:
            # A copy shares the network; the setting is this call's alone, whatever other threads do.
            detector = copy.copy(detector)
            detector.score_threshold = threshold  # type: ignore[attr-defined]
        return [Face(index, found) for index, found in enumerate(detector.detect(image, rotated=rotated))]

    def identity(self, image: RGBImage, face: Face) -> FloatArray:
        """(D,) the identity that the face carries, or else the recogniser's word."""
        return (
            face.identity if face.identity is not None else self.embedder.embed(image, face.detection.points)
        )

    def cut_out(
        self,
        image: RGBImage,
        faces: Sequence[Face],
        needs: frozenset[str],
        *,
        matrices: Sequence[Matrix23] | None = None,
        gains: Sequence[float] | None = None,
        clock: StageClock | None = None,
    ) -> list[TargetFace]:
        """Align and measure faces of one image.

        Args:
            image: (H, W, 3).
            faces: landmarks and identities that they carry are used as they are.
            needs: names of the features to measure.
            matrices: image pixels to crop pixels, for who steadied them; None aligns by the five points.
            gains: by how much the generator is to see each brighter, for callers that steadied them; None takes what
                each crop needs.
            clock: told how long `align` and `measure` took.
        """
        clock = clock or StageClock()
        with clock("align"):
            if matrices is None:
                aligned = [
                    align(image, face.detection.points, self.template, border=self.border) for face in faces
                ]
                crops, matrices = [one.crop for one in aligned], [one.matrix for one in aligned]
            else:
                side = self.template.size
                crops = [np.asarray(warp(image, m, side, border=self.border), np.uint8) for m in matrices]
        with clock("measure"):
            features = self._encoder.measure(image, faces, crops, matrices, needs)
        if gains is None:
            gains = [exposure_gain(crop) for crop in crops]
        return [TargetFace(*row) for row in zip(faces, crops, matrices, features, gains, strict=True)]


def create_detector(
    name: str, *, providers: Sequence[str] | None = None, threads: int | None = None
) -> FaceDetector:
    """The detector of a bundle's `detector`.

    Raises:
        BundleError: a name that this hififace does not know.
        WeightsError: its file is one that the user brings, and it is not there.
    """
    if name == "yunet":
        return YuNetDetector(providers=providers, threads=threads)
    if name == "scrfd":
        return ScrfdDetector(locate(find_card("scrfd_10g")), providers=providers, threads=threads)
    raise BundleError(f"The bundle asks for the detector '{name}'; this hififace has yunet and scrfd.")
