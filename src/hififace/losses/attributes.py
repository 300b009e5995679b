"""Attributes: gaze, eyelids, lips and colour stay the target's, also between different people.

The reference has HRNet heat-maps for eyes and mouth; the open parts have the mesh and the iris network
instead. All of the latter are free of scale, so a wide and a narrow eye ask for the same thing.

Letters: B samples, N points; only x and y of a point are used (the mesh's z is its weakest coordinate).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from hififace.losses.averaging import absolute_difference, batch_mean, expect_same_shape, full_precision
from hififace.losses.shape import face_size, smooth_distance

EYE_CHANNELS = slice(96, 98)
"""WFLW's two pupils among the 98 heat-maps of HRNet."""

MOUTH_CHANNELS = slice(76, 96)
"""WFLW's outer (76 to 87) and inner (88 to 95) lips."""


class Opening(NamedTuple):
    """Which points say how far an eye or a mouth is open; indices into the mesh."""

    upper: tuple[int, ...]
    """Points of the upper lid or lip, as many as `lower`, each above its partner."""
    lower: tuple[int, ...]
    corners: tuple[int, int]
    """Image-left and image-right corner of the upright face: their distance is the unit."""


def heatmap_loss(
    result_maps: Tensor, target_maps: Tensor, channels: slice, *, weight: Tensor | None = None
) -> Tensor:
    """Squared difference of heat-map channels: the reference's eye and mouth options, weight 10,000 each.

        L = mean (H_c(I_r) - H_c(I_t))^2,   c in EYE_CHANNELS or MOUTH_CHANNELS

    Args:
        result_maps: (B, 98, h, w) of I_r; receives the gradient.
        target_maps: (B, 98, h, w) of I_t; detached here.
        channels: which channels.
        weight: (B,) of each sample, or None for ones.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: the shapes differ or have none of these channels.
    """
    expect_same_shape(result_maps, target_maps, "the heat-maps")
    result = full_precision(result_maps[:, channels])
    target = full_precision(target_maps[:, channels].detach())
    if result.shape[1] != channels.stop - channels.start:
        raise ValueError(f"channels {channels.start}:{channels.stop} of {result_maps.shape[1]} do not exist")
    return batch_mean((result - target).square().flatten(1).mean(dim=1), weight)


def iris_direction(iris: Tensor, first_corner: Tensor, second_corner: Tensor) -> Tensor:
    """Where the iris stands within the eye: along and across the line of its corners, in eye widths.

        g = ((p . u), (p x u)) / ||b - a||,   p = iris - (a + b) / 2,   u = (b - a) / ||b - a||

    Free of the eye's place, size and roll. With a the image-left corner, the first number is positive to the
    image-right and the second is positive downwards.

    Args:
        iris: (..., 2 or more) centre of the iris.
        first_corner: a, likewise.
        second_corner: b, likewise.

    Returns:
        (..., 2); about -0.3 to 0.3.
    """
    a, b = full_precision(first_corner[..., :2]), full_precision(second_corner[..., :2])
    return _along_and_across(full_precision(iris[..., :2]) - 0.5 * (a + b), b - a)


def gaze_loss(
    result_direction: Tensor,
    target_direction: Tensor,
    *,
    openness: Tensor | None = None,
    beta: float = 0.02,
    weight: Tensor | None = None,
) -> Tensor:
    """The result looks where the target looks. Ours.

        L = mean_b sum_e o_e h(g_r,e - g_t,e) / max(1, sum_e o_e),   h the smooth L1, summed over the two
        directions

    Args:
        result_direction: (B, E, 2) of E eyes (`iris_direction`); receives the gradient.
        target_direction: (B, E, 2); detached here.
        openness: (B, E) in 0..1, how far to believe an eye: a closed one says nothing. None for ones.
        beta: knee of the smooth L1, in eye widths.
        weight: (B,) of each sample, or None for ones.

    Returns:
        Scalar >= 0, in eye widths.

    Raises:
        ValueError: shapes that do not fit.
    """
    if result_direction.ndim != 3 or result_direction.shape[2] != 2:
        raise ValueError(f"directions must be (B, E, 2), got {tuple(result_direction.shape)}")
    values = smooth_distance(result_direction, target_direction.detach(), beta).sum(dim=2)
    if openness is None:
        return batch_mean(values.mean(dim=1), weight)
    expect_same_shape(values, openness, "the eyes and their openness")
    belief = openness.detach().to(values.dtype)
    return batch_mean((values * belief).sum(dim=1) / belief.sum(dim=1).clamp_min(1.0), weight)


def opening(points: Tensor, where: Opening) -> Tensor:
    """How far an eye or a mouth is open, in units of its width.

        o = mean_k ((lower_k - upper_k) x u) / ||b - a||,   u the unit vector from corner a to corner b

    Signed: lids or lips that the mesh has crossed are negative, so there is no corner in the function at
        "closed".

    Args:
        points: (B, N, 2 or more).
        where: the points.

    Returns:
        (B,).

    Raises:
        ValueError: upper and lower are empty or differ in number.
    """
    if not where.upper or len(where.upper) != len(where.lower):
        raise ValueError(f"upper and lower need the same number, got {len(where.upper)}, {len(where.lower)}")
    xy = full_precision(points[..., :2])
    gap = xy[:, index_of(where.lower, xy.device)] - xy[:, index_of(where.upper, xy.device)]
    axis = xy[:, where.corners[1]] - xy[:, where.corners[0]]
    return _along_and_across(gap, axis[:, None])[..., 1].mean(dim=1)


