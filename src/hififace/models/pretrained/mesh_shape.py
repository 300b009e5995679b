"""The mesh shape prior in PyTorch: the twin of `hififace.faces.shape`, differentiable and for batches.

Losses use it to send gradients from shape coefficients and fused landmarks into an image (HifiFace section
3.1 and equation 5). Everything is differentiable, the rotation of the alignment too: it is the polar factor
of a 3x3 matrix, found by Newton's iteration, whose gradient exists wherever the face is not flat (that of a
singular value decomposition does not where two singular values are equal).

Letters: B batch, Ki identity and Ke expression coefficients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hififace.models.pretrained.frozen import full_precision

NUM_POINTS = 468
NEWTON_STEPS = 10
"""Of the polar decomposition; it converges quadratically, and ten leave nothing in float32."""

ARRAYS = (
    "mean",
    "identity_basis",
    "expression_basis",
    "identity_gain",
    "expression_gain",
    "identity_mirror",
    "expression_mirror",
)


class ShapeCoefficientBatch(NamedTuple):
    """What the prior says about each face of a batch."""

    identity: Tensor
    """(B, Ki) standard deviations."""
    expression: Tensor
    """(B, Ke) standard deviations."""
    pose: Tensor
    """(B, 3) pitch, yaw, roll in RADIANS; signs as in `types.ShapeCoefficients`."""
    scale: Tensor
    """(B, 1) pixels per unit of the mean shape."""
    translation: Tensor
    """(B, 3) centre of the mesh, pixels."""

    def flat(self) -> Tensor:
        """(B, Ki + Ke + 7) in the order of the prepared sets."""
        return torch.cat(self, dim=1)


def polar_rotation(matrices: Tensor) -> Tensor:
    """Nearest rotation of each (B, 3, 3) matrix of positive determinant, differentiable.

    Newton's iteration X ← (X + X^-T) / 2 (Higham 1986), started at unit determinant.
    """
    x = matrices / torch.linalg.det(matrices).abs().clamp_min(1e-12).pow(1.0 / 3.0)[:, None, None]
    for _ in range(NEWTON_STEPS):
        x = 0.5 * (x + torch.linalg.inv(x).transpose(1, 2))
    rotation: Tensor = x
    return rotation


def rotation_matrices(pose: Tensor) -> Tensor:
    """(B, 3, 3) rotations Rz(roll) · Ry(-yaw) · Rx(pitch) of (B, 3) pitch, yaw, roll in radians."""
    (cp, cy, cr), (sp, sy, sr) = pose.cos().unbind(1), pose.sin().unbind(1)
    rows = (
        (cr * cy, -sr * cp - cr * sy * sp, sr * sp - cr * sy * cp),
        (sr * cy, cr * cp - sr * sy * sp, -cr * sp - sr * sy * cp),
        (sy, cy * sp, cy * cp),
    )
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def pose_of(rotations: Tensor) -> Tensor:
    """(B, 3) pitch, yaw, roll in radians of (B, 3, 3) rotations, for |yaw| < 90°."""
    pitch = torch.atan2(rotations[:, 2, 1], rotations[:, 2, 2])
    yaw = torch.atan2(rotations[:, 2, 0], torch.hypot(rotations[:, 0, 0], rotations[:, 1, 0]))
    roll = torch.atan2(rotations[:, 1, 0], rotations[:, 0, 0])
    return torch.stack([pitch, yaw, roll], dim=1)


class MeshShape(nn.Module):
    """Coefficients of faces, their fusion, and the points they stand for.

    Args:
        arrays: the numbers of the model by name, see `hififace.faces.shape.ShapeBasis`.
    """

    mean: Tensor
    identity_basis: Tensor
    expression_basis: Tensor
    identity_gain: Tensor
    expression_gain: Tensor
    identity_mirror: Tensor
    expression_mirror: Tensor

    def __init__(self, arrays: dict[str, NDArray[np.floating]]) -> None:
        super().__init__()
        for name in ARRAYS:
            self.register_buffer(name, torch.tensor(arrays[name], dtype=torch.float32))

    @property
    def identity_size(self) -> int:
        """Number of identity coefficients, Ki."""
        return self.identity_basis.shape[0]

    @property
    def expression_size(self) -> int:
        """Number of expression coefficients, Ke."""
        return self.expression_basis.shape[0]

    def coefficients(self, points: Tensor) -> ShapeCoefficientBatch:
        """What the prior says about (B, 468, 3) mesh points in pixels; gradients flow into all parts."""
        with full_precision(points):
            centre = points.mean(dim=1)  # (B, 3)
            centred = points - centre[:, None]
            correlation = centred.transpose(1, 2) @ self.mean  # (B, 3, 3)
            rotation = polar_rotation(correlation)
            scale = (rotation * correlation).sum(dim=(1, 2), keepdim=True) / self.mean.square().sum()
            shape = (centred @ rotation) / scale.clamp_min(1e-12)  # (B, 468, 3)
            offset = (shape - self.mean).flatten(1)  # (B, 1404)
            return ShapeCoefficientBatch(
                identity=offset @ self.identity_gain.T,
                expression=offset @ self.expression_gain.T,
                pose=pose_of(rotation),
                scale=scale[:, 0],
                translation=centre,
            )

    def fuse(self, source: ShapeCoefficientBatch, target: ShapeCoefficientBatch) -> ShapeCoefficientBatch:
        """The target's faces with the sources' identity."""
        return target._replace(identity=source.identity)

    def landmarks(self, coefficients: ShapeCoefficientBatch) -> Tensor:
        """(B, 468, 3) points in the pixels that the coefficients were measured in."""
        with full_precision(self.mean):
            shape = (
                self.mean
                + torch.einsum("bk,kpd->bpd", coefficients.identity, self.identity_basis)
                + torch.einsum("bk,kpd->bpd", coefficients.expression, self.expression_basis)
            )
            turned = shape @ rotation_matrices(coefficients.pose).transpose(1, 2)
        return coefficients.scale[:, None] * turned + coefficients.translation[:, None]

    def from_flat(self, vectors: Tensor) -> ShapeCoefficientBatch:
        """Named parts of (B, Ki + Ke + 7) flat vectors, the inverse of `ShapeCoefficientBatch.flat`."""
        sizes = [self.identity_size, self.expression_size, 3, 1, 3]
        return ShapeCoefficientBatch(*torch.split(vectors, sizes, dim=1))


def load_mesh_shape() -> MeshShape:
    """The prior that ships.

    Raises:
        WeightsError: the embedded file is missing.
    """
    from hififace.weights.store import embedded_path

    with np.load(embedded_path("mesh_shape.npz"), allow_pickle=False) as stored:
        return MeshShape({name: stored[name] for name in ARRAYS})
