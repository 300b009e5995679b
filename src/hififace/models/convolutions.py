"""Two pieces of the networks that are trained, and cheaper kernels for the same functions while training on CPUs.

While gradients are recorded on a CPU in float32, channels last, a wide 3x3 convolution takes Winograd's way (Lavin and
Gray 2016, F(4x4, 3x3)): a quarter of the multiplications, forward and backward, 1e-5 of the largest number away from
the plain sum; measured 1.3 to 1.8 times as fast. A gate works on one image after the other, so that what lies between
its six passes stays in the processor's cache. Answers, graphs and accelerators get the plain functions to the last
digit.

Letters: B images, C channels in, O channels out, H and W rows and columns, T = B·H·W / 16 tiles.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hififace.models.normalisation import SLOPE, is_exporting, leaky

WIDE = 64
"""Channels, in and out, from which on a quarter of the multiplications outweighs the transforms."""
TILE = 4
"""Side of a tile of the answer; one of the input is two pixels larger."""


def trains_on_cpu(x: Tensor) -> bool:
    """Whether the cheaper kernel may be taken for (B, C, H, W)."""
    return (
        torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not is_exporting()
        and not torch.is_autocast_enabled("cpu")
        and x.is_contiguous(memory_format=torch.channels_last)
    )


class Conv3x3(nn.Conv2d):
    """3x3, stride 1, same size, with bias."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H, W)."""
        wide = min(self.in_channels, self.out_channels) >= WIDE
        if wide and x.shape[2] % TILE == x.shape[3] % TILE == 0 and trains_on_cpu(x):
            y: Tensor = _Winograd.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return y
        return super().forward(x)


def gated(z: Tensor, skip: Tensor, adapted: Tensor, gate: nn.Conv2d) -> Tensor:
    """LReLU(z + sigmoid(gate([z, skip])) * adapted): z, adapted (B, C, H, W), skip (B, C', H, W) -> (B, C, H, W)."""
    if trains_on_cpu(z) and all(x.is_contiguous(memory_format=torch.channels_last) for x in (skip, adapted)):
        y: Tensor = _Gate.apply(z, skip, adapted, gate.weight, gate.bias)  # type: ignore[no-untyped-call]
        return y
    return leaky(z + torch.sigmoid(gate(torch.cat((z, skip), dim=1))) * adapted)


