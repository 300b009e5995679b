"""Instance normalisation with its scale, shift and leaky ReLU as one step, in the memory order that suits CPUs.

Convolutions are fastest on a CPU when the channels of a pixel lie together ("channels last"), most of all in bfloat16;
PyTorch's own group normalisation there is so slow, backward above all, that it costs more than the convolutions win.
Seen as (B, H·W, C) rows, the same function is a few sums over rows and a few passes that vectorise
(`python benchmarks/normalisation.py`).

Letters: B pictures, C channels, H and W rows and columns, N = H·W.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

NORM_EPS = 1e-5
SLOPE = 0.2  # of every leaky ReLU


def leaky(x: Tensor) -> Tensor:
    """max(x, 0.2 x), into a new tensor.

    The reference overwrites x instead, and in three places reads the overwritten tensor afterwards. Here
    whoever wants the activated tensor is handed it: no tensor changes under anybody's feet.
    """
    return F.leaky_relu(x, SLOPE)


def is_exporting() -> bool:
    """Whether the network is being turned into a graph, whose batch size must stay free."""
    return (
        torch.onnx.is_in_onnx_export()
        or torch._C._get_tracing_state() is not None
        or torch.compiler.is_compiling()
    )


def normalise_activate(x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """LReLU(scale * IN(x) + shift), with IN(x) = (x - mean) / sqrt(var + 1e-5) over H and W, biased variance.

    Three kernels for the same function. Answers and graphs get the reference's, to its last digit. While gradients are
    recorded, adding in another order is worth the speed (3e-5 at the outputs of the whole 256 network): channels-last
    pictures on a CPU go through the rows below, all others through group normalisation with as many groups as
    channels, which is twice to eight times as fast as instance normalisation.

    Args:
        x: (B, C, H, W).
        scale: (B, C), or None for ones.
        shift: (B, C), or None for zeros; given exactly where `scale` is.

    Returns:
        (B, C, H, W), of x's type.
    """
    if is_exporting() or not torch.is_grad_enabled():
        y = F.instance_norm(x, eps=NORM_EPS)
        if scale is not None and shift is not None:
            y = scale[:, :, None, None] * y + shift[:, :, None, None]
        return leaky(y)
    if x.device.type == "cpu" and x.shape[1] > 1 and x.is_contiguous(memory_format=torch.channels_last):
        normalised: Tensor = _RowNorm.apply(x, scale, shift)  # type: ignore[no-untyped-call]
        return normalised
    if scale is None or shift is None:
        return leaky(F.group_norm(x, x.shape[1], eps=NORM_EPS))
    # As one picture of B*C channels, each its own group, scale and shift become the affine part of one fused kernel,
    # forward and backward.
    batch, channels, height, width = x.shape
    groups = batch * channels
    flat = F.group_norm(
        x.reshape(1, groups, height, width), groups, scale.reshape(-1), shift.reshape(-1), eps=NORM_EPS
    )
    return leaky(flat.reshape(batch, channels, height, width))


class _RowNorm(torch.autograd.Function):
    """`normalise_activate` on (B, N, C) rows; statistics in float32 (float64 for float64), whatever x is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        rows = _as_rows(x)
        wide = rows if rows.dtype == torch.float64 else rows.float()  # (B, N, C)
        mean = wide.mean(dim=1, keepdim=True)  # (B, 1, C)
        centred = wide - mean
        variance = (centred * centred).mean(dim=1, keepdim=True)
        inverse = torch.rsqrt(variance + NORM_EPS)
        gain = inverse if scale is None else inverse * scale.to(inverse.dtype)[:, None]
        offset = 0.0 if shift is None else shift.to(inverse.dtype)[:, None]
        y = torch.empty_like(x)
        _as_rows(y).copy_(F.leaky_relu_(centred.mul_(gain).add_(offset), SLOPE))
        ctx.save_for_backward(x, y, mean, inverse, gain)
        ctx.affine = (
            None if scale is None else (scale.dtype, shift.dtype if shift is not None else scale.dtype)
        )
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        x, y, mean, inverse, gain = ctx.saved_tensors
        rows = _as_rows(x)
        num = rows.shape[1]
        # Through the activation, whose sign its own result tells.
        g = torch.ops.aten.leaky_relu_backward(
            _as_rows(grad.contiguous(memory_format=torch.channels_last)), _as_rows(y), SLOPE, True
        )
        # d shift = sum g,  d scale = sum g * xhat,  xhat = (x - mean) * inverse.
        sum_g = g.sum(dim=1, keepdim=True, dtype=mean.dtype)  # (B, 1, C)
        sum_gx = ((g * rows).sum(dim=1, keepdim=True, dtype=mean.dtype) - mean * sum_g) * inverse
        # d x = gain * (g - sum_g / N - xhat * sum_gx / N), written as g * gain + x * slope + constant.
        slope = -gain * inverse * sum_gx / num
        constant = -gain * sum_g / num - slope * mean
        dx = torch.empty_like(x)
        wide = (rows * slope).add_(constant).addcmul_(g, gain)
        _as_rows(dx).copy_(wide)
        if ctx.affine is None:
            return dx, None, None
        return dx, sum_gx[:, 0].to(ctx.affine[0]), sum_g[:, 0].to(ctx.affine[1])


def _as_rows(x: Tensor) -> Tensor:
    """(B, C, H, W) channels-last to (B, N, C), the same memory."""
    batch, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
