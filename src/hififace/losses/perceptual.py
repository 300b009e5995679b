"""Perceptual distance: images compared in the features of a frozen network that is passed in.

Letters: B samples, L layers, C_l x H_l x W_l features of layer l.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hififace.losses.averaging import (
    absolute_difference,
    expect_same_shape,
    full_precision,
    per_sample_mean,
)


def lpips_distance(
    features: Sequence[Tensor], other_features: Sequence[Tensor], heads: Sequence[Tensor]
) -> Tensor:
    """LPIPS of each sample (Zhang et al. 2018, equation 1).

        d = sum_l 1/(H_l W_l) sum_hw sum_c head_lc * (f^_lchw - g^_lchw)^2,
        f^ = f / (||f||_2 over the channels + 1e-10)

    L_lpips of the paper, weight 5, is its mean over the batch with pairs of two people counted as 0: the reference
    zeroes their images before the network, which gives the same number. It feeds images in 0..1 where LPIPS was fitted
    to -1..1; range belongs to the network that is passed in, so the preset decides.

    Args:
        features: L tensors (B, C_l, H_l, W_l) of one side; receives the gradient.
        other_features: the same of the other side; receives the gradient too, so detach what is fixed.
        heads: L tensors (C_l,) >= 0, the learned linear heads.

    Returns:
        (B,) >= 0.

    Raises:
        ValueError: the lists differ in length or the layers in shape.
    """
    _expect_same_layers(features, other_features, len(heads))
    layers = []
    for f, g, head in zip(features, other_features, heads, strict=True):
        expect_same_shape(f, g, "the features of a layer")
        if head.shape != f.shape[1:2]:
            raise ValueError(
                f"a layer of {f.shape[1]} channels needs a head of that size, got {tuple(head.shape)}"
            )
        squared = (_unit_channels(f) - _unit_channels(g)).square()
        # a product and a sum, not einsum: autocast would take a matrix product back to half precision
        weighted = squared * head.to(squared)[:, None, None]
        layers.append(weighted.sum(dim=1).mean(dim=(1, 2)))
    return torch.stack(layers).sum(dim=0)


def feature_l1_distance(
    features: Sequence[Tensor],
    other_features: Sequence[Tensor],
    layer_weights: Sequence[float] | None = None,
) -> Tensor:
    """L1 of features of each sample, each layer in units of its own size: for networks without LPIPS heads. Ours.

        d = (1/L) sum_l w_l mean |f_l - g_l| / mean |g_l|

    The unit is the sample's own, not the batch's, so that a sample counts alike in whatever batch it stands.

    Args:
        features: L tensors (B, C_l, H_l, W_l) of one side; receives the gradient.
        other_features: the same of the other side; detached here, also as the unit.
        layer_weights: L numbers >= 0, or None for ones.

    Returns:
        (B,) >= 0; 1 means that the features differ by as much as they are large.

    Raises:
        ValueError: the lists differ in length or the layers in shape.
    """
    shares = [1.0] * len(features) if layer_weights is None else list(layer_weights)
    _expect_same_layers(features, other_features, len(shares))
    layers = []
    for f, g, share in zip(features, other_features, shares, strict=True):
        fixed = full_precision(g.detach())
        unit = per_sample_mean(fixed.abs()).clamp_min(1e-6)
        layers.append(share * per_sample_mean(absolute_difference(f, fixed)) / unit)
    return torch.stack(layers).mean(dim=0)


def _unit_channels(features: Tensor) -> Tensor:
    """Each pixel's feature vector at unit length; a zero vector stays zero."""
    features = full_precision(features)
    length: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (length + 1e-10)


def _expect_same_layers(a: Sequence[Tensor], b: Sequence[Tensor], num_layers: int) -> None:
    if not len(a) == len(b) == num_layers or num_layers == 0:
        raise ValueError(
            f"both sides and the weights need one entry per layer, got {len(a)}, {len(b)}, {num_layers}"
        )
