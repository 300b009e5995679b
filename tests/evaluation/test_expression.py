from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hififace.evaluation.expression import (
    expression_error,
    eye_opening_error,
    eye_openings,
    mouth_opening,
    mouth_opening_error,
)
from hififace.faces.shape import MeshShapePrior


@pytest.fixture(scope="module")
def prior():
    return MeshShapePrior.load()


@pytest.fixture(scope="module")
def neutral(prior):
    return 80.0 * prior.basis.mean


def test_the_same_face_has_no_error_wherever_it_is(prior, neutral):
    assert expression_error(1.7 * neutral + 30.0, neutral, prior) == pytest.approx(0, abs=1e-4)


def test_one_deviation_of_one_coefficient_is_seen_as_such(prior, neutral):
    """The gain shrinks what it sees, so the error is that of the coefficients the prior finds: checked by hand."""
    at_rest = prior.coefficients(neutral)
    moved = np.zeros(prior.expression_size, np.float32)
    moved[0] = 2.0
    face = prior.landmarks(replace(at_rest, expression=moved))
    found = prior.coefficients(face).expression - at_rest.expression
    assert found[0] > 1.0
    assert expression_error(face, neutral, prior) == pytest.approx(np.sqrt((found**2).mean()), rel=1e-5)


def test_the_mouth_is_measured_in_eye_distances(neutral):
    """Lips 3 apart, outer corners 10 apart, whichever way the head is turned."""
    mesh = np.zeros((468, 3))
    mesh[33], mesh[263] = (0, 0, 0), (6, 0, 8)
    mesh[13], mesh[14] = (3, 5, 4), (3, 8, 4)
    assert mouth_opening(mesh) == pytest.approx(0.3)
    shut = mesh.copy()
    shut[14] = shut[13]
    assert mouth_opening_error(shut, mesh) == pytest.approx(0.3)


def test_eyes_are_measured_in_their_own_widths():
    """Lids 1 apart in eyes 4 wide; then the image-left one half shut: (0.125 + 0) / 2."""
    mesh = np.zeros((468, 3))
    for (upper, lower), (first, second), x in (((159, 145), (33, 133), 0), ((386, 374), (362, 263), 10)):
        mesh[first], mesh[second] = (x, 0, 0), (x + 4, 0, 0)
        mesh[upper], mesh[lower] = (x + 2, -0.5, 0), (x + 2, 0.5, 0)
    np.testing.assert_allclose(eye_openings(mesh), 0.25)
    winking = mesh.copy()
    winking[159, 1] = 0.0
    assert eye_opening_error(winking, mesh) == pytest.approx(0.0625)
