"""The iris network: from a 64 px eye crop to 71 points of the eye's surroundings and 5 points of the iris.

A PyTorch re-expression of MediaPipe's `iris_landmark` (Apache-2.0), built from numbers; `load_iris` fills it
with the weights of the embedded graph. It was trained on the eye of one side only: a crop of the other eye is
mirrored before, and its points are mirrored back.

Letters: B batch.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from hififace.models.pretrained.frozen import full_precision, load_frozen
from hififace.models.pretrained.mobile_blocks import BlockSpec, ConvolutionBlock, residual_chain

SIZE_PX = 64
NUM_CONTOUR_POINTS = 71
NUM_IRIS_POINTS = 5

TRUNK = (
    *(BlockSpec(64, bottleneck=32),) * 4,
    BlockSpec(128, stride=2, bottleneck=64),  # 32 -> 16
    *(BlockSpec(128, bottleneck=64),) * 4,
    BlockSpec(128, stride=2, bottleneck=64),  # 16 -> 8
)
HEAD = (
    *(BlockSpec(128, bottleneck=64),) * 2,
    BlockSpec(128, stride=2, bottleneck=64),  # 8 -> 4
    *(BlockSpec(128, bottleneck=64),) * 2,
    BlockSpec(128, stride=2, bottleneck=64),  # 4 -> 2
    *(BlockSpec(128, bottleneck=64),) * 2,
)


class IrisOutput(NamedTuple):
    """Points in pixels of the 64 px crop; z on the same scale."""

    contour: Tensor
    """(B, 71, 3) eyelids and brow."""
    iris: Tensor
    """(B, 5, 3) centre, then four points of the rim."""


class Iris(nn.Module):
    """From eye crops to the points of eye and iris."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvolutionBlock(3, 64, kernel=3, stride=2)
        self.trunk = residual_chain(64, TRUNK)
        self.contour_head = residual_chain(128, HEAD)
        self.contour_readout = nn.Conv2d(128, NUM_CONTOUR_POINTS * 3, 2)
        self.iris_head = residual_chain(128, HEAD)
        self.iris_readout = nn.Conv2d(128, NUM_IRIS_POINTS * 3, 2)

    def forward(self, crops: Tensor) -> IrisOutput:
        """(B, 3, 64, 64) RGB 0..1 to points in pixels of the crop."""
        with full_precision(crops):
            features = self.trunk(self.stem(crops))  # (B, 128, 8, 8)
            contour = self.contour_readout(self.contour_head(features))  # (B, 213, 1, 1)
            iris = self._iris_of(features)
        return IrisOutput(contour.view(-1, NUM_CONTOUR_POINTS, 3), iris)

    def iris(self, crops: Tensor) -> Tensor:
        """(B, 3, 64, 64) RGB 0..1 to the iris alone, (B, 5, 3): a third less work than all points."""
        with full_precision(crops):
            return self._iris_of(self.trunk(self.stem(crops)))

    def _iris_of(self, features: Tensor) -> Tensor:
        found: Tensor = self.iris_readout(self.iris_head(features))  # (B, 15, 1, 1)
        return found.view(-1, NUM_IRIS_POINTS, 3)


def load_iris() -> Iris:
    """The network with the weights that ship, frozen.

    Raises:
        WeightsError: the embedded file is missing or altered.
    """
    return load_frozen(Iris(), "iris.onnx")
