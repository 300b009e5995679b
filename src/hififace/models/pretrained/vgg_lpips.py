"""VGG-16's features and the LPIPS heads: the perceptual distance of the paper.

Simonyan and Zisserman 2015 (arXiv 1409.1556); Zhang et al. 2018 (arXiv 1801.03924). Both files are the
user's to
bring: torchvision's `vgg16-397923af.pth` and LPIPS's `vgg.pth` (v0.1), whose key names are read as they are.
The distance itself is `losses.perceptual.lpips_distance`.

Letters: B batch, C channels.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.strict_loading import fill, load_strictly, read_state_dict

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""LPIPS's own normalisation, of images in -1..1."""

_STAGES = (2, 2, 3, 3, 3)
"""Convolutions of each stage; the features after the last ReLU of each are compared."""


class VggFeatures(nn.Module):
    """From images to the five feature maps that LPIPS compares, with its linear heads.

    Args:
        like_reference: take images in 0..1 as they are, as the reference does; LPIPS was fitted to -1..1,
            to which they are brought otherwise.
        width: channels of the first stage; that of the published file unless a test wants less.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, *, like_reference: bool = False, width: int = 64) -> None:
        super().__init__()
        self.like_reference = like_reference
        self.register_buffer("shift", torch.tensor(SHIFT).reshape(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).reshape(3, 1, 1), persistent=False)
        # One flat list, numbered as torchvision does: convolution, ReLU, ..., pooling.
        layers: list[nn.Module] = []
        self._ends: list[int] = []
        channels = 3
        for stage, depth in enumerate(_STAGES):
            outputs = width * min(2**stage, 8)
            if stage:
                layers.append(nn.MaxPool2d(2))
            for _ in range(depth):
                layers += [nn.Conv2d(channels, outputs, 3, 1, 1), nn.ReLU()]
                channels = outputs
            self._ends.append(len(layers) - 1)
            self.register_buffer(f"head{stage}", torch.ones(outputs), persistent=False)
        self.features = nn.Sequential(*layers)

    @property
    def heads(self) -> list[Tensor]:
        """The learned weight >= 0 of each channel, (C,) for each feature map."""
        return [self.get_buffer(f"head{stage}") for stage in range(len(_STAGES))]

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB 0..1 to five feature maps, (B, 64, H, W) to (B, 512, H / 16, W / 16)."""
        x = images if self.like_reference else 2.0 * images - 1.0
        x = (x - self.shift) / self.scale
        features = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self._ends:
                features.append(x)
        return features


class _Heads(nn.Module):
    """The key names of LPIPS's file: `lin0.model.1.weight` and so on, (1, C, 1, 1)."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        for stage, width in enumerate(channels):
            head = nn.Module()
            head.model = nn.Sequential(nn.Dropout(), nn.Conv2d(width, 1, 1, bias=False))
            self.add_module(f"lin{stage}", head)


def load_vgg_lpips(vgg: Path, heads: Path, *, like_reference: bool = False) -> VggFeatures:
    """The network with both published files, frozen; VGG's classifier is left out.

    Args:
        vgg: torchvision's `vgg16-397923af.pth`.
        heads: LPIPS's `vgg.pth`.
        like_reference: see `VggFeatures`.

    Raises:
        WeightsError: a file is missing, damaged, unsafe, or of another network.
    """
    network = load_strictly(
        VggFeatures(like_reference=like_reference), vgg, what="VGG-16 (ImageNet)", ignore=("classifier.",)
    )
    linear = fill(
        _Heads([head.numel() for head in network.heads]),
        read_state_dict(heads),
        source=heads.name,
        what="LPIPS's linear heads for VGG-16",
    )
    for stage, head in enumerate(network.heads):
        head.copy_(linear.get_parameter(f"lin{stage}.model.1.weight").detach().flatten())
    return freeze(network)
