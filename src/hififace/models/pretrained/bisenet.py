"""BiSeNet face parsing: 19 classes of CelebAMask-HQ, and the reference's rule for a face mask.

Yu et al. 2018 (arXiv 1808.00897), the face-parsing variant over ResNet-18 whose spatial path is the
backbone's own features. Built from numbers; `load_bisenet` fills it with the published `79999_iter.pth`,
whose keys it shares.

Letters: B batch, C channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.models.pretrained.strict_loading import load_strictly

SIZE_PX = 512
NUM_CLASSES = 19
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

FACE_LABELS = (1, 2, 3, 4, 5, 6, 10, 12, 13)
"""Skin, both brows, both eyes, glasses, nose, upper and lower lip. Ears, neck and hair stay the target's."""
MOUTH_LABEL = 11
"""Inside of the mouth."""

_FEWEST_PIXELS = 20
"""Of 512 x 512: with fewer the reference says that there is no face (a sum of at most 5000 in steps
of 255).
"""


class FaceRegion(NamedTuple):
    """Which part of each image is face."""

    mask: Tensor
    """(B, 1, S, S) 0..1."""
    found: Tensor
    """(B,) bool: whether there is a face at all; the reference leaves such images out."""


class ConvNormReLU(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        return F.relu(self.bn(self.conv(x)))


class BasicBlock(nn.Module):
    """ResNet-18's block."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if stride > 1 or inputs != outputs
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        main = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(main + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """Features at 1/8, 1/16 and 1/32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        widths = [width << stage for stage in range(4)]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(BasicBlock(before, after, stride), BasicBlock(after, after, 1))
            for before, after, stride in zip([width, *widths], widths, (1, 2, 2, 2), strict=False)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) to (B, 2w, H/8, W/8), (B, 4w, H/16, W/16), (B, 8w, H/32, W/32)."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class AttentionRefinement(nn.Module):
    """Weigh channels by what the whole image says."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvNormReLU(inputs, outputs, 3)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        features: Tensor = self.conv(x)
        weights = torch.sigmoid(self.bn_atten(self.conv_atten(F.adaptive_avg_pool2d(features, 1))))
        return features * weights


class ContextPath(nn.Module):
    """Context from coarse to fine, upsampled by repetition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resnet = ResNet18(width)
        self.arm16 = AttentionRefinement(4 * width, 2 * width)
        self.arm32 = AttentionRefinement(8 * width, 2 * width)
        self.conv_head32 = ConvNormReLU(2 * width, 2 * width, 3)
        self.conv_head16 = ConvNormReLU(2 * width, 2 * width, 3)
        self.conv_avg = ConvNormReLU(8 * width, 2 * width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to features of the backbone and of the context, both (B, 2w, H/8, W/8)."""
        eighth, sixteenth, coarse = self.resnet(x)
        overall = self.conv_avg(F.adaptive_avg_pool2d(coarse, 1))  # (B, 2w, 1, 1), added everywhere
        context = F.interpolate(self.arm32(coarse) + overall, size=sixteenth.shape[-2:], mode="nearest")
        context = self.arm16(sixteenth) + self.conv_head32(context)
        context = F.interpolate(context, size=eighth.shape[-2:], mode="nearest")
        return eighth, self.conv_head16(context)


class FeatureFusion(nn.Module):
    """Join detail and context, then weigh channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convblk = ConvNormReLU(channels, channels, 1)
        self.conv1 = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1, bias=False)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        """Two of (B, C/2, H, W) to (B, C, H, W)."""
        features: Tensor = self.convblk(torch.cat([detail, context], dim=1))
        weights = F.relu(self.conv1(F.adaptive_avg_pool2d(features, 1)))
        return features + features * torch.sigmoid(self.conv2(weights))


class Head(nn.Module):
    """Features to classes."""

    def __init__(self, inputs: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.conv = ConvNormReLU(inputs, width, 3)
        self.conv_out = nn.Conv2d(width, num_classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, classes, H, W)."""
        y: Tensor = self.conv_out(self.conv(x))
        return y


class BiSeNet(nn.Module):
    """From a face crop to classes.

    Args:
        width: channels of the first layer; those of the published file unless a test wants less.
        num_classes: likewise.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int = 64, num_classes: int = NUM_CLASSES) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).reshape(3, 1, 1), persistent=False)
        self.cp = ContextPath(width)
        self.ffm = FeatureFusion(4 * width)
        self.conv_out = Head(4 * width, 4 * width, num_classes)
        # Helped its training only; here so that the published file is loaded whole.
        self.conv_out16 = Head(2 * width, width, num_classes)
        self.conv_out32 = Head(2 * width, width, num_classes)

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, H, W) RGB 0..1, best at 512 px, to scores (B, 19, H, W) before softmax."""
        detail, context = self.cp((faces - self.mean) / self.std)
        scores = self.conv_out(self.ffm(detail, context))
        return F.interpolate(scores, size=faces.shape[-2:], mode="bilinear", align_corners=True)

    def face_region(self, faces: Tensor, *, include_mouth: bool = True) -> FaceRegion:
        """Parse faces and apply the reference's rule.

        Args:
            faces: (B, 3, S, S) RGB 0..1; enlarged to 512 by repetition, as in the reference.
            include_mouth: whether the inside of the mouth is face.
        """
        labels = self(F.interpolate(faces, size=(SIZE_PX, SIZE_PX), mode="nearest")).argmax(dim=1)
        return region_of_labels(labels, faces.shape[-1], include_mouth=include_mouth)


def region_of_labels(labels: Tensor, size: int, *, include_mouth: bool = True) -> FaceRegion:
    """Face or not, from class labels.

    Args:
        labels: (B, 512, 512) class of each pixel.
        size: side of the mask in pixels; reduced bilinearly without low-pass filter, as in the reference.
        include_mouth: whether the inside of the mouth is face.
    """
    face = torch.isin(labels, torch.tensor(FACE_LABELS, device=labels.device))
    mouth = labels == MOUTH_LABEL
    found = (face | mouth).sum(dim=(1, 2)) >= _FEWEST_PIXELS
    region = (face | mouth if include_mouth else face)[:, None].to(torch.float32)
    mask = F.interpolate(region, size=(size, size), mode="bilinear", align_corners=False)
    return FaceRegion(mask, found)


def load_bisenet(path: Path) -> BiSeNet:
    """The network with the weights of the published `79999_iter.pth`, frozen.

    Raises:
        WeightsError: the file is missing, damaged, unsafe, or of another network.
    """
    return load_strictly(BiSeNet(), path, what="BiSeNet (19 face classes)")
