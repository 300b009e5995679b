"""Hopenet: yaw, pitch and roll of a head, in degrees: the pose measure of the FaceForensics++ protocol.

Ruiz et al. 2018 (arXiv 1710.00925), natanielruiz/deep-head-pose, `hopenet_robust_alpha1.pkl`: a ResNet-50 that sorts
each angle into 66 bins of 3 degrees; the angle is the mean of the bins under the softmax.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from hififace.models.pretrained.deep3d import ResNet50
from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.strict_loading import fill, read_state_dict

SIZE_PX = 224
NUM_BINS = 66
BIN_DEG = 3.0
FIRST_DEG = -99.0
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)

_UNUSED = "fc_finetune."
"""A layer of the authors' earlier experiments: it is in the file, and nothing reads it."""


class Hopenet(nn.Module):
    """From faces to angles.

    Args:
        num_blocks: residual blocks of each stage; those of the published file unless a test wants less.
        width: channels of the first stage, likewise.
    """

    def __init__(self, num_blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 64) -> None:
        super().__init__()
        self.backbone = ResNet50(num_blocks, width)
        self.fc_yaw = nn.Linear(self.backbone.num_features, NUM_BINS)
        self.fc_pitch = nn.Linear(self.backbone.num_features, NUM_BINS)
        self.fc_roll = nn.Linear(self.backbone.num_features, NUM_BINS)

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 224, 224) RGB 0..1 to (B, 3) yaw, pitch, roll in degrees, in Hopenet's own directions."""
        mean, deviation = (faces.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
        features = self.backbone((faces - mean) / deviation).flatten(1)
        logits = torch.stack([head(features) for head in (self.fc_yaw, self.fc_pitch, self.fc_roll)], dim=1)
        bins = torch.arange(NUM_BINS, device=faces.device, dtype=logits.dtype)
        return (logits.softmax(dim=2) * bins).sum(dim=2) * BIN_DEG + FIRST_DEG


def load_hopenet(path: Path) -> Hopenet:
    """The network with the weights of a published `hopenet_*.pkl`, frozen.

    Raises:
        WeightsError: the file is missing, damaged, unsafe, or of another network.
    """
    found = read_state_dict(path)
    state = {
        key if key.startswith("fc_") else f"backbone.{key}": value
        for key, value in found.items()
        if not key.startswith(_UNUSED)
    }
    return freeze(fill(Hopenet(), state, source=path.name, what="Hopenet"))
