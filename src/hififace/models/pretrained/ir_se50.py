"""ArcFace as IR-SE50: the recogniser of the FFHQ and CelebA-HQ protocols.

The improved residual network with squeeze and excitation of TreB1eN/InsightFace_Pytorch (MIT), whose
`model_ir_se50.pth` the public evaluation code of those protocols uses.

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
DEPTHS = (3, 4, 14, 3)
WIDTHS = (64, 128, 256, 512)


class SqueezeExcite(nn.Module):
    """Each channel times a gate that depends on the means of all channels."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, max(width // reduction, 1), 1, bias=False)
        self.fc2 = nn.Conv2d(max(width // reduction, 1), width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        gate = F.adaptive_avg_pool2d(x, 1)
        y: Tensor = x * torch.sigmoid(self.fc2(F.relu(self.fc1(gate))))
        return y


class Bottleneck(nn.Module):
    """Normalise, convolve, PReLU, convolve with the stride, normalise, gate; no activation after the sum."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if inputs != width:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, width, 3, 1, 1, bias=False),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            SqueezeExcite(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, width, H / stride, W / stride)."""
        y: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return y


class IrSe50(nn.Module):
    """From aligned faces to identity vectors.

    Args:
        widths: channels of the four stages; those of the published file unless a test wants less.
    """

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        first, last = widths[0], widths[-1]
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, first, 3, 1, 1, bias=False), nn.BatchNorm2d(first), nn.PReLU(first)
        )
        blocks, channels = [], first
        for depth, width in zip(DEPTHS, widths, strict=True):
            blocks += [
                Bottleneck(channels if i == 0 else width, width, 2 if i == 0 else 1) for i in range(depth)
            ]
            channels = width
        self.body = nn.Sequential(*blocks)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(last),
            nn.Dropout(0.6),
            nn.Flatten(),
            nn.Linear(last * (SIZE_PX // 16) ** 2, NUM_FEATURES),
            nn.BatchNorm1d(NUM_FEATURES),
        )

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 112, 112) RGB 0..1 to (B, 512), not normalised."""
        x = self.body(self.input_layer((faces - 0.5) / 0.5))
        y: Tensor = self.output_layer(x)
        return y

    def identity(self, faces: Tensor) -> Tensor:
        """(B, 3, 112, 112) RGB 0..1 to (B, 512) of unit length."""
        return F.normalize(self(faces), dim=1)


def load_ir_se50(path: Path) -> IrSe50:
    """The network with the weights of the published `model_ir_se50.pth`, frozen.

    Raises:
        WeightsError: the file is missing, damaged, unsafe, or of another network.
    """
    return load_strictly(IrSe50(), path, what="ArcFace IR-SE50")
