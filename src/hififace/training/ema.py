"""Exponential moving average of the generator's weights, which previews, evaluation and export use."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def ema_decay(batch_size: int, images_seen: int, half_life_images: float, rampup: float) -> float:
    """Decay of the average for one step, with the half-life counted in images.

    The half-life ramps up with the images seen, `min(half_life, rampup · images_seen)`, so that the random
    initialisation is forgotten early (Karras et al. 2020, StyleGAN2-ADA, section 4).

    Args:
        batch_size: images of this step.
        images_seen: images seen before this step.
        half_life_images: images after which a weight counts half.
        rampup: maximum half-life as a share of the images seen; 0 disables the ramp.
    """
    half_life = half_life_images
    if rampup > 0:
        half_life = min(half_life, rampup * images_seen)
    return float(0.5 ** (batch_size / max(half_life, 1e-8)))


class MovingAverage:
    """An averaged copy of a network, updated after every step.

    Parameters are averaged in float32; buffers are copied, since they are constants or running statistics.
    """

    def __init__(self, network: nn.Module, *, half_life_images: float, rampup: float) -> None:
        self.module = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life_images = half_life_images
        self.rampup = rampup

    @torch.no_grad()
    def update(self, network: nn.Module, *, batch_size: int, images_seen: int) -> None:
        """Moves the average towards the network after a step of `batch_size` images."""
        decay = ema_decay(batch_size, images_seen, self.half_life_images, self.rampup)
        averages: list[Tensor] = list(self.module.parameters())
        torch._foreach_lerp_(averages, [p.detach() for p in network.parameters()], 1.0 - decay)
        for mine, theirs in zip(self.module.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)
