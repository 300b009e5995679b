"""Face features of a photo by the frozen networks, computed once and stored for training.

A `Describer` computes those of one family of frozen networks. The mesh family is below; the Basel family, whose files
are user-supplied, is `basel.py`. To add one, write a class with these members and name it in `families.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hififace.data.augment import mirror_landmarks, valid_region
from hififace.errors import OptionError
from hififace.faces.alignment import transform_points
from hififace.faces.detection import YuNetDetector
from hififace.faces.identity import SFaceEmbedder
from hififace.faces.landmarks import FaceMeshLandmarker, mirror_indices
from hififace.faces.masks import region_mask
from hififace.faces.shape import MeshShapePrior
from hififace.faces.templates import Template, find_template
from hififace.preparation.crop import Crop
from hififace.types import Detection, FloatArray, RGBImage


class Description(NamedTuple):
    """The features stored with a crop."""

    identity: FloatArray
    """(D,) unit length."""
    coefficients: FloatArray
    """(C,) of the crop."""
    coefficients_mirrored: FloatArray
    """(C,) of the mirrored crop."""
    landmarks: FloatArray
    """(P, 3) in crop pixels."""
    mask: NDArray[np.uint8]
    """(S, S) 0 or 255: the face region."""
    pose_deg: FloatArray
    """(3,) pitch, yaw, roll of the face in the crop."""
    mesh_score: float
    """Confidence that this is a face, 0 to 1."""


class Describer(Protocol):
    """A family of frozen networks."""

    family: str
    template: Template
    """Alignment template, scaled to the crop's size."""
    layout: tuple[tuple[str, int], ...]
    """Names and sizes of the parts of the coefficient vector, in order."""
    identity_name: str
    identity_size: int
    landmark_mirror: tuple[int, ...]
    parts: tuple[str, ...]
    """Names of the cards (`weights/registry.py`) of all weights files in use."""
    person_cosine: float
    """A photo with a lower cosine to the mean of the person's other photos is taken for another person's."""

    def detect(self, image: RGBImage) -> list[Detection]:
        """Faces of a photo."""

    def describe(self, image: RGBImage, face: Detection, crop: Crop) -> Description:
        """Features of one face."""


@dataclass(frozen=True)
class DescriberSettings:
    """Settings of a describer: small and picklable."""

    family: str = "mesh"
    template: str = "mini_128"
    resolution: int = 128

    def scaled_template(self) -> Template:
        """The template scaled to the resolution.

        Raises:
            OptionError: an unknown template, or a resolution out of range.
        """
        if not 32 <= self.resolution <= 2048:
            raise OptionError(f"The resolution is {self.resolution}; 32 to 2048 pixels were expected.")
        return find_template(self.template).scaled(self.resolution)


class MeshDescriber:
    """The embedded networks: YuNet, FaceMesh, SFace and the linear shape basis. No further files are needed."""

    family = "mesh"
    identity_name = "sface"
    parts: tuple[str, ...] = ("yunet", "face_mesh", "face_mesh_topology", "mesh_shape", "sface")
    # Cosines to the mean of several photos are higher than between single photos, for which OpenCV's threshold is
    # 0.363; two random people have a cosine of 0.17 on average here.
    person_cosine = 0.3

    def __init__(self, settings: DescriberSettings, *, with_identity: bool = True) -> None:
        self.template = settings.scaled_template()
        self._detector = YuNetDetector(threads=1)
        self._landmarker = FaceMeshLandmarker(threads=1)
        # Skipped by a family with another embedder, since it is the most expensive step.
        self._embedder = SFaceEmbedder(threads=1) if with_identity else None
        self._prior = MeshShapePrior.load()
        self.identity_size = self._embedder.size if self._embedder else 0
        self.landmark_mirror = tuple(int(index) for index in mirror_indices())
        self.layout: tuple[tuple[str, int], ...] = tuple(self._prior.layout)

    def detect(self, image: RGBImage) -> list[Detection]:
        """Faces of a photo."""
        return self._detector.detect(image)

    def describe(self, image: RGBImage, face: Detection, crop: Crop) -> Description:
        """Identity and landmarks from the photo, shape coefficients and mask from the landmarks in the crop."""
        found = self._landmarker.locate(image, face)
        landmarks = points_in_crop(found.points, crop)
        size = self.template.size
        embed = self._embedder.embed if self._embedder else None
        coefficients = self._prior.coefficients(landmarks)
        mirrored = self._prior.coefficients(
            mirror_landmarks(landmarks, np.asarray(self.landmark_mirror), size)
        )
        mask = region_mask(landmarks, (size, size), dilate_px=0, feather_px=0)
        return Description(
            identity=embed(image, face.points) if embed else np.zeros(0, np.float32),
            coefficients=self._prior.to_vector(coefficients),
            coefficients_mirrored=self._prior.to_vector(mirrored),
            landmarks=landmarks,
            mask=np.where(mask > 0.5, 255, 0).astype(np.uint8),
            pose_deg=np.asarray(coefficients.pose_deg, dtype=np.float32),
            mesh_score=float(found.score),
        )


def points_in_crop(points: FloatArray, crop: Crop) -> FloatArray:
    """Mesh points from photo to crop pixels; depth is scaled by the same factor.

    Args:
        points: (P, 3) in pixels of the photo.
        crop: the crop to map into.
    """
    return transform_points(crop.matrix, points).astype(np.float32)


def valid_share(mask: NDArray[np.uint8], crop: Crop, photo_size: tuple[int, int]) -> float:
    """Share of the face region that lies within the photo, 0 to 1; 0 for an empty region."""
    inside = mask > 127
    valid = valid_region(
        crop.matrix.astype(np.float32), np.array(photo_size, dtype=np.float32), mask.shape[0]
    )
    return float(valid[inside].mean()) if inside.any() else 0.0
