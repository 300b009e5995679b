"""Identity measures: similarity, retrieval and leak, by two recognisers.

- `sface`: cosine, by the recogniser of the training loss (OpenCV Zoo's SFace), and therefore biased towards results.
- `dlib`: Euclidean distance, by Davis King's recogniser, which training never uses; below 0.6 two photos show the same
  person.

Retrieval follows the FaceForensics++ protocol of FaceShifter (Li et al. 2019, arXiv 1912.13457): is the right source
the nearest among all sources? The literature uses CosFace, which cannot be downloaded freely, so these figures
have names of their own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hififace.faces.alignment import estimate_similarity, warp
from hififace.models.pretrained.dlib import SAME_PERSON_DISTANCE, SIZE_PX, load_dlib_recogniser
from hififace.pixels import to_nchw
from hififace.types import FloatArray, RGBImage
from hififace.weights.registry import find_card
from hififace.weights.store import locate

CHIP_POINTS: Final = (263, 362, 33, 133, 2)
"""Mesh points at dlib's five landmarks: outer and inner corner of the image-right eye, of the image-left eye, and the
base of the nose."""

CHIP_TEMPLATE: Final = np.array(
    [(0.85957, 0.21350), (0.64606, 0.22897), (0.12058, 0.21373), (0.33409, 0.22906), (0.49011, 0.62780)]
)
"""Their positions in dlib's mean face, in a square without padding."""

CHIP_PADDING: Final = 0.25
"""Padding on each side as a share of that square, as the recogniser was trained."""


class DlibEmbedder:
    """dlib's recogniser on photographs.

    Raises:
        WeightsError: its weights are not on this machine; says how to fetch them.
    """

    def __init__(self) -> None:
        self._network = load_dlib_recogniser(
            locate(find_card("dlib_recogniser_tfjs")), locate(find_card("dlib_recogniser_tfjs_layout"))
        )

    def embed(self, image: RGBImage, mesh: NDArray[np.floating]) -> FloatArray:
        """(128,) of the face whose mesh (468, 3) is given in pixels of the image."""
        import torch

        with torch.inference_mode():
            vector: FloatArray = self._network(torch.from_numpy(to_nchw(dlib_chip(image, mesh)[None])))[
                0
            ].numpy()
        return vector


def dlib_chip(image: RGBImage, mesh: NDArray[np.floating]) -> RGBImage:
    """(150, 150, 3) aligned crop for dlib's recogniser."""
    wanted = (CHIP_TEMPLATE + CHIP_PADDING) / (1 + 2 * CHIP_PADDING) * SIZE_PX
    matrix = estimate_similarity(np.asarray(mesh)[list(CHIP_POINTS), :2], wanted)
    return np.asarray(warp(image, matrix, SIZE_PX), np.uint8)


def distances(vectors: NDArray[np.floating], gallery: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, G) Euclidean distances of (N, D) and (G, D); for unit vectors their order is that of cosines."""
    a, b = np.asarray(vectors, np.float64), np.asarray(gallery, np.float64)
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


def retrieved_within(
    vectors: NDArray[np.floating], gallery: NDArray[np.floating], right: NDArray[np.integer], k: int
) -> NDArray[np.bool_]:
    """(N,) whether fewer than `k` others of the gallery are at most as far as the right one.

    Args:
        vectors: (N, D) of results.
        gallery: (G, D), one for each person.
        right: (N,) row of the gallery that each result should be nearest to.
        k: 1 asks for the nearest.
    """
    found = distances(vectors, gallery)
    own = found[np.arange(len(found)), right][:, None]
    others_as_near = (found <= own).sum(axis=1) - 1
    return np.asarray(others_as_near < k)


def verification_accuracy(
    vectors: NDArray[np.floating],
    people: list[str],
    *,
    threshold: float = SAME_PERSON_DISTANCE,
    seed: int = 0,
) -> float:
    """Accuracy at a fixed distance, on all pairs of the same person and as many of different people.

    Args:
        vectors: (N, D).
        people: (N) the person in each photo.
        threshold: distance below which two photos count as the same person.
        seed: of the draw of pairs of different people.
    """
    first, second = np.triu_indices(len(people), 1)
    names = np.array(people)
    same = names[first] == names[second]
    found = distances(vectors, vectors)[first, second]
    drawn = np.random.default_rng(seed).choice(found[~same], int(same.sum()), replace=False)
    return float(np.concatenate([found[same] < threshold, drawn >= threshold]).mean())
