"""Segmentation: the predicted masks cover the target's face, with room for a changed jaw.

Without this term the mask shrinks to nothing and the result becomes the target within a few hundred images.

Letters: B samples, S x S pixels of the crop, s x s pixels of the low-resolution mask.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from hififace.losses.averaging import absolute_difference, batch_mean, per_sample_mean
from hififace.losses.resampling import downsample, downsample_valid


def dilate(mask: Tensor, size: int = 5) -> Tensor:
    """Grey-scale dilation by a square: the maximum over size x size pixels, borders ignored.

    The reference dilates with a 5 x 5 square of ones at 256 px.

    Args:
        mask: (B, 1, H, W).
        size: side of the square in pixels, odd; 1 changes nothing.

    Returns:
        (B, 1, H, W).

    Raises:
        ValueError: `size` is even or not positive.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"the dilation must be an odd number of pixels, at least 1, got {size}")
    # A maximum over a square is one over rows of one over columns: 2 n comparisons a pixel instead of n * n.
    columns = functional.max_pool2d(mask, kernel_size=(size, 1), stride=1, padding=(size // 2, 0))
    return functional.max_pool2d(columns, kernel_size=(1, size), stride=1, padding=(0, size // 2))


def segmentation_loss(
    mask: Tensor,
    mask_low: Tensor | None,
    face_mask: Tensor,
    *,
    dilation: int = 5,
    valid: Tensor | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """Both masks against the dilated face region of the target: L_seg of the paper, section 3.3, weight 100.

        M = dilate(M_tar);   L_seg = |down(M) - M_low|_1 + |M - M_r|_1,   means over all elements.

    Args:
        mask: (B, 1, S, S) M_r after its sigmoid; receives the gradient.
        mask_low: (B, 1, s, s) M_low after its sigmoid; receives the gradient. None leaves its term out.
        face_mask: (B, 1, S, S) face region of the target in 0..1, undilated; no gradient is meant for it.
        dilation: side of the square in pixels of the crop (`dilate`).
        valid: (B, 1, S, S) 1 where the crop shows the photo; elsewhere nothing is asked of the masks.
        weight: (B,) of each sample, or None for ones.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: shapes that do not fit, or an even dilation.
    """
    wanted = dilate(face_mask, dilation)
    values = per_sample_mean(absolute_difference(mask, wanted), valid)
    if mask_low is not None:
        size = (mask_low.shape[-2], mask_low.shape[-1])
        valid_low = None if valid is None else downsample_valid(valid, size)
        values = values + per_sample_mean(absolute_difference(mask_low, downsample(wanted, size)), valid_low)
    return batch_mean(values, weight)
