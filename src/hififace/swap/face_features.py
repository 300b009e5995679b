"""Face features, under the names of the bundle's identity vector: one encoder per family.

A feature costs a network, so callers name what they need. The mesh family's numbers are those that
`preparation/describe.py` stored with the training photos: identity of the photo itself, shape of the
landmarks in crop pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hififace.errors import BundleError
from hififace.faces.alignment import Border, transform_points
from hififace.faces.identity import IdentityEmbedder
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.faces.shape import MeshShapePrior
from hififace.pixels import to_nchw
from hififace.swap.generate import at_side
from hififace.swap.identity_vector import IDENTITY, FaceFeatures
from hififace.types import Face, FloatArray, Matrix23, RGBImage
from hififace.weights.bundle import Bundle
from hififace.weights.sessions import Session, open_session

POSE: Final = "pose"
"""(3,) pitch, yaw, roll in radians, in both families."""


class FeatureEncoder(Protocol):
    """A family of frozen networks."""

    border: Border
    """How crops are padded beyond the image."""
    unit_identity: bool
    """Whether an interpolated identity is normalised to unit length."""

    def encode(
        self,
        image: RGBImage,
        faces: Sequence[Face],
        crops: Sequence[RGBImage],
        matrices: Sequence[Matrix23],
        wanted: frozenset[str],
    ) -> list[dict[str, FloatArray]]:
        """The wanted features (and perhaps others that cost nothing more) of several faces of one image.

        Args:
            image: (H, W, 3) the image.
            faces: of that image; landmarks and identities that they already carry are not looked for again.
            crops: (S, S, 3) of each, aligned to the bundle's template.
            matrices: image pixels to crop pixels, of each.
            wanted: names of features.
        """

    def identities(self, images: Sequence[RGBImage], points: Sequence[NDArray[np.floating]]) -> FloatArray:
        """(B, D) identities of generated faces.

        Args:
            images: (N, N, 3) of each, aligned to the bundle's template.
            points: (5, 2) of each, in pixels of the image.
        """


def create_encoder(
    bundle: Bundle,
    landmarker: FaceMeshLandmarker | None,
    embedder: IdentityEmbedder,
    *,
    providers: Sequence[str] | None = None,
    threads: int | None = None,
) -> FeatureEncoder:
    """The parts that a bundle's family needs.

    Raises:
        BundleError: a part that this hififace does not know.
        WeightsError: a graph that cannot be opened.
    """
    if bundle.family == "mesh":
        if (bundle.identity.part, bundle.shape.part) != ("sface", "mesh") or landmarker is None:
            raise BundleError(
                f"Bundle '{bundle.name}' asks for the parts '{bundle.identity.part}' and '{bundle.shape.part}'; this "
                "hififace has sface and mesh. Update hififace, or export the bundle again."
            )
        return MeshEncoder(landmarker, embedder, MeshShapePrior.load())
    if bundle.graphs.identity is None or bundle.graphs.shape is None:
        raise BundleError(
            f"Bundle '{bundle.name}' is of the Basel family but lacks its identity or shape graph; "
            "`hififace convert` makes it whole."
        )
    return BaselEncoder(
        open_session(bundle.path("identity"), providers=providers, threads=threads),
        open_session(bundle.path("shape"), providers=providers, threads=threads),
    )


class MeshEncoder:
    """The embedded parts: FaceMesh, SFace and the linear shape prior."""

    border: Border = "mirror"
    unit_identity = True

    def __init__(
        self, landmarker: FaceMeshLandmarker, embedder: IdentityEmbedder, prior: MeshShapePrior
    ) -> None:
        self._landmarker, self._embedder, self._prior = landmarker, embedder, prior

    def encode(
        self,
        image: RGBImage,
        faces: Sequence[Face],
        crops: Sequence[RGBImage],
        matrices: Sequence[Matrix23],
        wanted: frozenset[str],
    ) -> list[dict[str, FloatArray]]:
        """See `FeatureEncoder`: shape (K_id,), expression (K_exp,), pose (3,) radians, identity (128,)."""
        found: list[dict[str, FloatArray]] = [{} for _ in faces]
        if wanted - {IDENTITY}:
            located = with_landmarks(self._landmarker, image, faces)
            for features, face, matrix in zip(found, located, matrices, strict=True):
                assert face.landmarks is not None
                points = transform_points(matrix, face.landmarks.points).astype(np.float32)
                coefficients = self._prior.coefficients(points)
                features["shape"] = np.asarray(coefficients.identity, np.float32)
                features["expression"] = np.asarray(coefficients.expression, np.float32)
                features[POSE] = np.deg2rad(coefficients.pose_deg).astype(np.float32)
        if IDENTITY in wanted:
            for features, face in zip(found, faces, strict=True):
                known = face.identity
                if known is None:
                    known = self._embedder.embed(image, face.detection.points)
                features[IDENTITY] = known
        return found

    def identities(self, images: Sequence[RGBImage], points: Sequence[NDArray[np.floating]]) -> FloatArray:
        """See `FeatureEncoder`: (B, 128)."""
        found = [self._embedder.embed(image, five) for image, five in zip(images, points, strict=True)]
        return np.stack(found)


class BaselEncoder:
    """The graphs of a converted checkpoint, which look at the aligned crop."""

    border: Border = "black"  # as the reference implementation pads
    unit_identity = False

    def __init__(self, identity: Session, shape: Session) -> None:
        self._identity, self._shape = identity, shape

    def encode(
        self,
        image: RGBImage,
        faces: Sequence[Face],
        crops: Sequence[RGBImage],
        matrices: Sequence[Matrix23],
        wanted: frozenset[str],
    ) -> list[dict[str, FloatArray]]:
        """See `FeatureEncoder`: the shape graph's outputs by name, and identity."""
        found: list[dict[str, FloatArray]] = [{} for _ in faces]
        if not faces:
            return found
        batch = {"image": to_nchw(np.stack(crops))}
        outputs: dict[str, FloatArray] = {}
        if wanted - {IDENTITY}:
            outputs |= self._shape.run(batch)
        if IDENTITY in wanted:
            outputs |= self._identity.run(batch)
        for name, values in outputs.items():
            for features, row in zip(found, values, strict=True):
                features[name] = row
        return found

    def identities(self, images: Sequence[RGBImage], points: Sequence[NDArray[np.floating]]) -> FloatArray:
        """See `FeatureEncoder`: (B, 512), of the whole crop."""
        (tensor,) = self._identity.inputs
        side, crops = tensor.shape[-1], np.stack(images)
        if isinstance(side, int):
            crops = at_side(crops, side)
        found: FloatArray = self._identity.run({"image": to_nchw(crops)})[IDENTITY]
        return found


def with_landmarks(landmarker: FaceMeshLandmarker, image: RGBImage, faces: Sequence[Face]) -> list[Face]:
    """The faces with the 468 points of each; those that are missing are found in one go."""
    missing = [place for place, face in enumerate(faces) if face.landmarks is None]
    located = landmarker.locate_many(image, [faces[place].detection for place in missing])
    complete = list(faces)
    for place, landmarks in zip(missing, located, strict=True):
        complete[place] = replace(faces[place], landmarks=landmarks)
    return complete


def turn_deg(features: FaceFeatures) -> float:
    """The larger of pitch and yaw, in degrees, without sign; 0 where the pose was not encoded."""
    if POSE not in features:
        return 0.0
    return float(np.rad2deg(np.abs(features[POSE][:2]).max()))
