"""Shares by which results moved from target to source: face shape by region, and eyelids and lips, which should not
move.

Let r, t, s be measurements of result, target and source (landmarks of the jaw, the opening of the eyelids), centred
over all pairs. Least squares over all pairs of

    r = kept · t + moved · s

gives both shares. `moved` is 0 for a copy of the target and 1 for the source itself. A drift of results toward an
average face lowers `kept` and does not change `moved`; a projection of r - t on s - t would count it as a move toward
the source, since s - t contains -t. Errors in s lower `moved` for all methods: its upper bound is the value for another
real photo of the source.

Landmarks are dlib's 68, aligned to the mean face by eye corners and nose; effects of head pose and open mouths are
removed by a linear model fitted to the photos of the protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hififace.evaluation.description import Description
from hififace.evaluation.landmarks68 import BROWS, EYES, JAW, MOUTH, NOSE
from hififace.faces.alignment import estimate_similarity, transform_points
from hififace.faces.shape import align_to_mean, load_shape_basis, pose_of

Array = NDArray[np.float64]

REGIONS: Final = {"jaw": JAW, "brows": BROWS, "nose": NOSE, "eyes": EYES, "mouth": MOUTH}

RIGID: Final = (36, 39, 42, 45, 27, 28, 29, 30, 33)
"""Landmarks that expression does not move: eye corners, the bridge and the base of the nose."""

LIDS: Final = (((37, 41), (38, 40), (36, 39)), ((43, 47), (44, 46), (42, 45)))
"""Of each eye: two pairs of upper and lower eyelid, then its corners."""
LIPS: Final = ((61, 67), (62, 66), (63, 65))
"""Inner edges of the upper and the lower lip."""


class Share(NamedTuple):
    """A least-squares share and its standard error, assuming independent pairs."""

    value: float
    error: float


class ShapeModel(NamedTuple):
    """Linear effects of head pose and mouth opening on aligned landmarks."""

    mean: Array
    """(68, 2)"""
    effects: Array
    """(E, 136) effect of each centred column of `_causes`."""
    causes_mean: Array
    """(E,)"""


def fit_shape_model(real: Sequence[Description]) -> ShapeModel:
    """Fit the model to the photos of the protocol.

    Args:
        real: with landmarks; more than E.
    """
    mean = np.mean([_unit(one.points68) for one in real], axis=0)
    for _ in range(3):  # generalised Procrustes analysis: the mean is updated after each alignment
        mean = np.mean([_aligned(one.points68, mean) for one in real], axis=0)
    shapes = np.stack([_aligned(one.points68, mean) for one in real]).reshape(len(real), -1)
    causes = np.stack([_causes(one, one.points68) for one in real])
    causes_mean = causes.mean(axis=0)
    effects = np.linalg.lstsq(causes - causes_mean, shapes - shapes.mean(axis=0), rcond=None)[0]
    return ShapeModel(mean, effects, causes_mean)


def neutral_shape(model: ShapeModel, points68: NDArray[np.floating], pose: Description) -> Array:
    """(68, 2) aligned landmarks, corrected to mean head pose and mean mouth opening.

    Args:
        model: the fitted effects.
        points68: (68, 2).
        pose: description with the head pose; for a result its target's.
    """
    causes = _causes(pose, points68) - model.causes_mean
    return _aligned(points68, model.mean) - (causes @ model.effects).reshape(-1, 2)


def lid_opening(points68: NDArray[np.floating]) -> float:
    """Distance of the eyelids over the width of the eye, mean of both eyes."""
    points = np.asarray(points68, np.float64)
    return float(np.mean([(_gap(points, a) + _gap(points, b)) / 2 / _gap(points, c) for a, b, c in LIDS]))


def lip_opening(points68: NDArray[np.floating]) -> float:
    """Distance of the inner lips over that of the outer eye corners."""
    points = np.asarray(points68, np.float64)
    return float(np.mean([_gap(points, pair) for pair in LIPS]) / _gap(points, (36, 45)))


def moved_and_kept(result: Array, target: Array, source: Array) -> tuple[Share, Share]:
    """`moved` and `kept`, see the module; NaN for fewer than three pairs.

    Args:
        result: (N, ...) of N pairs.
        target: likewise.
        source: likewise.
    """
    if len(result) < 3:
        unknown = Share(float("nan"), float("nan"))
        return unknown, unknown
    r, t, s = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (result, target, source))
    r, t, s = (x - x.mean(axis=0) for x in (r, t, s))
    products = np.stack([[(t * t).sum(1), (t * s).sum(1)], [(s * t).sum(1), (s * s).sum(1)]])  # (2, 2, N)
    right = np.stack([(t * r).sum(1), (s * r).sum(1)])  # (2, N)
    inverse = np.linalg.pinv(products.sum(axis=2))
    shares = inverse @ right.sum(axis=1)
    left_over = right - np.einsum("abn,b->an", products, shares)
    errors = np.sqrt(((inverse @ left_over) ** 2).sum(axis=1))
    kept, moved = (Share(float(value), float(error)) for value, error in zip(shares, errors, strict=True))
    return moved, kept


def _aligned(points68: NDArray[np.floating], mean: Array) -> Array:
    rigid = list(RIGID)
    points = np.asarray(points68, np.float64)
    return transform_points(estimate_similarity(points[rigid], mean[rigid]), points)


def _unit(points68: NDArray[np.floating]) -> Array:
    """Landmarks scaled to outer eye corners at (-0.5, 0) and (0.5, 0)."""
    points = np.asarray(points68, np.float64)
    corners = np.array([(-0.5, 0.0), (0.5, 0.0)])
    return transform_points(estimate_similarity(points[[36, 45]], corners), points)


def _causes(pose: Description, points68: NDArray[np.floating]) -> Array:
    """(E,) head pose, with squares since a turned head hides a cheek, and mouth opening."""
    rotation = align_to_mean(pose.mesh, load_shape_basis().mean)[2]
    pitch, yaw = (float(v) for v in pose_of(rotation)[:2])
    return np.array([pitch, yaw, pitch**2, yaw**2, pitch * yaw, lip_opening(points68)])


def _gap(points: Array, pair: tuple[int, int]) -> float:
    return max(float(np.linalg.norm(points[pair[0]] - points[pair[1]])), 1e-6)
