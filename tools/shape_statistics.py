"""The statistics behind the shape basis: covariances between and within people, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hififace.faces.shape import align_to_mean

Array = NDArray[np.float64]
NUM_POINTS = 468


def mirror_shapes(shapes: Array, mirror: NDArray[np.int64]) -> Array:
    """(..., 468, 3) centred shapes as a mirror would show them."""
    other = shapes[..., mirror, :].copy()
    other[..., 0] *= -1
    return other


def align_all(points: Array, mean: Array) -> tuple[Array, Array]:
    """(N, 468, 3) shapes aligned to the mean, and their (N, 3, 3) rotations."""
    aligned = [align_to_mean(one, mean) for one in points]
    return np.stack([a[0] for a in aligned]), np.stack([a[2] for a in aligned])


def mean_shape(points: Array, mirror: NDArray[np.int64], num_rounds: int = 6) -> Array:
    """(468, 3) symmetric mean of generalised Procrustes alignment, looking the way people look on average.

    Its root-mean-square radius is 1. The network knows no absolute pitch, so zero is the average of the
    photos.
    """
    mean = points[0] - points[0].mean(axis=0)
    for _ in range(num_rounds):
        mean /= np.sqrt((mean**2).sum(axis=1).mean())
        aligned, rotations = align_all(points, mean)
        mean = aligned.mean(axis=0)
        mean = (mean + mirror_shapes(mean, mirror)) / 2
        left, _, right = np.linalg.svd(rotations.mean(axis=0))
        average = left @ right
        # Only the pitch of the average rotation: yaw and roll are settled by symmetry.
        pitch = np.arctan2(average[2, 1], average[2, 2])
        cosine, sine = np.cos(pitch), np.sin(pitch)
        mean = mean @ np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]).T
        mean -= mean.mean(axis=0)
    return mean / np.sqrt((mean**2).sum(axis=1).mean())


@dataclass(frozen=True)
class TwoCovariances:
    """y = h + w, h ~ N(0, between) one per person, w ~ N(0, within) one per photo."""

    between: Array
    within: Array

    def diagonalise(self) -> tuple[Array, Array]:
        """Ratios (D,) falling, and directions V (D, D) with V' within V = 1 and V' between V =
        diag(ratios).
        """
        inverse = np.linalg.inv(np.linalg.cholesky(self.within))
        ratios, vectors = np.linalg.eigh(inverse @ self.between @ inverse.T)
        return ratios[::-1], inverse.T @ vectors[:, ::-1]


def estimate_covariances(values: Array, people: NDArray[np.str_], num_rounds: int = 20) -> TwoCovariances:
    """Maximum likelihood by expectation maximisation, people with one photo included.

    The two-covariance model of speaker and face verification (Brümmer and de Villiers 2010; Chen et al. 2012,
    "Bayesian face revisited"), started at the moments.

    Args:
        values: (N, D) centred.
        people: (N,) who is on each photo.
        num_rounds: of expectation maximisation.
    """
    names, who, counts = np.unique(people, return_inverse=True, return_counts=True)
    num, size = values.shape
    sums = np.zeros((len(names), size))
    np.add.at(sums, who, values)
    means = sums / counts[:, None]
    rest = values - means[who]
    within = rest.T @ rest / (num - len(names))
    # A floor keeps directions that hardly vary from looking like perfect identity.
    floor = 1e-4 * np.trace(within) / size * np.eye(size)
    within = within + floor
    between = np.cov(means[counts > 1].T) - within * np.mean(1 / counts[counts > 1])
    root = np.linalg.cholesky(within)
    inverse = np.linalg.inv(root)
    ratios, vectors = np.linalg.eigh(inverse @ between @ inverse.T)
    between = root @ (vectors * np.clip(ratios, 0.01, 10.0)) @ vectors.T @ root.T
    total = values.T @ values
    for _ in range(num_rounds):
        between_inverse, within_inverse = np.linalg.inv(between), np.linalg.inv(within)
        new_between, correction = np.zeros((size, size)), np.zeros((size, size))
        for count in np.unique(counts):
            chosen = counts == count
            spread = np.linalg.inv(between_inverse + count * within_inverse)
            guess = sums[chosen] @ (spread @ within_inverse).T
            second = guess.T @ guess + chosen.sum() * spread
            new_between += second
            correction += count * second - guess.T @ sums[chosen] - sums[chosen].T @ guess
        between = new_between / len(names)
        within = (total + correction) / num + floor
    return TwoCovariances(between, within)


def verification_auc(features: Array, people: NDArray[np.str_]) -> float:
    """Chance that a pair of photos of one person has a larger cosine than a pair of two people: all pairs."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    first, second = np.triu_indices(len(people), 1)
    scores = (unit @ unit.T)[first, second]
    same = people[first] == people[second]
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores, kind="mergesort")] = np.arange(1, len(scores) + 1)
    num_same = int(same.sum())
    above = ranks[same].sum() - num_same * (num_same + 1) / 2
    return float(above / (num_same * (len(scores) - num_same)))
