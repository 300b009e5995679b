"""The PyTorch shape prior against its numpy twin, and the gradients that losses need."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hififace.faces.shape import MeshShapePrior, rotation_matrix
from hififace.models.pretrained.mesh_shape import (
    ARRAYS,
    MeshShape,
    ShapeCoefficientBatch,
    load_mesh_shape,
    polar_rotation,
    pose_of,
    rotation_matrices,
)


@pytest.fixture(scope="module")
def prior() -> MeshShapePrior:
    return MeshShapePrior.load()


@pytest.fixture(scope="module")
def twin() -> MeshShape:
    return load_mesh_shape()


def some_points(prior: MeshShapePrior, count: int) -> np.ndarray:
    """Faces of known coefficients with noise, as a batch."""
    generator = np.random.default_rng(0)
    faces = []
    for _ in range(count):
        vector = np.concatenate(
            [
                0.5 * generator.standard_normal(prior.identity_size),
                generator.standard_normal(prior.expression_size),
                generator.uniform(-0.5, 0.5, 3),
                [generator.uniform(20.0, 80.0)],
                generator.uniform(40.0, 90.0, 3),
            ]
        )
        faces.append(prior.landmarks(prior.from_vector(vector)) + generator.normal(0.0, 0.3, (468, 3)))
    return np.stack(faces).astype(np.float32)


def tiny_shape(points: int = 12) -> MeshShape:
    """A prior of a dozen points in float64, for numerical gradients."""
    generator = np.random.default_rng(1)
    mean = generator.standard_normal((points, 3))
    mean -= mean.mean(axis=0)
    arrays = {
        "mean": mean,
        "identity_basis": 0.1 * generator.standard_normal((2, points, 3)),
        "expression_basis": 0.1 * generator.standard_normal((3, points, 3)),
        "identity_gain": generator.standard_normal((2, points * 3)),
        "expression_gain": generator.standard_normal((3, points * 3)),
        "identity_mirror": np.ones(2),
        "expression_mirror": np.ones(3),
    }
    return MeshShape({name: arrays[name] for name in ARRAYS}).double()


def test_values_coefficients_and_landmarks_equal_the_numpy_twin(
    prior: MeshShapePrior, twin: MeshShape
) -> None:
    points = some_points(prior, 4)
    found = twin.coefficients(torch.from_numpy(points))
    again = twin.landmarks(found)
    for place, one in enumerate(points):
        expected = prior.coefficients(one)
        np.testing.assert_allclose(
            found.flat()[place].numpy(), prior.to_vector(expected), rtol=1e-4, atol=1e-3
        )
        np.testing.assert_allclose(again[place].numpy(), prior.landmarks(expected), atol=2e-3)


def test_values_fusion_equals_the_numpy_twin(prior: MeshShapePrior, twin: MeshShape) -> None:
    source, target = some_points(prior, 2)
    expected = prior.landmarks(prior.fuse(prior.coefficients(source), prior.coefficients(target)))
    found = twin.landmarks(
        twin.fuse(
            twin.coefficients(torch.from_numpy(source[None])),
            twin.coefficients(torch.from_numpy(target[None])),
        )
    )
    np.testing.assert_allclose(found[0].numpy(), expected, atol=2e-3)


def test_values_flat_vectors_come_back_by_name(twin: MeshShape) -> None:
    flat = torch.arange(2.0 * (twin.identity_size + twin.expression_size + 7)).view(2, -1)
    named = twin.from_flat(flat)
    assert named.identity.shape == (2, twin.identity_size)
    assert named.scale.shape == (2, 1)
    torch.testing.assert_close(named.flat(), flat)


def test_values_rotations_have_the_signs_of_the_numpy_twin() -> None:
    pose = torch.tensor([[0.2, -0.4, 1.1], [-0.3, 0.9, -2.0]], dtype=torch.float64)
    rotations = rotation_matrices(pose)
    for one, rotation in zip(pose, rotations, strict=True):
        np.testing.assert_allclose(rotation.numpy(), rotation_matrix(one.numpy()), atol=1e-12)
    torch.testing.assert_close(pose_of(rotations), pose)


def test_values_polar_rotation_is_that_of_the_singular_value_decomposition() -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(16, 3, 3, generator=generator, dtype=torch.float64)
    matrices = matrices * torch.linalg.det(matrices).sign()[:, None, None]
    left, _, right = torch.linalg.svd(matrices)
    torch.testing.assert_close(polar_rotation(matrices), left @ right, atol=1e-6, rtol=1e-6)


def test_gradient_of_landmarks_and_coefficients_is_the_numerical_one() -> None:
    shape = tiny_shape()
    points = (30.0 * shape.mean + torch.tensor([50.0, 60.0, 0.0]))[None]
    points = (points + torch.randn(points.shape, generator=torch.Generator().manual_seed(2))).double()
    assert torch.autograd.gradcheck(lambda p: shape.coefficients(p).flat(), points.requires_grad_())
    flat = shape.coefficients(points).flat().detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: shape.landmarks(shape.from_flat(v)), flat)


def test_gradient_is_finite_where_two_singular_values_are_equal() -> None:
    shape = tiny_shape(6)
    # Six points at equal distances along the three axes: all singular values coincide, where an SVD has no
    # gradient.
    cross = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    shape.mean = cross
    points = (40.0 * cross)[None].clone().requires_grad_()
    shape.coefficients(points).flat().square().sum().backward()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()


def test_shapes_of_a_batch(prior: MeshShapePrior, twin: MeshShape) -> None:
    found = twin.coefficients(torch.from_numpy(some_points(prior, 3)))
    assert isinstance(found, ShapeCoefficientBatch)
    assert [tuple(part.shape) for part in found] == [
        (3, twin.identity_size),
        (3, twin.expression_size),
        (3, 3),
        (3, 1),
        (3, 3),
    ]
