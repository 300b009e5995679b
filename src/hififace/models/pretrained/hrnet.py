"""HRNet-W18 face alignment: 98 WFLW landmarks as heat-maps.

Wang et al. 2020 (arXiv 1908.07919). Four resolutions run side by side and exchange features after every few
blocks. Built from numbers; `load_hrnet` fills it with the published `HR18-WFLW.pth`, whose key names it
shares.

Letters: B batch, C channels.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.models.pretrained.deep3d import Bottleneck
from hififace.models.pretrained.strict_loading import load_strictly

SIZE_PX = 256
NUM_POINTS = 98
OUTER_LIPS = slice(76, 88)
INNER_LIPS = slice(88, 96)
MOUTH = slice(76, 96)
PUPILS = slice(96, 98)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_STEM = 64
_STAGE1 = 4 * _STEM


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1, *, relu: bool = True) -> nn.Sequential:
    """Convolution without bias, batch normalisation, and ReLU where asked."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


class BasicBlock(nn.Module):
    """ResNet's block of two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        main = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(main + x)


class ExchangeModule(nn.Module):
    """Blocks in every branch, then each branch becomes the sum of all, resampled to its own resolution."""

    def __init__(self, widths: tuple[int, ...], num_blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(num_blocks))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """One (B, C_i, H / 2^i, W / 2^i) per branch, to the same."""
        features = [branch(x) for branch, x in zip(self.branches, features, strict=True)]
        fused = []
        for row, own in zip(self.fuse_layers, features, strict=True):
            total = None
            for layer, x in zip(row.children(), features, strict=True):
                y = layer(x)
                if y.shape[-2:] != own.shape[-2:]:  # from a coarser branch
                    y = F.interpolate(y, size=own.shape[-2:], mode="bilinear", align_corners=False)
                total = y if total is None else total + y
            assert total is not None  # a module has branches
            fused.append(F.relu(total))
        return fused


def _exchange(widths: tuple[int, ...], source: int, target: int) -> nn.Module:
    """How features of one branch reach another: as they are, by 1x1, or by strided 3x3 steps."""
    if source == target:
        return nn.Identity()
    if source > target:
        return conv_norm(widths[source], widths[target], 1, relu=False)
    steps = [conv_norm(widths[source], widths[source], 3, 2) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, conv_norm(widths[source], widths[target], 3, 2, relu=False))


class HRNet(nn.Module):
    """From a face crop to heat-maps.

    Args:
        normalise: subtract ImageNet's mean and divide by its deviation, as the published network was trained.
            The reference leaves this out in its eye and mouth losses; pass False to get its numbers.
        widths: channels of the four resolutions; those of the published file unless a test wants less.
        num_modules: exchange modules of stages 2, 3 and 4.
        num_blocks: blocks in each branch of a module.
        num_points: heat-maps.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        normalise: bool = True,
        widths: tuple[int, int, int, int] = (18, 36, 72, 144),
        num_modules: tuple[int, int, int] = (1, 4, 3),
        num_blocks: int = 4,
        num_points: int = NUM_POINTS,
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).reshape(3, 1, 1), persistent=False)
        self.conv1 = nn.Conv2d(3, _STEM, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.conv2 = nn.Conv2d(_STEM, _STEM, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(_STEM)
        self.layer1 = nn.Sequential(
            Bottleneck(_STEM, _STEM, 1, reshape=True),
            *(Bottleneck(_STAGE1, _STEM, 1, reshape=False) for _ in range(3)),
        )
        self.transition1 = nn.ModuleList(
            [conv_norm(_STAGE1, widths[0], 3), nn.Sequential(conv_norm(_STAGE1, widths[1], 3, 2))]
        )
        self.stage2 = _stage(widths[:2], num_modules[0], num_blocks)
        self.transition2 = _new_branch(widths, 2)
        self.stage3 = _stage(widths[:3], num_modules[1], num_blocks)
        self.transition3 = _new_branch(widths, 3)
        self.stage4 = _stage(widths, num_modules[2], num_blocks)
        total = sum(widths)
        self.head = nn.Sequential(
            nn.Conv2d(total, total, 1), nn.BatchNorm2d(total), nn.ReLU(), nn.Conv2d(total, num_points, 1)
        )

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 256, 256) RGB 0..1 to heat-maps (B, 98, 64, 64), about 1 at the point and 0 elsewhere."""
        x = (faces - self.mean) / self.std if self.normalise else faces
        x = F.relu(self.bn1(self.conv1(x)))  # / 2
        x = F.relu(self.bn2(self.conv2(x)))  # / 4
        x = self.layer1(x)
        features = self.stage2([layer(x) for layer in self.transition1])
        features = self.stage3([*features, self.transition2[2](features[-1])])
        features = self.stage4([*features, self.transition3[3](features[-1])])
        size = features[0].shape[-2:]
        upsampled = [F.interpolate(y, size=size, mode="bilinear", align_corners=False) for y in features[1:]]
        y: Tensor = self.head(torch.cat([features[0], *upsampled], dim=1))
        return y

    def points(self, faces: Tensor) -> Tensor:
        """(B, 3, S, S) RGB 0..1 to (B, 98, 2) x and y of each map's maximum, in pixels of the crop."""
        maps = self(faces)
        width = maps.shape[-1]
        places = maps.flatten(2).argmax(dim=2)
        cells = torch.stack([places % width, places // width], dim=2).to(maps.dtype)
        # Pixel centres are at integers: a cell covers `step` pixels, its centre lies between them.
        step = faces.shape[-1] / width
        centres: Tensor = (cells + 0.5) * step - 0.5
        return centres


def _stage(widths: tuple[int, ...], num_modules: int, num_blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ExchangeModule(widths, num_blocks) for _ in range(num_modules)))


def _new_branch(widths: tuple[int, ...], index: int) -> nn.ModuleList:
    """The older branches go on as they are (and have no weights); the new one starts from the coarsest."""
    new = nn.Sequential(conv_norm(widths[index - 1], widths[index], 3, 2))
    return nn.ModuleList([*(nn.Identity() for _ in range(index)), new])


def load_hrnet(path: Path, *, normalise: bool = True) -> HRNet:
    """The network with the weights of the published `HR18-WFLW.pth`, frozen.

    Args:
        path: the file.
        normalise: see `HRNet`; False is the reference's habit.

    Raises:
        WeightsError: the file is missing, damaged, unsafe, or of another network.
    """
    return load_strictly(HRNet(normalise=normalise), path, what="HRNet-W18 (WFLW)")
