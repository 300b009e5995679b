"""Identity: who a face is, as a vector of unit length; how alike two are; several photos as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hififace.errors import FaceError, WeightsError
from hififace.faces.alignment import align
from hififace.faces.templates import TEMPLATES
from hififace.types import FloatArray, RGBImage
from hififace.weights.sessions import Session, open_session
from hififace.weights.store import embedded_path

SAME_PERSON_COSINE = 0.363
"""OpenCV's threshold for SFace: two photos above it show one person."""


class IdentityEmbedder(Protocol):
    """From faces to identity vectors."""

    @property
    def size(self) -> int:
        """D, the length of its vectors."""

    def embed(self, image: RGBImage, points: NDArray[np.floating]) -> FloatArray:
        """(D,) unit vector of the face whose five points (5, 2) are given in image pixels."""

    def embed_crops(self, crops: NDArray[np.uint8]) -> FloatArray:
        """(B, D) unit vectors of crops (B, 112, 112, 3) aligned to the `arcface_112` template."""


class _AlignedEmbedder:
    """What both embedders share: alignment, mirror averaging, unit length."""

    def __init__(self, session: Session, *, input_name: str, output_name: str, size: int, flip: bool) -> None:
        self._session = session
        self._input_name, self._output_name = input_name, output_name
        self._size = size
        self._flip = flip

    @property
    def size(self) -> int:
        """D, the length of its vectors."""
        return self._size

    def embed(self, image: RGBImage, points: NDArray[np.floating]) -> FloatArray:
        """(D,) unit vector of one face of an image.

        Raises:
            FaceError: the five points coincide, or the network says nothing of such a crop.
        """
        vector: FloatArray = self.embed_crops(align(image, points, TEMPLATES["arcface_112"]).crop[None])[0]
        return vector

    def embed_with_length(self, image: RGBImage, points: NDArray[np.floating]) -> tuple[FloatArray, float]:
        """The same, and how long the vector was before: short where the network sees no face (`second_opinion.py`).

        Raises:
            FaceError: as `embed`.
        """
        raw = self._raw(align(image, points, TEMPLATES["arcface_112"]).crop[None])
        vector: FloatArray = normalise(raw)[0]
        return vector, float(np.linalg.norm(raw[0]))

    def embed_crops(self, crops: NDArray[np.uint8]) -> FloatArray:
        """(B, 112, 112, 3) uint8 RGB to (B, D) unit vectors.

        With `flip`, the vectors of the crop and its mirror image are added up: the small differences between them are
        noise, and the sum is the same for a photo and its mirror image.
        """
        if len(crops) == 0:
            return np.zeros((0, self._size), dtype=np.float32)
        return normalise(self._raw(crops))

    def _raw(self, crops: NDArray[np.uint8]) -> FloatArray:
        """(B, D) not yet of unit length."""
        vectors = self._run(crops)
        return vectors + self._run(crops[:, :, ::-1]) if self._flip else vectors

    def _run(self, crops: NDArray[np.uint8]) -> FloatArray:
        batch = np.ascontiguousarray(crops.transpose(0, 3, 1, 2)).astype(np.float32)
        found: FloatArray = self._session.run({self._input_name: self._prepare(batch)})[self._output_name]
        return found

    def _prepare(self, batch: FloatArray) -> FloatArray:
        """(B, 3, 112, 112) 0..255 to what the graph takes."""
        return batch


class SFaceEmbedder(_AlignedEmbedder):
    """The embedded recogniser, 128 numbers (OpenCV Zoo, Apache-2.0).

    Args:
        providers: of ONNX Runtime, see `weights.sessions.open_session`.
        threads: of one run.
        flip: average the crop and its mirror image.
    """

    def __init__(
        self, *, providers: Sequence[str] | None = None, threads: int | None = None, flip: bool = True
    ) -> None:
        session = open_session(embedded_path("sface.onnx"), providers=providers, threads=threads)
        super().__init__(session, input_name="image", output_name="embedding", size=128, flip=flip)


class MobileFaceNetEmbedder(_AlignedEmbedder):
    """MobileFaceNet of foamliu (Apache-2.0), a user-supplied graph: one input (B, 3, 112, 112), one output (B, D).

    Args:
        path: of the graph.
        providers: of ONNX Runtime, see `weights.sessions.open_session`.
        threads: of one run.
        flip: average the crop and its mirror image.

    Raises:
        WeightsError: the file is no such graph.
    """

    SAME_PERSON_COSINE: Final = 0.27
    """Two photos above it show one person (98.6 % of 3,200 pairs)."""

    def __init__(
        self,
        path: Path,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        flip: bool = True,
    ) -> None:
        session = open_session(path, providers=providers, threads=threads)
        shapes = [tuple(tensor.shape) for tensor in (*session.inputs, *session.outputs)]
        if len(shapes) != 2 or shapes[0][1:] != (3, 112, 112) or not isinstance(shapes[1][-1], int):
            raise WeightsError(
                f"{path} is not a recogniser's graph: its inputs and outputs are {shapes}; one input (B, 3, 112, 112) "
                "and one output (B, D) were expected."
            )
        super().__init__(
            session,
            input_name=session.inputs[0].name,
            output_name=session.outputs[0].name,
            size=shapes[1][-1],
            flip=flip,
        )

    def _prepare(self, batch: FloatArray) -> FloatArray:
        # Mean and deviation of ImageNet.
        mean, deviation = np.array(((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), np.float32)[
            ..., None, None
        ]
        unit: FloatArray = (batch / np.float32(255.0) - mean) / deviation
        return unit


def cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Cosine similarity of two vectors (D,); they need not be of unit length."""
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def average(vectors: Sequence[FloatArray]) -> FloatArray:
    """Several photos of one person as one unit vector (D,).

    Raises:
        ValueError: there is no vector.
    """
    if len(vectors) == 0:
        raise ValueError("there is no identity vector to average")
    mean: FloatArray = normalise(np.mean(vectors, axis=0)[None])[0]
    return mean


def normalise(vectors: NDArray[np.floating]) -> FloatArray:
    """(B, D) to unit length, float32.

    Raises:
        FaceError: a vector is zero or not finite.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or float(lengths.min(initial=1.0)) < 1e-9:
        raise FaceError(
            "The identity network returned a zero vector for a face; choose another photo of the person."
        )
    unit: FloatArray = (vectors / lengths).astype(np.float32)
    return unit
