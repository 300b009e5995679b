"""SFace: from an aligned 112 px face to 128 numbers that say whose it is.

A PyTorch re-expression of the OpenCV Zoo's SFace (Apache-2.0; Zhong et al. 2021, arXiv 2205.12010), a
MobileNet whose normalisations are folded into its convolutions; `load_sface` fills it with the weights of the
embedded graph. It lets the identity loss send gradients into an image.

Letters: B batch.
"""

from __future__ import annotations

from torch import Tensor, nn

from hififace.models.pretrained.frozen import load_frozen
from hififace.models.pretrained.frozen_layers import DepthwiseConv2d, FrozenPReLU

SIZE_PX = 112
NUM_FEATURES = 128

BLOCKS = (  # output channels, stride
    (64, 1),
    (128, 2),  # 112 -> 56
    (128, 1),
    (256, 2),  # 56 -> 28
    (256, 1),
    (512, 2),  # 28 -> 14
    *((512, 1),) * 5,
    (1024, 2),  # 14 -> 7
    (1024, 1),
)


class Layer(nn.Module):
    """Convolution padded symmetrically (unlike TensorFlow's SAME), then PReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.convolution: nn.Conv2d = (
            DepthwiseConv2d(outputs, stride)
            if groups > 1
            else nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        )
        self.activation = FrozenPReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        y: Tensor = self.activation(self.convolution(x))
        return y


class SeparableBlock(nn.Module):
    """Depthwise 3x3, then pointwise 1x1."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise = Layer(inputs, inputs, 3, stride, groups=inputs)
        self.pointwise = Layer(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        y: Tensor = self.pointwise(self.depthwise(x))
        return y


class SFace(nn.Module):
    """From aligned faces to identity vectors, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Layer(3, 32, 3)
        channels = (32, *(c for c, _ in BLOCKS))
        self.blocks = nn.Sequential(
            *(SeparableBlock(c, *spec) for c, spec in zip(channels, BLOCKS, strict=False))
        )
        self.projection = nn.Linear(1024 * 7 * 7, NUM_FEATURES)

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 112, 112) RGB 0..1, aligned to ArcFace's template, to (B, 128)."""
        normalised = (faces * 255.0 - 127.5) / 128.0
        features = self.blocks(self.stem(normalised))  # (B, 1024, 7, 7)
        y: Tensor = self.projection(features.flatten(1))
        return y


def load_sface() -> SFace:
    """The network with the weights that ship, frozen.

    Raises:
        WeightsError: the embedded file is missing or altered.
    """
    return load_frozen(SFace(), "sface.onnx")
