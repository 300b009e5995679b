"""Decides whether to use bfloat16: on CPUs without bfloat16 instructions it is ten times slower than float32."""

from __future__ import annotations

import time
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

_ROUNDS = 3
_AT_MOST = 0.9
"""bfloat16 is used if its time is below this share of float32's."""


def uses_bfloat16(precision: Literal["float32", "bfloat16", "auto"], device: torch.device) -> bool:
    """Whether the networks of a run with this setting run in bfloat16."""
    return precision == "bfloat16" or (precision == "auto" and bfloat16_is_fast(device))


def bfloat16_is_fast(device: torch.device) -> bool:
    """Times one convolution like the generator's in both types; takes milliseconds on a CPU with bfloat16 instructions.

    The answer depends on the machine, so the same run may be rounded differently on two machines.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu":
        return False
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(1, 64, 32, 32, generator=generator).to(memory_format=torch.channels_last)
    weight = torch.randn(64, 64, 3, 3, generator=generator)
    whole = _seconds(images, weight)
    half = _seconds(images.bfloat16(), weight.bfloat16())
    return half < _AT_MOST * whole


def _seconds(images: Tensor, weight: Tensor) -> float:
    """Minimum time of a few rounds, which other programs on the machine disturb least."""
    times = []
    with torch.no_grad():
        for _ in range(_ROUNDS + 1):
            begin = time.perf_counter()
            F.conv2d(images, weight, padding=1)
            times.append(time.perf_counter() - begin)
    return min(times[1:])
