"""MobileFaceNet: a second opinion on whose face it is, from an aligned 112 px face to 128 numbers.

A PyTorch re-expression of foamliu/MobileFaceNet (Apache-2.0; Chen et al. 2018, arXiv 1804.07573), its normalisations
folded into the convolutions. The file is the user's: no package holds it. In training it asks for the source's identity
beside SFace, so that no single network is merely fooled.

Letters: B batch.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.errors import WeightsError
from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.frozen_layers import DepthwiseConv2d

SIZE_PX = 112
NUM_FEATURES = 128
MEAN = (0.485, 0.456, 0.406)  # of ImageNet, as its training had it
STD = (0.229, 0.224, 0.225)
BLOCKS = (  # expansion, output channels, how many, stride of the first
    (2, 64, 5, 2),
    (4, 128, 1, 2),
    (2, 128, 6, 1),
    (4, 128, 1, 2),
    (2, 128, 2, 1),
)


class Bottleneck(nn.Module):
    """Widen by 1x1, filter each channel, narrow by 1x1 without activation; add the input where it fits."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.widen = nn.Conv2d(inputs, width, 1)
        self.filter = DepthwiseConv2d(width, stride)
        self.narrow = nn.Conv2d(width, outputs, 1)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        y: Tensor = self.narrow(F.relu6(self.filter(F.relu6(self.widen(x)))))
        return x + y if self.adds else y


class MobileFaceNet(nn.Module):
    """From aligned faces to identity vectors, not normalised."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 3, 2, 1)
        self.depthwise = nn.Conv2d(64, 64, 3, 1, 1, groups=64)
        self.pointwise = nn.Conv2d(64, 64, 1)
        blocks, channels = [], 64
        for expansion, outputs, count, stride in BLOCKS:
            for index in range(count):
                blocks.append(Bottleneck(channels, outputs, expansion, stride if index == 0 else 1))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.widen = nn.Conv2d(channels, 512, 1)
        self.pool = nn.Conv2d(512, 512, 7, groups=512)
        self.projection = nn.Conv2d(512, NUM_FEATURES, 1)
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 112, 112) RGB 0..1, aligned to ArcFace's template, to (B, 128)."""
        x = F.relu6(self.stem((faces - self.mean) / self.std))
        x = F.relu(self.pointwise(F.relu(self.depthwise(x))))
        x = F.relu6(self.widen(self.blocks(x)))  # (B, 512, 7, 7)
        y: Tensor = self.projection(self.pool(x))
        return y.flatten(1)


def load_mobilefacenet(path: Path) -> MobileFaceNet:
    """The network with the weights of an ONNX file of it, frozen. The graph's order of weights is the network's.

    Raises:
        WeightsError: the file is missing, damaged, or of another network.
    """
    from hififace.weights.graphs import read_initializers

    arrays = list(read_initializers(path).values())
    network = MobileFaceNet()
    state = network.state_dict()
    found = [tuple(array.shape) for array in arrays]
    expected = [tuple(value.shape) for value in state.values()]
    if found != expected:
        raise WeightsError(
            f"The weights in {path} are not those of MobileFaceNet: {len(found)} arrays beginning with {found[:1]} "
            f"were found, {len(expected)} beginning with {expected[:1]} expected. Fetch the file again."
        )
    network.load_state_dict({name: torch.tensor(a) for name, a in zip(state, arrays, strict=True)})
    return freeze(network)
