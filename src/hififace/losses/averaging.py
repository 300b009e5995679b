"""Which mean: every loss first becomes one number per sample, then one number per batch.

Two steps, because only then do `n` processes with a share of the batch each report, on average, what one
process with the whole batch reports: dividing by the batch size commutes with splitting the batch, dividing
by the number of same-identity pairs (or of valid pixels) in the batch does not.

Letters: B samples, C channels, H x W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

_HALF_TYPES = (torch.float16, torch.bfloat16)


def full_precision(x: Tensor) -> Tensor:
    """Lift half-precision tensors to float32, leave float32 and float64 as they are.

    A mean of 200,000 bfloat16 differences keeps three digits; the loss is where precision is cheap.
    """
    return x.float() if x.dtype in _HALF_TYPES else x


def expect_same_shape(a: Tensor, b: Tensor, names: str) -> None:
    """Refuse to broadcast: a (B,1,H,W) against a (B,3,H,W) is a mistake, not a loss.

    Raises:
        ValueError: the two shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"{names} must have one shape, got {tuple(a.shape)} and {tuple(b.shape)}")


def absolute_difference(a: Tensor, b: Tensor) -> Tensor:
    """|a - b|, element by element, in full precision; the shapes must be equal."""
    expect_same_shape(a, b, "the two sides of an absolute difference")
    return (full_precision(a) - full_precision(b)).abs()


def per_sample_mean(values: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean of every sample over all its elements, or over its valid ones.

        m_b = sum_chw valid_bhw * values_bchw / (C * sum_hw valid_bhw),   0 where nothing is valid.

    Args:
        values: (B,) or (B, ...), and (B, C, H, W) when `valid` is given.
        valid: (B, 1, H, W), weights >= 0, usually 1 where the crop shows the photo and 0 where it is padding.

    Returns:
        (B,).

    Raises:
        ValueError: `valid` is not (B, 1, H, W) for values of (B, C, H, W).
    """
    values = full_precision(values)
    if valid is None:
        return values.reshape(values.shape[0], -1).mean(dim=1)
    if values.ndim != 4 or valid.shape != (values.shape[0], 1, *values.shape[2:]):
        raise ValueError(
            f"valid must be (B, 1, H, W) for values of {tuple(values.shape)}, got {tuple(valid.shape)}"
        )
    weights = valid.to(values.dtype)
    area = weights.flatten(1).sum(dim=1)
    total = (values * weights).flatten(1).sum(dim=1) / values.shape[1]
    # an empty map gives 0 / tiny = 0, with a zero gradient, and never 0 / 0
    return total / area.clamp_min(torch.finfo(values.dtype).tiny)


def batch_mean(values: Tensor, weight: Tensor | None = None, *, normalise: bool = False) -> Tensor:
    """Mean over the batch of weighted samples.

        sum_b w_b v_b / B             the default: splits over processes; a batch's share of w scales it
        sum_b w_b v_b / sum_b w_b     `normalise`: the mean of the chosen samples, 0 if there are none

    Args:
        values: (B,).
        weight: (B,) >= 0, or None for ones.
        normalise: divide by the sum of the weights instead of by B.

    Returns:
        Scalar.

    Raises:
        ValueError: `values` is not one number per sample, or `weight` has another shape.
    """
    if values.ndim != 1:
        raise ValueError(f"expected one value per sample, (B,), got {tuple(values.shape)}")
    values = full_precision(values)
    if weight is None:
        return values.mean()
    expect_same_shape(values, weight, "values and per-sample weight")
    weights = weight.to(values.dtype)
    total = (values * weights).sum()
    if normalise:
        return total / weights.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return total / values.shape[0]
