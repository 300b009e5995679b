"""Compresses the features of photos: 16-bit quantisation, float16, and principal components of landmarks."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hififace.data.index import PreparedSet
from hififace.data.pack_file import LABELS, from_codes, to_codes
from hififace.types import FloatArray

BASIS_PHOTOS: Final = 20_000
"""Number of photos, spread over the set, to which the principal components of landmarks are fitted."""


STORED: Final = ("identity", "coefficients", "coefficients_mirrored", "landmarks", "matrix", "photo_size")
"""Arrays of a photo's `.npz` that are stored."""

SHARED: Final = frozenset(
    {
        "coefficients_range",
        "coefficients_mirrored_range",
        "landmark_numbers_range",
        "landmark_basis",
        "landmark_mean",
    }
)
"""Arrays of the whole set, which every part holds; all others have a row per photo."""


def compact(
    known: dict[str, NDArray[Any]], num_numbers: int
) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """The compressed arrays of all photos, and the errors of compression.

    Args:
        known: (N, ...) for each of `STORED`.
        num_numbers: maximum number of principal components of landmarks.
    """
    out: dict[str, NDArray[Any]] = {
        "identity": known["identity"].astype(np.float16),
        "matrix": known["matrix"],
        "photo_size": known["photo_size"],
    }
    error = 0.0
    for name in ("coefficients", "coefficients_mirrored"):
        out[name], out[f"{name}_range"] = to_codes(known[name])
        error = max(
            error, float(np.abs(from_codes(out[name], out[f"{name}_range"]) - known[name]).max(initial=0))
        )
    landmarks = fit_landmarks(known["landmarks"], num_numbers)
    out |= landmarks
    rms, largest = landmark_error(known["landmarks"], landmarks)
    vectors = out["identity"].astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(known["identity"], axis=1)
    cosines = np.einsum("nd,nd->n", vectors, known["identity"]) / np.maximum(lengths, 1e-9)
    figures = {
        "landmark_rms_px": rms,
        "landmark_max_px": largest,
        "coefficient_max_error": error,
        "identity_min_cosine": float(cosines.min(initial=1.0)),
    }
    return out, figures


def fit_landmarks(landmarks: FloatArray, num_numbers: int) -> dict[str, NDArray[Any]]:
    """Landmarks as a mean, principal components, and each photo's coordinates.

    Args:
        landmarks: (N, P, 3) in crop pixels.
        num_numbers: maximum number of components.

    Returns:
        `landmark_mean` (3P,), `landmark_basis` (K, 3P) float16, `landmark_numbers` (N, K) codes and their range.
    """
    flat = landmarks.reshape(len(landmarks), -1)
    mean = flat.mean(axis=0, dtype=np.float64)
    some = (
        flat[np.unique(np.linspace(0, len(flat) - 1, min(len(flat), BASIS_PHOTOS)).astype(np.int64))] - mean
    )
    values, vectors = np.linalg.eigh(some.T @ some)
    count = int(min(num_numbers, max(1, int((values > values[-1] * 1e-12).sum()))))
    basis = vectors[:, ::-1][:, :count].T.astype(np.float16)
    # Coordinates are fitted to the rounded components, which compensates for their rounding.
    solve = np.linalg.pinv(basis.astype(np.float64))
    codes, spans = to_codes(((flat - mean) @ solve).astype(np.float32))
    return {
        "landmark_mean": mean.astype(np.float32),
        "landmark_basis": basis,
        "landmark_numbers": codes,
        "landmark_numbers_range": spans,
    }


def landmark_error(landmarks: FloatArray, fitted: dict[str, NDArray[Any]]) -> tuple[float, float]:
    """Root mean square error over all coordinates, and maximum distance in the image plane, in pixels."""
    squares, largest = 0.0, 0.0
    for start in range(0, len(landmarks), 1024):
        stop = start + 1024
        numbers = from_codes(fitted["landmark_numbers"][start:stop], fitted["landmark_numbers_range"])
        flat = numbers @ fitted["landmark_basis"].astype(np.float32) + fitted["landmark_mean"]
        away = flat.reshape(-1, *landmarks.shape[1:]) - landmarks[start:stop]
        squares += float(np.square(away, dtype=np.float64).sum())
        largest = max(largest, float(np.linalg.norm(away[..., :2], axis=-1).max()))
    return float(np.sqrt(squares / landmarks.size)), largest


def labels_of(prepared: PreparedSet) -> dict[str, NDArray[Any]]:
    """(N,) names for each of `LABELS`; a photo's source is its input."""
    source = np.array([str(name).split("/")[0] for name in prepared.columns["source"]], dtype=object)
    return {
        "identity": prepared.columns["identity"],
        "source": source,
        "gender": prepared.columns["gender"],
        "group": prepared.columns["group"],
    }


def label_codes(names: dict[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], dict[str, tuple[str, ...]]]:
    """(N,) codes for the names, and the list of names."""
    codes: dict[str, NDArray[Any]] = {}
    words: dict[str, tuple[str, ...]] = {}
    for label in LABELS:
        column = names[label]
        words[label] = tuple(sorted({str(name) for name in column if name is not None}))
        number = {name: place for place, name in enumerate(words[label])}
        codes[f"{label}_code"] = np.array(
            [-1 if name is None else number[str(name)] for name in column], dtype=np.int32
        )
    return codes, words
