"""The mesh shape prior: whose face it is and what it does, told apart in 468 points.

A linear Gaussian model of the mesh,

    points = scale · R(pose) · (mean + Σ α_k identity_k + Σ β_k expression_k) + translation + noise,

with α and β of unit variance over people and photos. The bases come from covariances between people and
within people (`tools/learn_shape_basis.py`); the posterior mean of (α, β) given the points is linear in the
aligned points, so solving is one matrix product. HifiFace (section 3.1, equation 1) takes the identity of
the source and the expression and pose of the target from a 3D face model; this is the same with a model that
is free of anyone's licence.

`hififace.models.pretrained.mesh_shape` is the PyTorch twin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hififace.errors import WeightsError
from hififace.types import FloatArray, ShapeCoefficients
from hififace.weights.store import embedded_path

NUM_POINTS = 468
_FILENAME = "mesh_shape.npz"


@dataclass(frozen=True)
class ShapeBasis:
    """The numbers of the model, as the tool learned them.

    Lengths are in units of the mean shape, whose points have a root-mean-square radius of 1.
    """

    mean: FloatArray
    """(468, 3) symmetric, centred at 0, axes as in an image: x right, y down, z away from the camera."""
    identity_basis: FloatArray
    """(Ki, 468, 3) one standard deviation between people along each direction."""
    expression_basis: FloatArray
    """(Ke, 468, 3) one standard deviation within a person along each direction."""
    identity_gain: FloatArray
    """(Ki, 1404) posterior mean of the identity coefficients from aligned points minus mean."""
    expression_gain: FloatArray
    """(Ke, 1404) likewise for expression."""
    identity_mirror: FloatArray
    """(Ki,) 1 where a direction is symmetric, -1 where it is antisymmetric."""
    expression_mirror: FloatArray
    """(Ke,) likewise."""
    mirror: NDArray[np.int64]
    """(468,) the point that each becomes in a mirror."""


@lru_cache(maxsize=1)
def load_shape_basis() -> ShapeBasis:
    """The basis that ships.

    Raises:
        WeightsError: the embedded file is missing or lacks an array.
    """
    path = embedded_path(_FILENAME)
    with np.load(path, allow_pickle=False) as stored:
        missing = sorted(set(ShapeBasis.__dataclass_fields__) - set(stored.files))
        if missing:
            raise WeightsError(
                f"{path.name} lacks {', '.join(missing)}: it belongs to another version of hififace. Install again."
            )
        return ShapeBasis(**{name: stored[name] for name in ShapeBasis.__dataclass_fields__})


def rotation_matrix(pose: NDArray[np.floating]) -> NDArray[np.float64]:
    """(3, 3) rotation Rz(roll) · Ry(-yaw) · Rx(pitch) that turns the mean shape into the image.

    Args:
        pose: (3,) pitch, yaw, roll in RADIANS, with the signs of `types.ShapeCoefficients`: a face that
            looks at the camera looks along -z, so positive pitch turns it to +y (down) and positive yaw to
            +x (image right).
    """
    pitch, yaw, roll = (float(v) for v in pose)
    cp, sp, cy, sy, cr, sr = (f(v) for v in (pitch, yaw, roll) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    matrix: NDArray[np.float64] = about_z @ about_y @ about_x
    return matrix


def pose_of(rotation: NDArray[np.floating]) -> NDArray[np.float64]:
    """(3,) pitch, yaw, roll in radians; undoes `rotation_matrix` for |yaw| < 90°."""
    pitch = np.arctan2(rotation[2, 1], rotation[2, 2])
    yaw = np.arctan2(rotation[2, 0], np.hypot(rotation[0, 0], rotation[1, 0]))
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    return np.array([pitch, yaw, roll])


def align_to_mean(
    points: NDArray[np.floating], mean: NDArray[np.floating]
) -> tuple[NDArray[np.float64], float, NDArray[np.float64], NDArray[np.float64]]:
    """Aligned shape, scale, rotation and centre with points = scale · rotation · shape + centre.

    Procrustes analysis: the similarity that brings the mean nearest to the points in the least-squares sense
    (Umeyama 1991, the proper rotation even where the points are a mirror image). The aligned shape minus the
    mean
    is then orthogonal to the mean: size is in the scale and nowhere else.

    Args:
        points: (468, 3) pixels.
        mean: (468, 3) centred.
    """
    given = np.asarray(points, dtype=np.float64)
    centre = given.mean(axis=0)
    centred = given - centre
    left, singular, right = np.linalg.svd(centred.T @ mean)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = (left * signs) @ right
    scale = max(float((singular * signs).sum() / (np.asarray(mean, dtype=np.float64) ** 2).sum()), 1e-12)
    return centred @ rotation / scale, scale, rotation, centre


class MeshShapePrior:
    """Coefficients of a face, their fusion, and the points they stand for."""

    def __init__(self, basis: ShapeBasis) -> None:
        self.basis = basis

    @classmethod
    def load(cls) -> MeshShapePrior:
        """The prior that ships.

        Raises:
            WeightsError: the embedded file is missing or of another version.
        """
        return cls(load_shape_basis())

    @property
    def identity_size(self) -> int:
        """Number of identity coefficients, Ki."""
        return len(self.basis.identity_basis)

    @property
    def expression_size(self) -> int:
        """Number of expression coefficients, Ke."""
        return len(self.basis.expression_basis)

    @property
    def layout(self) -> list[tuple[str, int]]:
        """Name and size of every part of the flat vector, in order; pose is in radians there."""
        return [
            ("identity", self.identity_size),
            ("expression", self.expression_size),
            ("pose", 3),
            ("scale", 1),
            ("translation", 3),
        ]

    @property
    def vector_size(self) -> int:
        """Length of the flat vector."""
        return sum(size for _, size in self.layout)

    def coefficients(self, points: NDArray[np.floating]) -> ShapeCoefficients:
        """What the prior says about one face.

        Args:
            points: (468, 3) mesh points in pixels of any image or crop.

        Raises:
            ValueError: another shape.
        """
        if np.shape(points) != (NUM_POINTS, 3):
            raise ValueError(f"mesh points of shape {np.shape(points)} were given; expected (468, 3)")
        shape, scale, rotation, centre = align_to_mean(points, self.basis.mean)
        offset = (shape - self.basis.mean).reshape(-1)
        return ShapeCoefficients(
            identity=(self.basis.identity_gain @ offset).astype(np.float32),
            expression=(self.basis.expression_gain @ offset).astype(np.float32),
            pose_deg=np.degrees(pose_of(rotation)).astype(np.float32),
            scale=scale,
            translation=centre.astype(np.float32),
        )

    def fuse(self, source: ShapeCoefficients, target: ShapeCoefficients) -> ShapeCoefficients:
        """The source's identity with the target's expression, pose, scale and place."""
        return replace(target, identity=source.identity)

    def landmarks(self, coefficients: ShapeCoefficients) -> FloatArray:
        """(468, 3) points in pixels of the image that the coefficients were measured in."""
        shape = (
            self.basis.mean
            + np.tensordot(coefficients.identity, self.basis.identity_basis, axes=1)
            + np.tensordot(coefficients.expression, self.basis.expression_basis, axes=1)
        )
        rotation = rotation_matrix(np.radians(coefficients.pose_deg))
        return (coefficients.scale * shape @ rotation.T + coefficients.translation).astype(np.float32)

    def mirrored(self, coefficients: ShapeCoefficients, width_px: int) -> ShapeCoefficients:
        """Coefficients in the mirror image of an image `width_px` wide: exact, nothing is solved."""
        translation = coefficients.translation.copy()
        translation[0] = width_px - 1 - translation[0]
        return ShapeCoefficients(
            identity=coefficients.identity * self.basis.identity_mirror,
            expression=coefficients.expression * self.basis.expression_mirror,
            pose_deg=coefficients.pose_deg * np.array([1, -1, -1], dtype=np.float32),
            scale=coefficients.scale,
            translation=translation,
        )

    def to_vector(self, coefficients: ShapeCoefficients) -> FloatArray:
        """(vector_size,) flat vector in the order of `layout`, pose in radians."""
        return np.concatenate(
            [
                coefficients.identity,
                coefficients.expression,
                np.radians(coefficients.pose_deg),
                [coefficients.scale],
                coefficients.translation,
            ]
        ).astype(np.float32)

    def from_vector(self, vector: NDArray[np.floating]) -> ShapeCoefficients:
        """The inverse of `to_vector`.

        Raises:
            ValueError: another length.
        """
        if np.shape(vector) != (self.vector_size,):
            raise ValueError(
                f"a vector of shape {np.shape(vector)} was given; expected ({self.vector_size},)"
            )
        ends = np.cumsum([size for _, size in self.layout])[:-1]
        identity, expression, pose, scale, translation = np.split(np.asarray(vector, dtype=np.float32), ends)
        return ShapeCoefficients(identity, expression, np.degrees(pose), float(scale[0]), translation)
