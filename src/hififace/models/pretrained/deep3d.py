"""Deep3DFaceRecon: from a face to the 257 coefficients of the Basel face model, by name.

Deng et al. 2019 (arXiv 1903.08527): a ResNet-50 and seven linear heads. Built from numbers; `load_deep3d`
fills it with the published `epoch_20*.pth`, whose key names it shares.

Letters: B batch, C channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.models.pretrained.strict_loading import load_strictly

SIZE_PX = 224
"""What the network was trained on, in its own crop. The reference hands the generator's 256 px crop to it
as it is when it swaps, and resizes to 224 in its losses: two different answers, both kept by not resizing
here."""


class FaceCoefficients(NamedTuple):
    """What the Basel face model says of a face, in the order of the published 257 numbers."""

    identity: Tensor
    """(B, 80) face shape: coordinates on the shape basis, in standard deviations."""
    expression: Tensor
    """(B, 64) coordinates on the expression basis, in standard deviations."""
    texture: Tensor
    """(B, 80) skin colour: coordinates on the texture basis."""
    angles: Tensor
    """(B, 3) pitch, yaw, roll in radians."""
    light: Tensor
    """(B, 27) nine spherical harmonics for each of R, G, B."""
    translation: Tensor
    """(B, 3) x, y, z in the model's units (decimetres)."""

    def flat(self) -> Tensor:
        """All of them side by side: (B, 257)."""
        return torch.cat(list(self), dim=1)

    @classmethod
    def from_flat(cls, coefficients: Tensor) -> FaceCoefficients:
        """Name the columns of (B, 257).

        Raises:
            ValueError: there are not 257 of them.
        """
        if coefficients.ndim != 2 or coefficients.shape[1] != NUM_COEFFICIENTS:
            raise ValueError(
                f"coefficients are {tuple(coefficients.shape)}; expected (B, {NUM_COEFFICIENTS})"
            )
        return cls(*torch.split(coefficients, list(SIZES), dim=1))

    def with_identity_of(self, source: FaceCoefficients) -> FaceCoefficients:
        """The fusion of the paper: the source's shape in the target's expression, pose and light."""
        return self._replace(identity=source.identity)


SIZES = (80, 64, 80, 3, 27, 3)
NUM_COEFFICIENTS = sum(SIZES)
_HEADS = (80, 64, 80, 3, 27, 2, 1)
"""Outputs of the heads: the last two, x and y, then z, are one translation."""


class Bottleneck(nn.Module):
    """ResNet's 1x1, 3x3, 1x1 block, with the stride on the 3x3 convolution."""

    def __init__(self, inputs: int, width: int, stride: int, *, reshape: bool) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if reshape
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, 4 width, H / stride, W / stride)."""
        main = F.relu(self.bn1(self.conv1(x)))
        main = F.relu(self.bn2(self.conv2(main)))
        main = self.bn3(self.conv3(main))
        return F.relu(main + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """ResNet-50 without its classifier: (B, 3, H, W) to (B, 2048, 1, 1)."""

    def __init__(self, num_blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 64) -> None:
        super().__init__()
        self.num_blocks = num_blocks
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for index, depth in enumerate(num_blocks):
            stage_width = width << index
            blocks = [Bottleneck(channels, stage_width, 1 if index == 0 else 2, reshape=True)]
            blocks += [Bottleneck(4 * stage_width, stage_width, 1, reshape=False) for _ in range(depth - 1)]
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
            channels = 4 * stage_width
        self.num_features = channels

    def forward(self, x: Tensor) -> Tensor:
        """Average over all places, so any input size serves."""
        x = F.relu(self.bn1(self.conv1(x)))  # / 2
        x = F.max_pool2d(x, 3, 2, 1)  # / 4
        for index in range(len(self.num_blocks)):
            x = self.get_submodule(f"layer{index + 1}")(x)  # / 4, 8, 16, 32
        return F.adaptive_avg_pool2d(x, 1)


class Deep3D(nn.Module):
    """From faces to named coefficients.

    Args:
        num_blocks: residual blocks of each stage; those of the published file unless a test wants less.
        width: channels of the first stage, likewise.
    """

    def __init__(self, num_blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 64) -> None:
        super().__init__()
        self.backbone = ResNet50(num_blocks, width)
        self.final_layers = nn.ModuleList(nn.Conv2d(self.backbone.num_features, size, 1) for size in _HEADS)

    def forward(self, faces: Tensor) -> FaceCoefficients:
        """(B, 3, S, S) RGB 0..1, without normalisation of any kind, to coefficients."""
        features = self.backbone(faces)
        identity, expression, texture, angles, light, xy, z = (
            head(features).flatten(1) for head in self.final_layers
        )
        return FaceCoefficients(identity, expression, texture, angles, light, torch.cat([xy, z], dim=1))


def load_deep3d(path: Path) -> Deep3D:
    """The network with the weights of the published `epoch_20.pth` or `epoch_20_new.pth`, frozen.

    Raises:
        WeightsError: the file is missing, damaged, unsafe, or of another network.
    """
    return load_strictly(Deep3D(), path, what="Deep3DFaceRecon", within="net_recon")