class _Gate(torch.autograd.Function):
    """`gated` on rows (H·W, C) of one image at a time."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, skip: Tensor, adapted: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y, share = torch.empty_like(z), torch.empty_like(z)
        on_z, on_skip = torch.split(weight.flatten(1), [z.shape[1], skip.shape[1]], dim=1)  # (C, C), (C, C')
        for own, other, new, out, part in zip(*map(_rows, (z, skip, adapted, y, share)), strict=True):
            torch.addmm(bias, own, on_z.T, out=part)
            part.addmm_(other, on_skip.T).sigmoid_()
            torch.addcmul(own, part, new, out=out)
            F.leaky_relu_(out, SLOPE)
        ctx.save_for_backward(z, skip, adapted, weight, y, share)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        z, skip, adapted, weight, y, share = ctx.saved_tensors
        on_z, on_skip = torch.split(weight.flatten(1), [z.shape[1], skip.shape[1]], dim=1)
        d_z, d_adapted = torch.empty_like(z), torch.empty_like(z)
        d_skip = torch.empty_like(skip) if ctx.needs_input_grad[1] else None
        d_on_z, d_on_skip, d_bias = (
            torch.zeros_like(on_z),
            torch.zeros_like(on_skip),
            weight.new_zeros(len(weight)),
        )
        grads = _rows(grad.contiguous(memory_format=torch.channels_last))
        for index, (own, other, new, out, part, dz, da) in enumerate(
            zip(*map(_rows, (z, skip, adapted, y, share, d_z, d_adapted)), strict=True)
        ):
            g = torch.ops.aten.leaky_relu_backward(grads[index], out, SLOPE, True)
            torch.mul(g, part, out=da)
            # Through the sigmoid: d logits = g * adapted * s * (1 - s) = (d adapted) * adapted * (1 - s).
            logits = torch.addcmul(da, da, part, value=-1.0).mul_(new)
            torch.addmm(g, logits, on_z, out=dz)
            if d_skip is not None:
                torch.mm(logits, on_skip, out=_rows(d_skip)[index])
            d_on_z.addmm_(logits.T, own)
            d_on_skip.addmm_(logits.T, other)
            d_bias += logits.sum(dim=0)
        d_weight = torch.cat((d_on_z, d_on_skip), dim=1)[:, :, None, None]
        return d_z, d_skip, d_adapted, d_weight, d_bias


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) channels-last to (B, H·W, C), the same memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


class _Winograd(torch.autograd.Function):
    """y = A^T [(G w G^T) * (B^T x B)] A of every tile, summed over the channels before A; plus the bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        to_input, to_weight, to_answer = _transforms()
        batch, channels, height, width = x.shape
        outputs, down, across = weight.shape[0], height // TILE, width // TILE
        padded = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)  # (B, H + 2, W + 2, C)
        b, r, c, one = padded.stride()
        tiles = padded.as_strided((6, 6, batch, down, across, channels), (r, c, b, 4 * r, 4 * c, one))
        v = (to_input @ tiles.reshape(36, -1)).view(36, -1, channels)  # (36, T, C)
        u = (to_weight @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(36, channels, outputs)
        answers = (to_answer @ torch.bmm(v, u).view(36, -1)).view(-1, outputs).add_(bias)  # (16·T, O)
        ctx.save_for_backward(x, weight, v, u)
        y = answers.view(4, 4, batch, down, across, outputs).permute(2, 3, 0, 4, 1, 5)
        return y.reshape(batch, height, width, outputs).contiguous().permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor]:
        x, weight, v, u = ctx.saved_tensors
        wants_x, wants_weight, _ = ctx.needs_input_grad
        d_bias = grad.sum(dim=(0, 2, 3))
        if torch.is_grad_enabled():  # a gradient of this gradient will be asked for
            zero, one = (0, 0), (1, 1)
            dx, dw, _ = torch.ops.aten.convolution_backward(
                grad, x, weight, None, one, one, one, False, zero, 1, (wants_x, wants_weight, False)
            )
            return dx, dw, d_bias
        to_input, to_weight, to_answer = _transforms()
        batch, channels, height, width = x.shape
        outputs, down, across = weight.shape[0], height // TILE, width // TILE
        rows = grad.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        tiles = rows.view(batch, down, 4, across, 4, outputs).permute(2, 4, 0, 1, 3, 5)
        g = (to_answer.T @ tiles.reshape(16, -1)).view(36, -1, outputs)  # (36, T, O)
        dx = dw = None
        if wants_weight:
            d = to_weight.T @ torch.bmm(v.transpose(1, 2), g).view(36, -1)
            dw = d.view(3, 3, channels, outputs).permute(3, 2, 0, 1)
        if wants_x:
            d = (to_input.T @ torch.bmm(g, u.transpose(1, 2)).view(36, -1)).view(
                6, 6, batch, down, across, channels
            )
            d = d.permute(2, 3, 0, 4, 1, 5)  # (B, H/4, 6, W/4, 6, C)
            # Tiles of six pixels overlap by two: what lies beyond the fourth belongs to the next block as well.
            padded = grad.new_zeros(batch, down + 1, 4, across + 1, 4, channels)
            padded[:, :-1, :, :-1] = d[:, :, :4, :, :4]
            padded[:, 1:, :2, :-1] += d[:, :, 4:, :, :4]
            padded[:, :-1, :, 1:, :2] += d[:, :, :4, :, 4:]
            padded[:, 1:, :2, 1:, :2] += d[:, :, 4:, :, 4:]
            whole = padded.view(batch, height + 4, width + 4, channels)
            dx = whole[:, 1 : height + 1, 1 : width + 1].permute(0, 3, 1, 2)
        return dx, dw, d_bias


@cache
def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """B^T, G and A^T of F(4x4, 3x3), each for a whole tile as one matrix: (36, 36), (36, 9), (16, 36)."""
    to_input = [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
    to_weight = [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
    to_answer = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
    matrices = (torch.tensor(rows, dtype=torch.float64) for rows in (to_input, to_weight, to_answer))
    first, second, third = (torch.kron(m, m).float() for m in matrices)
    return first, second, third
