from __future__ import annotations

import numpy as np
import pytest

from hififace.evaluation.gaze import angles_deg, gaze_directions, gaze_error_deg

EYES = {"image-left": ((33, 133), (159, 145), 0.0), "image-right": ((362, 263), (386, 374), 100.0)}


def eyes(offset=(0.0, 0.0), opening=10.0, turn_deg=0.0):
    """Two eyes 30 px wide, their irises off the middle by `offset` pixels; the image turned by `turn_deg`."""
    mesh, irises = np.zeros((468, 3)), np.zeros((2, 5, 3))
    for eye, ((first, second), (upper, lower), x) in enumerate(EYES.values()):
        mesh[first, 0], mesh[second, 0] = x - 15, x + 15
        mesh[upper], mesh[lower] = (x, -opening / 2, 0), (x, opening / 2, 0)
        irises[eye, :, 0], irises[eye, :, 1] = x + offset[0], offset[1]
    angle = np.radians(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return mesh @ turn.T, irises @ turn.T


def test_straight_ahead_is_out_of_the_head():
    np.testing.assert_allclose(gaze_directions(*eyes()), [[0, 0, 1], [0, 0, 1]], atol=1e-12)


def test_a_sixth_of_the_eye_is_thirty_degrees():
    """sin = 3 · 5/30 = 0.5."""
    np.testing.assert_allclose(gaze_directions(*eyes((5, 0))), [[0.5, 0, np.sqrt(0.75)]] * 2, atol=1e-12)
    assert gaze_error_deg(eyes((5, 0)), eyes()) == pytest.approx(30)
    assert gaze_error_deg(eyes((0, -5)), eyes()) == pytest.approx(30)
    assert gaze_error_deg(eyes((5, 0)), eyes((-5, 0))) == pytest.approx(60)


def test_a_tilted_head_changes_nothing():
    assert gaze_error_deg(eyes((4, 2), turn_deg=25), eyes((4, 2))) == pytest.approx(0, abs=1e-6)


def test_an_iris_outside_the_eye_is_no_nan():
    directions = gaze_directions(*eyes((40, 10)))
    assert np.isfinite(directions).all()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)


def test_shut_eyes_say_nothing():
    assert np.isnan(gaze_error_deg(eyes((5, 0)), eyes(opening=2.0)))
    # One eye shut: only the other counts.
    mesh, irises = eyes()
    mesh[159], mesh[145] = 0, 0
    result = eyes((5, 0))
    result[1][0, :, 0] = 0  # the shut one would be right
    assert gaze_error_deg(result, (mesh, irises)) == pytest.approx(30)


def test_angles_of_right_angles():
    np.testing.assert_allclose(angles_deg(np.eye(3)[:2], np.eye(3)[1:]), [90, 90])
