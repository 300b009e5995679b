"""FaceMesh: from a 192 px face crop to 468 points in three dimensions.

A PyTorch re-expression of MediaPipe's `face_landmark` (Apache-2.0), built from numbers; `load_face_mesh`
fills it with the weights of the embedded graph. It lets losses of landmarks and shape send gradients into a
image.

Letters: B batch, S side of a crop.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from hififace.models.pretrained.frozen import full_precision, load_frozen
from hififace.models.pretrained.mobile_blocks import BlockSpec, ConvolutionBlock, residual_chain

SIZE_PX = 192
NUM_POINTS = 468

TRUNK = (
    *(BlockSpec(16),) * 2,
    BlockSpec(32, stride=2),  # 96 -> 48
    *(BlockSpec(32),) * 2,
    BlockSpec(64, stride=2),  # 48 -> 24
    *(BlockSpec(64),) * 2,
    BlockSpec(128, stride=2),  # 24 -> 12
    *(BlockSpec(128),) * 2,
    BlockSpec(128, stride=2),  # 12 -> 6
    *(BlockSpec(128),) * 2,
)
POINTS_HEAD = (BlockSpec(128, stride=2), *(BlockSpec(128),) * 2)  # 6 -> 3
SCORE_HEAD = (BlockSpec(128, stride=2),)  # 6 -> 3
HEAD_CHANNELS = 32


class FaceMeshOutput(NamedTuple):
    """What the mesh network says of each crop."""

    points: Tensor
    """(B, 468, 3) x, y, z in pixels of the 192 px crop; z grows away from the camera."""
    score: Tensor
    """(B, 1) 0..1, whether the crop shows a face."""


class Head(nn.Module):
    """Residual blocks down to 3x3 cells, fewer channels, and one linear read-out of all cells."""

    def __init__(self, specs: tuple[BlockSpec, ...], outputs: int) -> None:
        super().__init__()
        self.blocks = residual_chain(128, specs)
        self.narrow = ConvolutionBlock(128, HEAD_CHANNELS, kernel=1)
        self.refine = residual_chain(HEAD_CHANNELS, (BlockSpec(HEAD_CHANNELS),))
        self.readout = nn.Conv2d(HEAD_CHANNELS, outputs, 3)

    def forward(self, features: Tensor) -> Tensor:
        """(B, 128, 6, 6) to (B, outputs)."""
        y: Tensor = self.readout(self.refine(self.narrow(self.blocks(features)))).flatten(1)
        return y


class FaceMesh(nn.Module):
    """From face crops to the points of the mesh."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvolutionBlock(3, 16, kernel=3, stride=2)
        self.trunk = residual_chain(16, TRUNK)
        self.points = Head(POINTS_HEAD, NUM_POINTS * 3)
        self.score = Head(SCORE_HEAD, 1)

    def forward(self, crops: Tensor) -> FaceMeshOutput:
        """(B, 3, 192, 192) RGB 0..1 to points in pixels of the crop, and the score."""
        with full_precision(crops):
            features = self.trunk(self.stem(crops))  # (B, 128, 6, 6)
            points = self.points(features).view(-1, NUM_POINTS, 3)
            return FaceMeshOutput(points, self.score(features).sigmoid())

    def points_of(self, crops: Tensor) -> Tensor:
        """(B, 3, 192, 192) RGB 0..1 to the points alone, (B, 468, 3)."""
        with full_precision(crops):
            found: Tensor = self.points(self.trunk(self.stem(crops)))
            return found.view(-1, NUM_POINTS, 3)


def load_face_mesh() -> FaceMesh:
    """The network with the weights that ship, frozen.

    Raises:
        WeightsError: the embedded file is missing or altered.
    """
    return load_frozen(FaceMesh(), "face_mesh.onnx")