def opening_loss(
    result: Tensor,
    target: Tensor,
    openings: Sequence[Opening],
    *,
    beta: float = 0.02,
    weight: Tensor | None = None,
) -> Tensor:
    """Eyes and mouth are as open as the target's. Ours.

        L = mean over the openings of h(o(result) - o(target)),   h the smooth L1

    Args:
        result: (B, N, 2 or more) mesh points of I_r; receives the gradient.
        target: (B, N, 2 or more) mesh points of I_t; detached here.
        openings: which ones, at least one.
        beta: knee of the smooth L1, in widths.
        weight: (B,) of each sample, or None for ones.

    Returns:
        Scalar >= 0, in widths of the eye or mouth.

    Raises:
        ValueError: the shapes differ or no opening is named.
    """
    expect_same_shape(result, target, "the points of result and target")
    if not openings:
        raise ValueError("name at least one opening")
    ours = torch.stack([opening(result, where) for where in openings], dim=1)
    theirs = torch.stack([opening(target.detach(), where) for where in openings], dim=1)
    return batch_mean(smooth_distance(ours, theirs, beta).mean(dim=1), weight)


def group_shape_loss(
    result: Tensor,
    target: Tensor,
    group: Sequence[int],
    *,
    beta: float = 0.01,
    weight: Tensor | None = None,
) -> Tensor:
    """A group of points, such as the lips, has the wanted form, wherever it lies. Ours.

        L = mean_n,d h((r_n - mean r) / s - (t_n - mean t) / s),   s = face_size(target), h the smooth L1

    Compare with the target's points to keep its lips, with the fused shape's to let the source's form
    through.

    Args:
        result: (B, N, 2 or more) all mesh points of I_r; receives the gradient.
        target: (B, N, 2 or more) all wanted mesh points; detached here.
        group: indices of the group.
        beta: knee of the smooth L1, in face sizes.
        weight: (B,) of each sample, or None for ones.

    Returns:
        Scalar >= 0, in face sizes.

    Raises:
        ValueError: the shapes differ or the group is empty.
    """
    expect_same_shape(result, target, "the points of result and target")
    if len(group) == 0:
        raise ValueError("the group of points is empty")
    size = face_size(target[..., :2])[:, None, None]
    chosen = index_of(tuple(group), target.device)
    ours, theirs = (full_precision(points[:, chosen, :2]) / size for points in (result, target.detach()))
    ours, theirs = (points - points.mean(dim=1, keepdim=True) for points in (ours, theirs))
    return batch_mean(smooth_distance(ours, theirs, beta).flatten(1).mean(dim=1), weight)


def colour_loss(
    result: Tensor,
    target: Tensor,
    *,
    block: int = 16,
    valid: Tensor | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """Average colour of blocks: light and skin stay the target's while details are free. Ours.

        L = sum_k v_k mean_c |mean_k I_r - mean_k I_t| / sum_k v_k,   v_k the valid share of block k

    Block averages are taken over valid pixels only.

    Args:
        result: (B, 3, S, S) I_r; receives the gradient.
        target: (B, 3, S, S) I_t; no gradient is meant for it.
        block: side of a block in pixels, a divisor of S.
        valid: (B, 1, S, S) in 0..1, where to compare (inside the photo, or only the face); None for
            everywhere.
        weight: (B,) of each sample, or None for ones.

    Returns:
        Scalar in 0..1 for images in 0..1.

    Raises:
        ValueError: shapes that do not fit, or a block that does not divide the image.
    """
    expect_same_shape(result, target, "result and target")
    if block < 1 or result.shape[-2] % block or result.shape[-1] % block:
        raise ValueError(f"a block of {block} px does not divide an image of {tuple(result.shape[-2:])}")
    result, target = full_precision(result), full_precision(target)
    if valid is None:
        blocks = [functional.avg_pool2d(images, block) for images in (result, target)]
        return batch_mean(absolute_difference(*blocks).flatten(1).mean(dim=1), weight)
    where = valid.to(result.dtype)
    share = functional.avg_pool2d(where, block)
    # v_k * |mean over valid r - mean over valid t| = |pooled(v r) - pooled(v t)|: no division by
    # an empty block
    pooled = functional.avg_pool2d(where * result, block) - functional.avg_pool2d(where * target, block)
    total = pooled.abs().mean(dim=1).flatten(1).sum(dim=1)
    return batch_mean(total / share.flatten(1).sum(dim=1).clamp_min(1e-6), weight)


@lru_cache
def index_of(points: tuple[int, ...], device: torch.device) -> Tensor:
    """Indices of points as a tensor that stays on its device: a list would be copied there in every step."""
    return torch.tensor(points, dtype=torch.int64, device=device)


def _along_and_across(vector: Tensor, axis: Tensor) -> Tensor:
    """(..., 2) vector in the frame of (..., 2) axis, in axis lengths; across: clockwise is positive."""
    squared = axis.square().sum(dim=-1).clamp_min(1e-12)
    along = (vector * axis).sum(dim=-1) / squared
    across = (axis[..., 0] * vector[..., 1] - axis[..., 1] * vector[..., 0]) / squared
    return torch.stack((along, across), dim=-1)
