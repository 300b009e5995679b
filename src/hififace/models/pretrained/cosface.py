"""CosFace on the 20-layer sphere network: the recogniser of the literature's "ID retrieval".

Wang et al. 2018 (arXiv 1801.09414), in the form of MuggleWang/CosFace_pytorch, whose `CosFace_ACC99.28.pth` public
evaluation code uses. No batch normalisation; a convolution that halves, then residual blocks, four times.

Letters: B batch, C channels.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from hififace.models.pretrained.strict_loading import load_strictly

SIZE_HW = (112, 96)
NUM_FEATURES = 512
DEPTHS = (1, 2, 4, 1)
WIDTHS = (64, 128, 256, 512)


class SphereBlock(nn.Module):
    """Convolve, PReLU, twice; added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.prelu1 = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.prelu2 = nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        y: Tensor = x + self.prelu2(self.conv2(self.prelu1(self.conv1(x))))
        return y


class CosFace(nn.Module):
    """From aligned faces to 512 numbers.

    Args:
        widths: channels of the four stages; those of the published file unless a test wants less.
    """

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        channels = 3
        for index, (depth, width) in enumerate(zip(DEPTHS, widths, strict=True)):
            down = nn.Conv2d(channels, width, 3, 2, 1)
            blocks = [SphereBlock(width) for _ in range(depth)]
            self.add_module(f"layer{index + 1}", nn.Sequential(down, nn.PReLU(width), *blocks))
            channels = width
        self.fc = nn.Linear(channels * (SIZE_HW[0] // 16) * (SIZE_HW[1] // 16), NUM_FEATURES)

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 112, 96) RGB 0..1 to (B, 512), not normalised."""
        x = (faces - 0.5) / 0.5
        for index in range(len(DEPTHS)):
            x = self.get_submodule(f"layer{index + 1}")(x)  # halves H and W
        y: Tensor = self.fc(x.flatten(1))
        return y

    def identity(self, faces: Tensor) -> Tensor:
        """(B, 3, 112, 96) RGB 0..1 to (B, 1024) of unit length: the face and its mirror image side by side."""
        vectors = torch.cat([self(faces), self(faces.flip(3))], dim=1)
        return nn.functional.normalize(vectors, dim=1)


def load_cosface(path: Path) -> CosFace:
    """The network with the weights of the published `CosFace_ACC99.28.pth`, frozen.

    Raises:
        WeightsError: the file is missing, damaged, unsafe, or of another network.
    """
    return load_strictly(CosFace(), path, what="CosFace (sphere20, 112 x 96)")
