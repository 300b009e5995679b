"""Instance normalisation with its scale, shift and leaky ReLU as one step, in the memory order that suits CPUs.

Convolutions are fastest on a CPU when the channels of a pixel lie together ("channels last"), most of all in bfloat16;
PyTorch's own group normalisation there is so slow, backward above all, that it costs more than the convolutions win.
Seen as (B, H·W, C) rows, the same function is a few sums over rows and a few passes that vectorise
(`python benchmarks/normalisation.py`).

Letters: B images, C channels, H and W rows and columns, N = H·W.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

NORM_EPS = 1e-5
SLOPE = 0.2  # of every leaky ReLU
_CACHED_NUMBERS = 1 << 18  # a mebibyte of float32


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
    images on a CPU go through the rows below, all others through group normalisation with as many groups as
    channels, which is twice to eight times as fast as instance normalisation.

    Args:
        x: (B, C, H, W).
        scale: (B, C), or None for ones.
        shift: (B, C), or None for zeros; given exactly where `scale` is.

    Returns:
        (B, C, H, W), of x's type.
    """
    if is_exporting() or (not torch.is_grad_enabled() and x.device.type == "cpu"):
        y = F.instance_norm(x, eps=NORM_EPS)
        if scale is not None and shift is not None:
            y = scale[:, :, None, None] * y + shift[:, :, None, None]
        return leaky(y)
    if x.shape[1] > 1 and x.is_contiguous(memory_format=torch.channels_last):
        normalised: Tensor = _RowNorm.apply(x, scale, shift)  # type: ignore[no-untyped-call]
        return normalised
    if scale is None or shift is None:
        return leaky(F.group_norm(x, x.shape[1], eps=NORM_EPS))
    # As one image of B*C channels, each its own group, scale and shift become the affine part of one fused kernel,
    # forward and backward.
    batch, channels, height, width = x.shape
    groups = batch * channels
    flat = F.group_norm(
        x.reshape(1, groups, height, width), groups, scale.reshape(-1), shift.reshape(-1), eps=NORM_EPS
    )
    return leaky(flat.reshape(batch, channels, height, width))


class _RowNorm(torch.autograd.Function):
    """`normalise_activate` on (B, N, C) rows; statistics in float32 (float64 for float64), whatever x is.

    A few images at a time, so that what lies between two passes stays in the processor's cache.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        rows, y = _as_rows(x), torch.empty_like(x)
        gain, offset = _unsqueezed(scale, rows), _unsqueezed(shift, rows)  # (B, 1, C), or None
        statistics = []
        for part in _parts(rows):
            wide = rows[part] if rows.dtype == torch.float64 else rows[part].float()
            mean = wide.mean(dim=1, keepdim=True)  # (b, 1, C)
            centred = wide - mean
            inverse = torch.rsqrt((centred * centred).mean(dim=1, keepdim=True) + NORM_EPS)
            centred.mul_(inverse if gain is None else inverse * gain[part])
            if offset is not None:
                centred.add_(offset[part])
            _as_rows(y)[part] = F.leaky_relu_(centred, SLOPE)
            statistics.append((mean, inverse))
        mean, inverse = (torch.cat(values) for values in zip(*statistics, strict=True))
        ctx.save_for_backward(x, y, mean, inverse, inverse if gain is None else inverse * gain)
        ctx.kinds = (None if scale is None else scale.dtype, None if shift is None else shift.dtype)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        x, y, mean, inverse, gain = ctx.saved_tensors
        dx = torch.empty_like(x)
        rows, activated = _as_rows(x), _as_rows(y)
        grads = _as_rows(grad.contiguous(memory_format=torch.channels_last))
        num = rows.shape[1]
        sums = []
        for part in _parts(rows):
            # Through the activation, whose sign its own result tells.
            g = torch.ops.aten.leaky_relu_backward(grads[part], activated[part], SLOPE, True)
            # d shift = sum g,  d scale = sum g * xhat,  xhat = (x - mean) * inverse.
            sum_g = g.sum(dim=1, keepdim=True, dtype=mean.dtype)  # (b, 1, C)
            sum_gx = (g * rows[part]).sum(dim=1, keepdim=True, dtype=mean.dtype)
            sum_gx = (sum_gx - mean[part] * sum_g) * inverse[part]
            # d x = gain * (g - sum_g / N - xhat * sum_gx / N), written as g * gain + x * slope + constant.
            slope = -gain[part] * inverse[part] * sum_gx / num
            constant = -gain[part] * sum_g / num - slope * mean[part]
            _as_rows(dx)[part] = (rows[part] * slope).add_(constant).addcmul_(g, gain[part])
            sums.append((sum_gx[:, 0], sum_g[:, 0]))
        d_scale, d_shift = (torch.cat(values) for values in zip(*sums, strict=True))
        scale_kind, shift_kind = ctx.kinds
        return (
            dx,
            None if scale_kind is None else d_scale.to(scale_kind),
            None if shift_kind is None else d_shift.to(shift_kind),
        )


def _parts(rows: Tensor) -> list[slice]:
    """Stretches of the batch whose numbers fit a CPU's cache together; an accelerator takes all at once."""
    if rows.device.type != "cpu":
        return [slice(0, len(rows))]
    step = max(_CACHED_NUMBERS // (rows.shape[1] * rows.shape[2]), 1)
    return [slice(start, start + step) for start in range(0, len(rows), step)]


def _unsqueezed(values: Tensor | None, rows: Tensor) -> Tensor | None:
    """(B, C) of any type to (B, 1, C) of the statistics' type."""
    if values is None:
        return None
    return values.to(torch.float64 if rows.dtype == torch.float64 else torch.float32)[:, None]


def _as_rows(x: Tensor) -> Tensor:
    """(B, C, H, W) channels-last to (B, N, C), the same memory."""
    batch, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
