"""Reconstruction and cycle: L1 between images, on the pixels and pairs for which it is known to be right.

Letters: B samples, S x S pixels of the crop, s x s pixels of the low-resolution result.
"""

from __future__ import annotations

from torch import Tensor

from hififace.losses.averaging import absolute_difference, batch_mean, per_sample_mean
from hififace.losses.resampling import downsample, downsample_valid


def reconstruction_loss(
    result: Tensor,
    result_low: Tensor | None,
    target: Tensor,
    same: Tensor,
    *,
    valid: Tensor | None = None,
    normalise: bool = False,
) -> Tensor:
    """A person put onto themselves is the target: L_rec of the paper, section 3.3, weight 20.

        L_rec = |I_r - I_t|_1 + |I_low - down(I_t)|_1     if source and target are one person, else 0.

    The default agrees with the reference, `L1(i_r * same, I_t * same) + L1(i_low * same, down4(I_t) * same)`
    with means over all elements of the batch: pairs of different people count as zeros, so the weight in
    force is proportional to the share of same-identity pairs. `normalise` takes the mean over the pairs of
    one person only.

    Args:
        result: (B, 3, S, S) I_r, unclamped; receives the gradient.
        result_low: (B, 3, s, s) I_low, unclamped; receives the gradient. None leaves its term out.
        target: (B, 3, S, S) I_t in 0..1.
        same: (B,) 1 where source and target are one person, else 0.
        valid: (B, 1, S, S) 1 where the crop shows the photo. Padding must not be learnt, so then each
            sample's mean is taken over its valid pixels; at low resolution over pixels whose whole block is
            valid.
        normalise: divide by the number of same-identity pairs instead of by B.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: shapes that do not fit.
    """
    values = per_sample_mean(absolute_difference(result, target), valid)
    if result_low is not None:
        size = (result_low.shape[-2], result_low.shape[-1])
        valid_low = None if valid is None else downsample_valid(valid, size)
        values = values + per_sample_mean(
            absolute_difference(result_low, downsample(target, size)), valid_low
        )
    return batch_mean(values, same, normalise=normalise)


def cycle_loss(
    target: Tensor, cycled: Tensor, *, valid: Tensor | None = None, weight: Tensor | None = None
) -> Tensor:
    """Swapping the target's own face back onto the result gives the target: L_cyc of the paper, weight 1.

        L_cyc = |I_t - G(source = I_t, target = I_r)|_1,   over all pairs.

    As printed, the paper has G(I_r, I_t); both public re-implementations take I_t as the source and I_r as
    the target, and so does this one. I_r is not detached: the gradient reaches the first pass through the
    second.

    Args:
        target: (B, 3, S, S) I_t in 0..1.
        cycled: (B, 3, S, S) the second pass's result, unclamped; receives the gradient.
        valid: (B, 1, S, S) 1 where the crop shows the photo.
        weight: (B,) of each sample, or None for ones.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: shapes that do not fit.
    """
    return batch_mean(per_sample_mean(absolute_difference(target, cycled), valid), weight)
