"""DECA's coarse encoder: FLAME's shape and expression of a face, from a network that no training here sees.

Feng et al. 2021 (arXiv 2012.04012), yfeng95/DECA, `deca_model.tar`: a ResNet-50 and two linear layers. HifiFace's
shape error asks RingNet, which fits the same 100 shape numbers of FLAME but exists for TensorFlow 1 only; this is its
successor by the same group. Only the numbers are used, so neither FLAME's mesh nor a renderer is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from hififace.models.pretrained.deep3d import ResNet50
from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.strict_loading import fill, read_state_dict

SIZE_PX = 224
SIZES = (100, 50, 50, 6, 3, 27)


class FlameCoefficients(NamedTuple):
    """What FLAME says of a face, in the order of DECA's 236 numbers."""

    shape: Tensor
    """(B, 100) who it is."""
    texture: Tensor
    """(B, 50)"""
    expression: Tensor
    """(B, 50) what the face does, the jaw's opening aside."""
    pose: Tensor
    """(B, 6) turn of the head and of the jaw, axis and angle in radians."""
    camera: Tensor
    """(B, 3)"""
    light: Tensor
    """(B, 27)"""


class Deca(nn.Module):
    """From faces to named coefficients.

    Args:
        num_blocks: residual blocks of each stage; those of the published file unless a test wants less.
        width: channels of the first stage, likewise.
    """

    def __init__(self, num_blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 64) -> None:
        super().__init__()
        self.encoder = ResNet50(num_blocks, width)
        self.layers = nn.Sequential(
            nn.Linear(self.encoder.num_features, 1024), nn.ReLU(), nn.Linear(1024, sum(SIZES))
        )

    def forward(self, faces: Tensor) -> FlameCoefficients:
        """(B, 3, 224, 224) RGB 0..1, without normalisation of any kind, to coefficients."""
        numbers = self.layers(self.encoder(faces).flatten(1))
        return FlameCoefficients(*numbers.split(SIZES, dim=1))


def load_deca(path: Path) -> Deca:
    """The encoder with the weights of the published `deca_model.tar`, frozen.

    Raises:
        WeightsError: the file is missing, damaged, unsafe, or of another network.
    """
    state = read_state_dict(path, within="E_flame")
    return freeze(fill(Deca(), state, source=path.name, what="DECA's coarse encoder"))
