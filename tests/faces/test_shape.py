"""The mesh shape prior: poses with known signs, known coefficients found again, fusion, mirrors, vectors."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.faces.shape import MeshShapePrior, align_to_mean, pose_of, rotation_matrix
from hififace.types import ShapeCoefficients

CAMERA_AXIS = np.array([0.0, 0.0, -1.0])
"""Where a frontal face looks: towards the camera, against z."""


@pytest.fixture(scope="module")
def prior() -> MeshShapePrior:
    return MeshShapePrior.load()


def some_coefficients(prior: MeshShapePrior, seed: int) -> ShapeCoefficients:
    generator = np.random.default_rng(seed)
    return ShapeCoefficients(
        identity=(0.5 * generator.standard_normal(prior.identity_size)).astype(np.float32),
        expression=generator.standard_normal(prior.expression_size).astype(np.float32),
        pose_deg=generator.uniform(-25.0, 25.0, 3).astype(np.float32),
        scale=float(generator.uniform(20.0, 90.0)),
        translation=generator.uniform(50.0, 200.0, 3).astype(np.float32),
    )


@pytest.mark.parametrize(
    ("pose_deg", "towards"),
    [
        ((20.0, 0.0, 0.0), np.array([0.0, 1.0])),  # pitch: looks down, y grows down
        ((0.0, 20.0, 0.0), np.array([1.0, 0.0])),  # yaw: looks to image right
    ],
)
def test_values_positive_pitch_looks_down_and_positive_yaw_to_image_right(
    pose_deg: tuple[float, float, float], towards: np.ndarray
) -> None:
    gaze = rotation_matrix(np.radians(pose_deg)) @ CAMERA_AXIS
    assert gaze[:2] @ towards == pytest.approx(np.sin(np.radians(20.0)))
    assert gaze[2] < 0


def test_values_positive_roll_tilts_clockwise() -> None:
    right = rotation_matrix(np.radians([0.0, 0.0, 20.0])) @ np.array([1.0, 0.0, 0.0])
    assert right[1] > 0  # what pointed right now points down as well: clockwise on the screen


@pytest.mark.parametrize("pose_deg", [(0, 0, 0), (15, -40, 100), (-30, 70, -170), (5, -80, 20)])
def test_values_pose_of_undoes_rotation_matrix(pose_deg: tuple[float, ...]) -> None:
    found = np.degrees(pose_of(rotation_matrix(np.radians(pose_deg))))
    np.testing.assert_allclose(found, pose_deg, atol=1e-9)


def test_values_a_turned_mean_face_has_that_pose_scale_and_place_and_no_shape(prior: MeshShapePrior) -> None:
    pose_deg = np.array([8.0, -15.0, 30.0])
    points = 42.0 * prior.basis.mean @ rotation_matrix(np.radians(pose_deg)).T + (100.0, 120.0, 3.0)
    found = prior.coefficients(points)
    np.testing.assert_allclose(found.pose_deg, pose_deg, atol=1e-3)
    assert found.scale == pytest.approx(42.0, rel=1e-5)
    np.testing.assert_allclose(found.translation, (100.0, 120.0, 3.0), atol=1e-3)
    assert np.abs(found.identity).max() < 1e-3
    assert np.abs(found.expression).max() < 1e-3


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_values_known_expression_is_found_again(prior: MeshShapePrior, seed: int) -> None:
    known = some_coefficients(prior, seed)
    still = ShapeCoefficients(
        np.zeros_like(known.identity), known.expression, known.pose_deg, known.scale, known.translation
    )
    found = prior.coefficients(prior.landmarks(still))
    # The posterior mean shrinks towards zero and the alignment takes a little of the shape for pose.
    cosine = (
        found.expression
        @ known.expression
        / np.linalg.norm(found.expression)
        / np.linalg.norm(known.expression)
    )
    assert cosine > 0.95
    assert np.abs(found.pose_deg - known.pose_deg).max() < 3.0
    assert found.scale == pytest.approx(known.scale, rel=0.03)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_values_identity_is_the_known_one_shrunk_by_its_reliability(prior: MeshShapePrior, seed: int) -> None:
    known = some_coefficients(prior, seed)
    calm = ShapeCoefficients(
        known.identity, np.zeros_like(known.expression), known.pose_deg, known.scale, known.translation
    )
    found = prior.coefficients(prior.landmarks(calm))
    gain = prior.basis.identity_gain @ prior.basis.identity_basis.reshape(prior.identity_size, -1).T
    reliability = np.diag(gain)
    assert np.all((reliability > 0.05) & (reliability < 1.0))
    assert np.all(np.diff(reliability) < 1e-4)  # most telling direction first
    np.testing.assert_allclose(found.identity, gain @ known.identity, atol=0.12)


def test_values_expression_does_not_answer_to_the_most_telling_identity_directions(
    prior: MeshShapePrior,
) -> None:
    basis = prior.basis
    leak = basis.expression_gain @ basis.identity_basis.reshape(prior.identity_size, -1).T
    assert np.abs(leak[:, :6]).max() < 1e-3


def test_values_alignment_leaves_size_to_the_scale_alone(prior: MeshShapePrior) -> None:
    points = prior.landmarks(some_coefficients(prior, 5)).astype(np.float64)
    mean = prior.basis.mean.astype(np.float64)
    shape, scale, rotation, centre = align_to_mean(points, mean)
    assert ((shape - mean) * mean).sum() == pytest.approx(0.0, abs=1e-4)
    np.testing.assert_allclose(scale * shape @ rotation.T + centre, points, atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_values_fusion_takes_identity_from_the_source_and_all_else_from_the_target(
    prior: MeshShapePrior,
) -> None:
    source, target = some_coefficients(prior, 1), some_coefficients(prior, 2)
    fused = prior.fuse(source, target)
    np.testing.assert_array_equal(fused.identity, source.identity)
    np.testing.assert_array_equal(fused.expression, target.expression)
    np.testing.assert_array_equal(fused.pose_deg, target.pose_deg)
    assert (fused.scale, *fused.translation) == (target.scale, *target.translation)


def test_values_mirrored_coefficients_are_those_of_the_mirrored_points(prior: MeshShapePrior) -> None:
    generator = np.random.default_rng(3)
    points = prior.landmarks(some_coefficients(prior, 3)) + generator.normal(0.0, 0.3, (468, 3))
    mirrored = prior.mirrored(prior.coefficients(points), width_px=256)
    other = points[prior.basis.mirror] * [-1, 1, 1] + [256 - 1, 0, 0]
    solved = prior.coefficients(other)
    np.testing.assert_allclose(mirrored.identity, solved.identity, atol=2e-2)
    np.testing.assert_allclose(mirrored.expression, solved.expression, atol=2e-2)
    np.testing.assert_allclose(mirrored.pose_deg, solved.pose_deg, atol=1e-2)
    np.testing.assert_allclose(mirrored.translation, solved.translation, atol=1e-3)


def test_values_flat_vector_round_trip_with_pose_in_radians(prior: MeshShapePrior) -> None:
    known = some_coefficients(prior, 4)
    vector = prior.to_vector(known)
    start = prior.identity_size + prior.expression_size
    np.testing.assert_allclose(vector[start : start + 3], np.radians(known.pose_deg), rtol=1e-5)
    assert vector.shape == (prior.vector_size,) == (sum(size for _, size in prior.layout),)
    again = prior.from_vector(vector)
    np.testing.assert_allclose(again.pose_deg, known.pose_deg, rtol=1e-5)
    np.testing.assert_array_equal(again.identity, known.identity)
    np.testing.assert_array_equal(again.translation, known.translation)


def test_exception_points_and_vectors_of_another_shape_are_named(prior: MeshShapePrior) -> None:
    with pytest.raises(ValueError, match=r"expected \(468, 3\)"):
        prior.coefficients(np.zeros((478, 3)))
    with pytest.raises(ValueError, match="expected"):
        prior.from_vector(np.zeros(5))
