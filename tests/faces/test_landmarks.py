"""Following: what the mesh finds from where the face was before."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.faces.landmarks import SETTLED, FaceMeshLandmarker, apart
from hififace.faces.mesh_roi import square_to_input


@pytest.fixture(scope="module")
def landmarker():
    return FaceMeshLandmarker(threads=1)


@pytest.fixture(scope="module")
def mesh(landmarker, astronaut, astronaut_face):
    return landmarker.locate(astronaut, astronaut_face).points


@pytest.fixture
def looks(landmarker, monkeypatch):
    """How many squares each look saw."""
    seen = []
    look = landmarker._look

    def counted(image, regions, **more):
        seen.append(len(regions))
        return look(image, regions, **more)

    monkeypatch.setattr(landmarker, "_look", counted)
    return seen


def eye_distance(points):
    return float(np.linalg.norm(points[33, :2] - points[263, :2]))


def test_a_face_that_stayed_needs_one_look(landmarker, astronaut, mesh, looks):
    (found,) = landmarker.follow(astronaut, [mesh])
    assert looks == [1]
    off = np.linalg.norm(found.points[:, :2] - mesh[:, :2], axis=1).mean()
    assert off < 0.01 * eye_distance(mesh)


def test_a_face_that_moved_is_looked_at_twice_and_found_as_exactly(landmarker, astronaut, mesh, looks):
    # The square is about three eye distances wide: a tenth of it.
    before = mesh + np.float32([0.3 * eye_distance(mesh), 0, 0])
    stayed, moved = landmarker.follow(astronaut, [mesh, before])
    assert looks == [2, 1]
    assert moved.score > 0.9
    off = np.linalg.norm(moved.points[:, :2] - stayed.points[:, :2], axis=1).mean()
    assert off < 0.01 * eye_distance(mesh)


def test_nobody_to_follow_costs_nothing(landmarker, astronaut, looks):
    assert landmarker.follow(astronaut, []) == []
    assert looks == []


def test_how_far_two_squares_lie_apart():
    square = square_to_input(np.array([100.0, 80.0]), 60.0, 0.0)
    assert apart(square, square) == pytest.approx(0.0, abs=1e-9)
    beside = square_to_input(np.array([106.0, 80.0]), 60.0, 0.0)
    assert apart(square, beside) == pytest.approx(0.1)
    assert apart(square, beside) > SETTLED
