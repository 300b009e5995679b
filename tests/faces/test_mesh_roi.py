"""The square that the mesh network looks at."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.faces.mesh_roi import (
    ENLARGEMENT,
    EYE_CORNERS,
    INPUT_SIZE_PX,
    mesh_to_image,
    roi_from_landmarks,
    roi_from_points,
    square_to_input,
)

POINTS5 = np.array([[-20.0, 0.0], [20.0, 0.0], [0.0, 20.0], [-15.0, 40.0], [15.0, 40.0]])


def turned(points: np.ndarray, degrees: float, centre: np.ndarray) -> np.ndarray:
    """Points turned clockwise, as one sees it, and moved."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ matrix.T + centre


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def test_values_square_fills_the_input() -> None:
    matrix = square_to_input(np.array([50.0, 60.0]), 96.0, 0.0)
    # Continuous edges of the square are half a pixel outside the first and last pixel centres.
    assert apply(matrix, np.array([50.0 - 48.0, 60.0 - 48.0])) == pytest.approx(-0.5)
    assert apply(matrix, np.array([50.0 + 48.0, 60.0 + 48.0])) == pytest.approx(INPUT_SIZE_PX - 0.5)


@pytest.mark.parametrize("degrees", [0.0, 30.0, -75.0, 180.0])
def test_values_detection_is_upright_in_the_input_however_it_is_turned(degrees: float) -> None:
    centre = np.array([200.0, 150.0])
    corner = np.array([38.0, 48.0])
    box = np.concatenate([centre - corner, centre + corner])
    points = turned(POINTS5 - (0.0, 15.0), degrees, centre)
    seen = apply(roi_from_points(points, box), points)
    assert seen[0, 1] == pytest.approx(seen[1, 1], abs=1e-6)
    assert seen[1, 0] > seen[0, 0]
    assert seen[3:, 1].min() > seen[:2, 1].max()
    reference = apply(roi_from_points(POINTS5 - (0.0, 15.0) + centre, box), POINTS5 - (0.0, 15.0) + centre)
    np.testing.assert_allclose(seen, reference, atol=1e-6)


@pytest.mark.parametrize("degrees", [0.0, 41.0, -120.0])
def test_values_landmarks_fill_two_thirds_of_the_input(degrees: float) -> None:
    generator = np.random.default_rng(0)
    upright = generator.uniform((-30.0, -40.0), (30.0, 40.0), (468, 2))
    upright[EYE_CORNERS[0]], upright[EYE_CORNERS[1]] = (-25.0, -10.0), (25.0, -10.0)
    points = turned(upright, degrees, np.array([120.0, 90.0]))
    seen = apply(roi_from_landmarks(points), points)
    extent = seen.max(axis=0) - seen.min(axis=0)
    assert extent.max() == pytest.approx(INPUT_SIZE_PX / ENLARGEMENT, rel=1e-6)
    np.testing.assert_allclose((seen.max(axis=0) + seen.min(axis=0)) / 2, (INPUT_SIZE_PX - 1) / 2, atol=1e-6)


def test_values_network_points_lose_the_half_pixel_on_the_way_back() -> None:
    matrix = square_to_input(np.array([80.0, 70.0]), 96.0, 0.4)
    picture = np.random.default_rng(1).uniform(30.0, 120.0, (468, 2))
    depth = np.linspace(-10.0, 10.0, 468)
    scale = INPUT_SIZE_PX / 96.0
    given = np.column_stack([apply(matrix, picture) + 0.5, depth * scale])
    found = mesh_to_image(given, matrix)
    np.testing.assert_allclose(found[:, :2], picture, atol=1e-4)
    np.testing.assert_allclose(found[:, 2], depth, atol=1e-4)
