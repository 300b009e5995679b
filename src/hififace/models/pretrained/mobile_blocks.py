"""Blocks that the small frozen networks share: FaceMesh and the iris network.

FaceMesh and the iris network are MobileNet-like: depthwise and pointwise convolutions, each with a bias
(normalisation is folded in), and PReLU with one slope per channel. Padding follows TensorFlow's SAME rule,
which for a stride of 2 and an even size pads only right and bottom; PyTorch's own symmetric padding would
shift every feature by a pixel.

Letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from hififace.models.pretrained.frozen_layers import FrozenPReLU


class BlockSpec(NamedTuple):
    """One residual block in numbers."""

    channels: int
    """Channels it gives."""
    stride: int = 1
    """2 halves height and width."""
    bottleneck: int | None = None
    """Channels of a first convolution (1x1, or 2x2 where the stride is 2) before the depthwise one."""


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zero padding by TensorFlow's SAME rule; height and width must be multiples of `stride`."""
    total = max(kernel - stride, 0)
    before = total // 2
    return functional.pad(x, (before, total - before, before, total - before)) if total else x


class ConvolutionBlock(nn.Module):
    """Convolution with SAME padding, then PReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)
        self.activation = FrozenPReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, outputs, H / stride, W / stride)."""
        y: Tensor = self.activation(self.convolution(pad_same(x, self.kernel, self.stride)))
        return y


class ResidualBlock(nn.Module):
    """PReLU(shortcut(x) + pointwise(depthwise(reduce(x)))).

    The shortcut is a 2x2 maximum where the block halves its image, and is filled up with zero channels
    where the block gives more than it takes. `reduce` exists only with a bottleneck and then does the
    halving.
    """

    def __init__(self, inputs: int, spec: BlockSpec) -> None:
        super().__init__()
        self.stride = spec.stride
        self.extra_channels = spec.channels - inputs
        width = spec.bottleneck or inputs
        self.reduction = (
            ConvolutionBlock(inputs, width, spec.stride, spec.stride) if spec.bottleneck else None
        )
        self.depthwise_stride = 1 if spec.bottleneck else spec.stride
        self.depthwise = nn.Conv2d(width, width, 3, self.depthwise_stride, groups=width)
        self.pointwise = nn.Conv2d(width, spec.channels, 1)
        self.activation = FrozenPReLU(spec.channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, channels, H / stride, W / stride)."""
        shortcut = functional.max_pool2d(x, 2) if self.stride == 2 else x
        if self.extra_channels:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, self.extra_channels))
        reduced = x if self.reduction is None else self.reduction(x)
        deep = self.pointwise(self.depthwise(pad_same(reduced, 3, self.depthwise_stride)))
        y: Tensor = self.activation(shortcut + deep)
        return y


def residual_chain(inputs: int, specs: Iterable[BlockSpec]) -> nn.Sequential:
    """Residual blocks one after another, the first taking `inputs` channels."""
    blocks = []
    for spec in specs:
        blocks.append(ResidualBlock(inputs, spec))
        inputs = spec.channels
    return nn.Sequential(*blocks)
