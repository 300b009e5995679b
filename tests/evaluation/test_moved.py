from __future__ import annotations

import numpy as np
import pytest

from hififace.evaluation.moved import (
    RIGID,
    fit_shape_model,
    lid_opening,
    lip_opening,
    moved_and_kept,
    neutral_shape,
)
from hififace.faces.shape import load_shape_basis, rotation_matrix
from tests.support.evaluation_doubles import description, face_of_68

RANDOM = np.random.default_rng(5)
TARGET, SOURCE = RANDOM.normal(size=(2, 40, 17, 2))


def test_shares_of_source_and_target_are_told_apart():
    moved, kept = moved_and_kept(0.3 * SOURCE + 0.6 * TARGET + 5.0, TARGET, SOURCE)
    assert moved.value == pytest.approx(0.3)
    assert kept.value == pytest.approx(0.6)
    assert moved.error < 1e-9


def test_a_drift_toward_the_mean_is_no_move_toward_the_source():
    """The projection of r - t on s - t would say 20 %."""
    moved, kept = moved_and_kept(0.6 * TARGET, TARGET, SOURCE)
    assert moved.value == pytest.approx(0.0, abs=1e-12)
    assert kept.value == pytest.approx(0.6)


def test_noise_in_the_result_is_in_the_error():
    noisy = 0.3 * SOURCE + TARGET + RANDOM.normal(size=TARGET.shape)
    moved, _ = moved_and_kept(noisy, TARGET, SOURCE)
    # 40 pairs of 34 numbers of deviation 1: 1 / √1360 = 0.027.
    assert moved.error == pytest.approx(0.027, rel=0.3)
    assert abs(moved.value - 0.3) < 4 * moved.error


def test_two_pairs_say_nothing():
    moved, kept = moved_and_kept(SOURCE[:2], TARGET[:2], SOURCE[:2])
    assert np.isnan([moved.value, kept.value]).all()


def test_openings_of_lids_and_lips():
    """Eyes 0.2 wide and 0.06 open; lips 2 · 0.02 · sin(45 or 90 degrees) over outer corners 0.66 apart."""
    face = face_of_68()
    assert lid_opening(face) == pytest.approx(0.3, abs=1e-3)
    expected = 0.04 * (1 + 2 * np.sin(np.pi / 4)) / 3 / 0.66
    assert lip_opening(7 * face) == pytest.approx(expected, abs=1e-3)


def posed(points68, pitch_deg=0.0, yaw_deg=0.0):
    mesh = 60 * load_shape_basis().mean @ rotation_matrix(np.radians([pitch_deg, yaw_deg, 0.0])).T
    return description(mesh)._replace(points68=points68.astype(np.float32))


def test_size_place_and_turn_are_no_shape():
    """Faces whose landmarks move with the turn in a fixed way: freed of it they are one shape again."""
    effect = RANDOM.normal(0, 0.3, (68, 2))
    effect[list(RIGID)] = 0
    turns = RANDOM.uniform(-25, 25, (60, 2))

    def face(pitch, yaw, scale=200.0, jaw=0.0):
        shape = face_of_68() + effect * np.radians(yaw)
        shape[8, 1] += jaw
        return posed(shape * scale + (30, 40), pitch, yaw)

    model = fit_shape_model([face(*turn, scale=100 + n) for n, turn in enumerate(turns)])
    front, aside = face(0, 0), face(5, 20, scale=90)
    one, other = neutral_shape(model, front.points68, front), neutral_shape(model, aside.points68, aside)
    np.testing.assert_allclose(one, other, atol=0.01)
    longer = face(5, 20, scale=90, jaw=0.1)
    moved = neutral_shape(model, longer.points68, longer) - other
    assert np.linalg.norm(moved[8]) == pytest.approx(
        0.1 / 0.66, rel=0.05
    )  # in distances of the eyes' corners
    assert np.abs(np.delete(moved, 8, axis=0)).max() < 1e-3
