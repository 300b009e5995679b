"""ArcFace's IResNet: from an aligned face to 512 numbers that say whose it is.

Deng et al. 2019 (arXiv 1801.07698); the improved residual network of insightface's recognition models, of
which the paper's family uses the one with 100 layers. Built from numbers; `load_arcface` fills it with a
published `backbone.pth`, whose key names it shares.

Letters: B batch, C channels.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.models.pretrained.strict_loading import load_strictly

SIZE_PX = 112
NUM_FEATURES = 512
TEMPLATE = "arcface_112"
"""What the network was trained on. The reference hands in its own wider crop (`frontal_256`) instead."""

BLOCKS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
}
"""Residual blocks of each stage, by the number of layers in the network's name."""

WIDTHS = (64, 128, 256, 512)


class ResidualBlock(nn.Module):
    """Normalise, convolve, PReLU, convolve; the stride is on the second convolution. No activation
    after the sum.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, reshape: bool) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if reshape
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        main = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        main = self.bn3(self.conv2(main))
        y: Tensor = main + (x if self.downsample is None else self.downsample(x))
        return y


class ArcFace(nn.Module):
    """From faces to identity vectors.

    Args:
        num_layers: 18, 34, 50 or 100.
        widths: channels of the four stages; those of the published files unless a test wants less.
    """

    def __init__(self, num_layers: int = 100, *, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        if num_layers not in BLOCKS:
            raise ValueError(f"There is no IResNet-{num_layers}; choose among {', '.join(map(str, BLOCKS))}.")
        self.num_layers = num_layers
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.prelu = nn.PReLU(widths[0])
        channels = widths[0]
        for index, (num_blocks, width) in enumerate(zip(BLOCKS[num_layers], widths, strict=True)):
            blocks = [ResidualBlock(channels, width, 2, reshape=True)]
            blocks += [ResidualBlock(width, width, 1, reshape=False) for _ in range(num_blocks - 1)]
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
            channels = width
        self.bn2 = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels * (SIZE_PX // 16) ** 2, NUM_FEATURES)
        self.features = nn.BatchNorm1d(NUM_FEATURES)

    def forward(self, faces: Tensor) -> Tensor:
        """Embed faces.

        Args:
            faces: (B, 3, S, S) RGB 0..1. Another size than 112 is resized bicubically without low-pass
                filter, after the change of range, exactly as the reference does with its 256 px crop.

        Returns:
            (B, 512), not normalised.
        """
        x = (faces - 0.5) / 0.5
        if x.shape[-1] != SIZE_PX:
            x = F.interpolate(x, size=(SIZE_PX, SIZE_PX), mode="bicubic", align_corners=False)
        x = self.prelu(self.bn1(self.conv1(x)))
        for index in range(len(BLOCKS[self.num_layers])):
            x = self.get_submodule(f"layer{index + 1}")(x)  # halves H and W
        x = self.fc(self.bn2(x).flatten(1))
        y: Tensor = self.features(x)
        return y

    def identity(self, faces: Tensor) -> Tensor:
        """(B, 3, S, S) RGB 0..1 to (B, 512) of unit length."""
        vectors: Tensor = self(faces)
        lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        return vectors / lengths.clamp_min(1e-12)


def load_arcface(path: Path, *, num_layers: int = 100) -> ArcFace:
    """The network with the weights of a published `backbone.pth`, frozen.

    Raises:
        WeightsError: the file is missing, damaged, unsafe, or of another network.
    """
    return load_strictly(ArcFace(num_layers), path, what=f"ArcFace IResNet-{num_layers}")
