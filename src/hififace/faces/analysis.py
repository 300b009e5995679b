"""Everything known about every face of an image: detection, landmarks, identity, shape, irises in one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from hififace.errors import NoFaceFoundError
from hififace.faces.detection import FaceDetector, YuNetDetector
from hififace.faces.identity import IdentityEmbedder, SFaceEmbedder
from hififace.faces.landmarks import FaceMeshLandmarker, IrisLocator
from hififace.faces.selection import largest
from hififace.types import Face, FloatArray, RGBImage, ShapeCoefficients

Part: TypeAlias = Literal["landmarks", "identity", "shape", "iris"]


class ShapePrior(Protocol):
    """From mesh points to named coefficients."""

    def coefficients(self, points: NDArray[np.floating]) -> ShapeCoefficients:
        """Of one face; points (468, 3) in pixels of the image."""
        ...


class FaceAnalyser:
    """Detects faces and describes them.

    Every part that is not given is the embedded one, opened when it is first needed: who asks for boxes only never
    loads the 19 MB of the identity network.

    Args:
        detector: finds the faces.
        landmarker: the mesh.
        embedder: who they are.
        prior: their shape.
        iris: their irises.
        providers: for the parts opened here, see `weights.sessions.open_session`.
        threads: likewise.
    """

    def __init__(
        self,
        detector: FaceDetector | None = None,
        landmarker: FaceMeshLandmarker | None = None,
        embedder: IdentityEmbedder | None = None,
        prior: ShapePrior | None = None,
        iris: IrisLocator | None = None,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> None:
        self._detector, self._landmarker, self._embedder = detector, landmarker, embedder
        self._prior, self._iris = prior, iris
        self._providers, self._threads = providers, threads

    @property
    def detector(self) -> FaceDetector:
        """The one in use."""
        if self._detector is None:
            self._detector = YuNetDetector(providers=self._providers, threads=self._threads)
        return self._detector

    @property
    def landmarker(self) -> FaceMeshLandmarker:
        """The one in use."""
        if self._landmarker is None:
            self._landmarker = FaceMeshLandmarker(providers=self._providers, threads=self._threads)
        return self._landmarker

    @property
    def embedder(self) -> IdentityEmbedder:
        """The one in use."""
        if self._embedder is None:
            self._embedder = SFaceEmbedder(providers=self._providers, threads=self._threads)
        return self._embedder

    @property
    def prior(self) -> ShapePrior:
        """The one in use."""
        if self._prior is None:
            from hififace.faces.shape import MeshShapePrior

            self._prior = MeshShapePrior.load()
        return self._prior

    @property
    def iris(self) -> IrisLocator:
        """The one in use."""
        if self._iris is None:
            self._iris = IrisLocator(providers=self._providers, threads=self._threads)
        return self._iris

    def analyse(
        self, image: RGBImage, want: Iterable[Part] = ("landmarks", "identity"), *, rotated: bool = False
    ) -> list[Face]:
        """The faces of an image, left to right; an empty list where there is none.

        Args:
            image: (H, W, 3) uint8 RGB.
            want: what to find out beside the boxes; shape and iris bring the landmarks with them.
            rotated: also find faces turned by any angle.
        """
        wanted = set(want)
        unknown = wanted - set(get_args(Part))
        if unknown:
            raise ValueError(f"unknown parts {sorted(unknown)}; there are {get_args(Part)}")
        detections = self.detector.detect(image, rotated=rotated)
        meshes = (
            self.landmarker.locate_many(image, detections) if wanted - {"identity"} and detections else []
        )
        faces = []
        for index, detection in enumerate(detections):
            mesh = meshes[index] if meshes else None
            faces.append(
                Face(
                    index=index,
                    detection=detection,
                    landmarks=mesh,
                    identity=self.embedder.embed(image, detection.points) if "identity" in wanted else None,
                    coefficients=self.prior.coefficients(mesh.points) if mesh and "shape" in wanted else None,
                    irises=self.iris.locate(image, mesh) if mesh and "iris" in wanted else None,
                )
            )
        return faces

    def identity_of(self, image: RGBImage, *, rotated: bool = False) -> FloatArray:
        """(D,) identity vector of the largest face, for a reference or source photo.

        Raises:
            NoFaceFoundError: there is none.
        """
        faces = self.analyse(image, (), rotated=rotated)
        if not faces:
            raise NoFaceFoundError(
                "No face was found in the reference photo; choose one in which a face is well seen."
            )
        return self.embedder.embed(image, largest(faces).detection.points)
