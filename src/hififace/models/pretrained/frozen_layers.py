"""Layers of frozen networks through which a loss's gradient passes: the same functions, cheaper backward on a CPU.

PyTorch's backward of PReLU also computes the gradient of its slopes, and oneDNN's backward of a depthwise convolution
with stride 2 is a plain loop. In SFace these two are half of the time of a step (`python benchmarks/training.py`).

Letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hififace.models.normalisation import is_exporting


class FrozenPReLU(nn.PReLU):
    """PReLU with one slope per channel, whose backward leaves the slopes out when they are frozen."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), kept."""
        if self.weight.requires_grad or not torch.is_grad_enabled() or is_exporting():
            return super().forward(x)
        y: Tensor = _SlopesFixed.apply(x, self.weight.to(x.dtype).view(-1, 1, 1))  # type: ignore[no-untyped-call]
        return y


class _SlopesFixed(torch.autograd.Function):
    """y = x where x > 0, else slope * x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(x, slopes)
        return torch._prelu_kernel(x, slopes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, slopes = ctx.saved_tensors
        positive = torch.ops.aten.threshold_backward(grad, x, 0.0)  # grad where x > 0, else 0
        return torch.addcmul(positive, grad - positive, slopes), None


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int | tuple[int, int], groups: int
) -> Tensor:
    """A convolution of (B, C, H, W).

    Of a depthwise one through which a gradient will pass on a CPU, stride 2 is taken as stride 1 and every second pixel
    of the answer: oneDNN's backward with stride 2 is 7 to 20 times slower in bfloat16.
    """
    if groups == 1 or stride == 1 or x.device.type != "cpu" or not x.requires_grad or is_exporting():
        return nn.functional.conv2d(x, weight, bias, stride, padding, groups=groups)
    everywhere = nn.functional.conv2d(x, weight, bias, 1, padding, groups=groups)
    return everywhere[:, :, ::stride, ::stride]


class DepthwiseConv2d(nn.Conv2d):
    """3x3 depthwise convolution, padded by one; see `convolve`."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, 3, stride, 1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H / stride, W / stride)."""
        return convolve(x, self.weight, self.bias, self.stride[0], 1, self.groups)
