"""Images and maps brought to the size of the low-resolution result.

Letters: B samples, C channels, H x W pixels, h x w pixels of the low resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def downsample(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, pixel centres at halves, no antialiasing: what the reference compares `i_low` with.

    At a factor of 4 this is exactly the mean of the central 2 x 2 pixels of each 4 x 4 block. (The network's
    own low-resolution blend takes the nearest pixel instead; the two are not the same and both are kept.)

    Args:
        images: (B, C, H, W).
        size: (h, w).

    Returns:
        (B, C, h, w).
    """
    if images.shape[-2:] == size:
        return images
    return functional.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=False)


def downsample_valid(valid: Tensor, size: tuple[int, int]) -> Tensor:
    """A low-resolution pixel is valid only as far as every pixel under it is: the minimum over its block.

    Args:
        valid: (B, 1, H, W) in 0..1.
        size: (h, w).

    Returns:
        (B, 1, h, w).
    """
    if valid.shape[-2:] == size:
        return valid
    return 1.0 - functional.adaptive_max_pool2d(1.0 - valid, size)


def fill_invalid(result: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """`valid * result + (1 - valid) * target`: beyond the photo the result is declared equal to the target.

    For networks that see whole images (discriminator, perceptual features): a map on their output would
    come too late, since their receptive fields reach across the border. No gradient flows to the result where
    `valid` is 0.

    Args:
        result: (B, C, H, W).
        target: (B, C, H, W).
        valid: (B, 1, H, W) in 0..1.

    Returns:
        (B, C, H, W).
    """
    return torch.lerp(target, result, valid.to(result.dtype).expand_as(result))
