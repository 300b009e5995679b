"""Small networks that find what is in front of a face, in aligned crops of it: a share of each pixel.

    crop ─► pixel unshuffle ─► 1/2 ─► 1/4 ─► 1/8 ─► 1/16      features, with a skip at each size
                                ▲      ▲      ▲      │
    share ◄─ pixel shuffle ◄── 1/2 ◄─ 1/4 ◄─ 1/8 ◄───┘

Frames of eyeglasses are one to six pixels wide, so the finest features have half the size of the crop, and separable
convolutions. A U-Net (Ronneberger et al. 2015). Trained by `runs/eyeglasses.py` and `runs/occluders.py`.

Letters: B batch, H and W of the crop, multiples of 16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

EYEGLASSES = (16, 32, 48, 64)
OCCLUDERS = (24, 40, 64, 96)
"""Channels of the two networks, at each of the four sizes."""
FINE_CHANNELS = 24
"""Of the finest features on the way back."""
RARE = -3.0
"""The first logit everywhere: one pixel in twenty is covered."""


class SmallUNet(nn.Module):
    """Logits of the share of each pixel that is covered.

    Args:
        channels: at each of the four sizes, from fine to coarse.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.stem = _convolution(12, first)
        self.fine = _separable(first, first)
        self.down_1 = _convolution(first, second, stride=2)
        self.middle_1 = _Residual(second)
        self.down_2 = _convolution(second, third, stride=2)
        self.middle_2 = _Residual(third)
        self.down_3 = _convolution(third, fourth, stride=2)
        self.middle_3 = nn.Sequential(_Residual(fourth), _Residual(fourth))
        self.up_2 = _convolution(fourth + third, third, side=1)
        self.back_2 = _Residual(third)
        self.up_1 = _convolution(third + second, second, side=1)
        self.back_1 = _Residual(second)
        self.up_0 = _convolution(second + first, FINE_CHANNELS, side=1)
        self.back_0 = nn.Sequential(
            _separable(FINE_CHANNELS, FINE_CHANNELS), _separable(FINE_CHANNELS, FINE_CHANNELS)
        )
        self.head = nn.Conv2d(FINE_CHANNELS, 4, 3, padding=1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, RARE)

    def forward(self, crop: Tensor) -> Tensor:
        """(B, 3, H, W) RGB 0..1 to logits (B, 1, H, W)."""
        fine = self.fine(self.stem(functional.pixel_unshuffle(crop * 2 - 1, 2)))
        middle_1 = self.middle_1(self.down_1(fine))
        middle_2 = self.middle_2(self.down_2(middle_1))
        coarse = self.middle_3(self.down_3(middle_2))
        back = self.back_2(self.up_2(_joined(coarse, middle_2)))
        back = self.back_1(self.up_1(_joined(back, middle_1)))
        back = self.back_0(self.up_0(_joined(back, fine)))
        return functional.pixel_shuffle(self.head(back), 2)


class ShareGraph(nn.Module):
    """The network as graphs hold it: shares instead of logits."""

    def __init__(self, network: SmallUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, crop: Tensor) -> Tensor:
        """(B, 3, H, W) RGB 0..1 to (B, 1, H, W) 0..1."""
        shares: Tensor = self.network(crop).sigmoid()
        return shares


def _joined(coarse: Tensor, fine: Tensor) -> Tensor:
    return torch.cat([functional.interpolate(coarse, scale_factor=2, mode="nearest"), fine], dim=1)


def _convolution(
    inputs: int, outputs: int, *, side: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, inputs, groups=inputs), _convolution(inputs, outputs, side=1))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))
