"""Shape: the result's landmarks lie where the fused coefficients put them.

"Fused" is the paper's idea: identity shape of the source, expression and pose of the target. The landmarks
come from a shape prior (Basel: 68 points; mesh: 468), read from the image by a frozen
network.

Letters: B samples, N points, D coordinates (2 or 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from hififace.losses.averaging import absolute_difference, batch_mean, expect_same_shape, full_precision

CoordinateReduction = Literal["mean", "sum"]


def landmark_loss(
    fused: Tensor,
    result: Tensor,
    result_low: Tensor | None = None,
    *,
    coordinates: CoordinateReduction = "mean",
    clamp: float | None = None,
    beta: float = 0.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Landmark distance for the result and the low result: L_shape of the paper, section 3.3, weight 0.5.

        L_shape = (1/N) sum_n |q_fuse,n - q_r,n|_1 + |q_fuse,n - q_low,n|_1,   68 points, pixels of a 224 px
        image.

    `coordinates="sum"` is that formula to the letter; the reference takes the mean over all elements (the
    default), half as much for points of two coordinates, and clamps the sum to 0..10 (`clamp=10`), which
    stops the gradient of the whole batch while the shapes are still far apart. Our own way is `clamp=None`
    with `beta` > 0: quadratic below `beta` pixels, where landmark noise lives, and of constant slope above,
    so that it never stops pulling.

    Args:
        fused: (B, N, D) landmarks of the fused coefficients; no gradient is meant for them.
        result: (B, N, D) landmarks of I_r; the gradient passes through the frozen network to the image.
        result_low: (B, N, D) landmarks of the enlarged I_low, or None to leave its term out.
        coordinates: mean or sum over the D coordinates of a point.
        clamp: upper bound of the batch's value in pixels, with a zero gradient above; None for no bound.
            It acts on the mean of the batch at hand, so it alone depends on how a batch is split over processes.
        beta: knee of the smooth L1 in pixels: d^2 / (2 beta) below, |d| - beta / 2 above; 0 is plain L1.
        weight: (B,) of each pair, or None for ones.

    Returns:
        Scalar >= 0, in pixels.

    Raises:
        ValueError: shapes that do not fit, or an unknown reduction.
    """
    if coordinates not in ("mean", "sum"):
        raise ValueError(f"coordinates must be 'mean' or 'sum', got {coordinates!r}")
    factor = 1.0 if coordinates == "mean" else float(fused.shape[-1])
    values = [
        factor * smooth_distance(fused, points, beta).flatten(1).mean(dim=1)
        for points in _results(fused, result, result_low)
    ]
    loss = batch_mean(torch.stack(values).sum(dim=0), weight)
    return loss if clamp is None else loss.clamp(0.0, clamp)


def mesh_shape_loss(
    fused: Tensor,
    result: Tensor,
    result_low: Tensor | None = None,
    *,
    region_weights: Tensor | None = None,
    beta: float = 0.02,
    weight: Tensor | None = None,
) -> Tensor:
    """The same for the dense mesh, in units of the face's size. Ours.

        L = sum_n w_n mean_d h((q_fuse - q_r) / s) / sum_n w_n  (+ the same for q_low),   s =
        face_size(q_fuse), h(x) = x^2 / (2 beta) for |x| < beta, else |x| - beta / 2.

    Dividing by the size makes a small and a large face count alike; one unit is the root-mean-square distance
    of the points to their centre, about 40 px in a 128 px crop.

    Args:
        fused: (B, N, D) points of the fused coefficients; no gradient is meant for them.
        result: (B, N, D) points of I_r; receives the gradient.
        result_low: (B, N, D) points of the enlarged I_low, or None to leave its term out.
        region_weights: (N,) >= 0, of each point (`region_weights`), or None for ones.
        beta: knee of the smooth L1, in face sizes; 0 is plain L1.
        weight: (B,) of each pair, or None for ones.

    Returns:
        Scalar >= 0, in face sizes.

    Raises:
        ValueError: shapes that do not fit.
    """
    results = _results(fused, result, result_low)
    size = face_size(fused)[:, None, None]
    values = [
        _over_points(smooth_distance(fused / size, points / size, beta), region_weights) for points in results
    ]
    return batch_mean(torch.stack(values).sum(dim=0), weight)


def region_weights(
    num_points: int,
    groups: Mapping[str, Sequence[int]],
    weights: Mapping[str, float],
    *,
    default: float = 1.0,
) -> Tensor:
    """Weight of every point from weights of named groups, such as contour against inner face.

    Args:
        num_points: N.
        groups: indices of each named group.
        weights: weight of the groups that differ from `default`; a point of several groups takes the last
            one's.
        default: weight of all other points.

    Returns:
        (N,) float32.

    Raises:
        ValueError: an unknown group, an index outside 0..N-1, or a negative weight.
    """
    result = torch.full((num_points,), float(default))
    for name, value in weights.items():
        if name not in groups:
            raise ValueError(f"no group of points is called {name!r}; there are {', '.join(sorted(groups))}")
        outside = [index for index in groups[name] if not 0 <= index < num_points]
        if outside:
            raise ValueError(f"group {name!r} has points outside 0..{num_points - 1}: {outside}")
        if value < 0:
            raise ValueError(f"the weight of group {name!r} must not be negative, got {value}")
        result[list(groups[name])] = float(value)
    return result


def face_size(points: Tensor) -> Tensor:
    """RMS distance of the points to their centre, (B, N, D) to (B,); detached: a unit, not a goal."""
    points = full_precision(points.detach())
    centred = points - points.mean(dim=1, keepdim=True)
    return centred.square().sum(dim=2).mean(dim=1).sqrt().clamp_min(1e-6)


def smooth_distance(a: Tensor, b: Tensor, beta: float) -> Tensor:
    """Smooth L1, element by element: d^2 / (2 beta) below the knee, |d| - beta / 2 above; L1 for beta 0.

    Raises:
        ValueError: the shapes differ or `beta` is negative.
    """
    if beta < 0:
        raise ValueError(f"the knee must not be negative, got {beta}")
    if beta == 0:
        return absolute_difference(a, b)
    expect_same_shape(a, b, "the two sets of points")
    return functional.smooth_l1_loss(full_precision(a), full_precision(b), reduction="none", beta=beta)


def _over_points(distances: Tensor, weights: Tensor | None) -> Tensor:
    """(B, N, D) distances to (B,): mean over coordinates, weighted mean over points."""
    per_point = distances.mean(dim=2)
    if weights is None:
        return per_point.mean(dim=1)
    if weights.shape != per_point.shape[1:]:
        raise ValueError(f"region weights must be ({per_point.shape[1]},), got {tuple(weights.shape)}")
    shares = weights.to(per_point)
    return (per_point * shares).sum(dim=1) / shares.sum().clamp_min(torch.finfo(shares.dtype).tiny)


def _results(fused: Tensor, result: Tensor, result_low: Tensor | None) -> list[Tensor]:
    """What is compared with the fused points, once these were found to be points."""
    if fused.ndim != 3 or fused.shape[2] not in (2, 3):
        raise ValueError(f"points must be (B, N, 2) or (B, N, 3), got {tuple(fused.shape)}")
    return [result] if result_low is None else [result, result_low]
