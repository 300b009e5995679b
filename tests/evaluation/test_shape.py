from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hififace.evaluation.shape import neutral_outline, shape_error
from hififace.faces.landmarks import point_groups
from hififace.faces.shape import MeshShapePrior, rotation_matrix


@pytest.fixture(scope="module")
def prior():
    return MeshShapePrior.load()


def test_turn_size_and_place_are_removed(prior):
    mean = prior.basis.mean
    rotation = rotation_matrix(np.radians([10.0, -25.0, 8.0]))
    elsewhere = 120 * mean @ rotation.T + np.array([100.0, 80.0, 0.0])
    assert shape_error(elsewhere, 80 * mean, prior) == pytest.approx(0, abs=1e-3)


def test_another_face_is_off_by_its_outline(prior):
    """The mean distance of 36 outline points in percent of the eye distance, worked out beside it."""
    rest = prior.coefficients(80 * prior.basis.mean)
    someone = prior.landmarks(replace(rest, identity=np.full(prior.identity_size, 1.0, np.float32)))
    apart = neutral_outline(someone, prior) - neutral_outline(80 * prior.basis.mean, prior)
    mean = prior.basis.mean
    expected = 100 * np.sqrt((apart**2).sum(axis=1)).mean() / np.linalg.norm(mean[33] - mean[263])
    assert shape_error(someone, 80 * mean, prior) == pytest.approx(expected, rel=1e-6)
    assert shape_error(someone, 80 * mean, prior) > 1.0


def test_an_open_mouth_moves_the_outline_less_than_the_mesh(prior):
    rest = prior.coefficients(80 * prior.basis.mean)
    moved = np.zeros(prior.expression_size, np.float32)
    moved[0] = 2.0
    face = prior.landmarks(replace(rest, expression=moved))
    oval = list(point_groups()["face_oval"])
    raw = np.linalg.norm((face / 80.0 - prior.basis.mean)[oval, :2], axis=1).mean()
    neutral = np.linalg.norm(
        neutral_outline(face, prior) - neutral_outline(80 * prior.basis.mean, prior), axis=1
    ).mean()
    assert neutral < 0.6 * raw
