"""6DRepNet: the rotation of a head: a later pose measure than Hopenet.

Hempel et al. 2022 (arXiv 2202.12555), thohemp/6DRepNet (MIT), `6DRepNet_300W_LP_AFLW2000.pth`: RepVGG-B1g2 in its
folded form (one 3x3 convolution and a ReLU each), and six numbers that are made a rotation by Gram and Schmidt.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.errors import WeightsError
from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.strict_loading import fill, read_state_dict

SIZE_PX = 224
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
DEPTHS = (4, 6, 16, 1)
WIDTHS = (128, 256, 512, 2048)


class FoldedBlock(nn.Module):
    """A RepVGG block after its branches were folded into one."""

    def __init__(self, inputs: int, width: int, stride: int, groups: int) -> None:
        super().__init__()
        self.rbr_reparam = nn.Conv2d(inputs, width, 3, stride, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, width, H / stride, W / stride)."""
        return F.relu(self.rbr_reparam(x))


class SixDRepNet(nn.Module):
    """From faces to rotations.

    Args:
        depths: blocks of the four stages after the first one; those of the published file unless a test wants less.
        widths: their channels, likewise.
    """

    def __init__(
        self,
        depths: tuple[int, int, int, int] = DEPTHS,
        widths: tuple[int, int, int, int] = WIDTHS,
    ) -> None:
        super().__init__()
        channels = min(64, widths[0])
        self.layer0 = FoldedBlock(3, channels, 2, 1)
        place = 1  # of the block in the whole network: every second one has two groups
        for index, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            blocks = []
            for number in range(depth):
                groups = 2 if place % 2 == 0 and place <= 26 else 1
                blocks.append(FoldedBlock(channels, width, 2 if number == 0 else 1, groups))
                channels, place = width, place + 1
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
        self.linear_reg = nn.Linear(channels, 6)

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 224, 224) RGB 0..1 to rotations (B, 3, 3)."""
        mean, deviation = (faces.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
        x = (faces - mean) / deviation
        for index in range(5):
            x = self.get_submodule(f"layer{index}")(x)  # halves H and W
        return rotation_from_6d(self.linear_reg(x.mean(dim=(2, 3))))

    def angles_deg(self, faces: Tensor) -> Tensor:
        """(B, 3, 224, 224) RGB 0..1 to (B, 3) yaw, pitch, roll in degrees."""
        return euler_deg(self(faces))


def rotation_from_6d(numbers: Tensor) -> Tensor:
    """(B, 6) two directions to (B, 3, 3): the first made a unit vector, z at right angles to both, y to x and z."""
    first, second = numbers[:, :3], numbers[:, 3:]
    x = F.normalize(first, dim=1)
    z = F.normalize(torch.linalg.cross(x, second), dim=1)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=2)


def euler_deg(rotations: Tensor) -> Tensor:
    """(B, 3, 3) to (B, 3) yaw, pitch, roll in degrees, turned about x, then y, then z."""
    yaw = torch.atan2(-rotations[:, 2, 0], rotations[:, :2, 0].norm(dim=1))
    pitch = torch.atan2(rotations[:, 2, 1], rotations[:, 2, 2])
    roll = torch.atan2(rotations[:, 1, 0], rotations[:, 0, 0])
    return torch.rad2deg(torch.stack([yaw, pitch, roll], dim=1))


def load_sixdrepnet(path: Path) -> SixDRepNet:
    """The network with the weights of the published file, frozen.

    Raises:
        WeightsError: the file is missing, damaged, unsafe, or of another network.
    """
    try:
        state = read_state_dict(path, within="model_state_dict")  # as training leaves it
    except WeightsError:
        state = read_state_dict(path)  # as it was published
    return freeze(fill(SixDRepNet(), state, source=path.name, what="6DRepNet (RepVGG-B1g2, folded)"))
