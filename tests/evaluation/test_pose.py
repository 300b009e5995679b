from __future__ import annotations

import numpy as np
import pytest

from hififace.evaluation.pose import pose_error_deg, rotation_angle_deg
from hififace.faces.shape import load_shape_basis, rotation_matrix


def turned(pitch=0.0, yaw=0.0, roll=0.0, scale=80.0, shift=(5.0, -3.0, 2.0)):
    rotation = rotation_matrix(np.radians([pitch, yaw, roll]))
    return scale * load_shape_basis().mean @ rotation.T + np.array(shift)


@pytest.mark.parametrize("axis", ["pitch", "yaw", "roll"])
@pytest.mark.parametrize("angle", [0.01, 2.0, 30.0])
def test_a_known_turn_is_found(axis, angle):
    assert pose_error_deg(turned(**{axis: angle}), turned()) == pytest.approx(angle, rel=1e-3)


def test_size_and_place_are_no_turn():
    assert pose_error_deg(turned(yaw=20, scale=35, shift=(90, 70, 0)), turned(yaw=20)) < 1e-4


def test_turns_that_undo_each_other_are_seen_from_the_target():
    """From -10 to +15 degrees of yaw: 25."""
    assert pose_error_deg(turned(yaw=15), turned(yaw=-10)) == pytest.approx(25, abs=1e-3)


def test_half_a_turn_is_180_degrees():
    assert rotation_angle_deg(np.eye(3), np.diag([1.0, -1.0, -1.0])) == pytest.approx(180)
    assert rotation_angle_deg(np.eye(3), np.eye(3)) == 0
