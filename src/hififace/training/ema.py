"""The moving average of the generator's weights, which is what is previewed, evaluated and shipped."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def ema_decay(batch_size: int, images_seen: int, half_life_images: float, rampup: float) -> float:
    """Weight of the old average for one step, counted in images.

    The half-life ramps up with what has been seen, `min(half_life, rampup · images_seen)`, so that the first
    averages do not remember the random start for long (Karras et al. 2020, StyleGAN2-ADA, section 4).

    Args:
        batch_size: images of this step.
        images_seen: images seen before this step.
        half_life_images: images after which a weight counts half.
        rampup: longest half-life as a share of the images seen; 0 switches the ramp off.
    """
    half_life = half_life_images
    if rampup > 0:
        half_life = min(half_life, rampup * images_seen)
    return float(0.5 ** (batch_size / max(half_life, 1e-8)))


class MovingAverage:
    """An averaged copy of a network that follows it step by step.

    Parameters are averaged in float32; buffers are copied, since they are constants or statistics of their own.
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
