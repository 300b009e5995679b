"""Dim light: how much brighter, and back."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.faces.exposure import (
    LARGEST_GAIN,
    LEAST_ORDINARY_LEVEL,
    ORDINARY_LEVEL,
    brightened,
    dimmed,
    exposure_gain,
    in_ordinary_light,
)


def face(level, side=64):
    return np.full((side, side, 3), level, np.uint8)


@pytest.mark.parametrize("level", [140, 187, 255])
def test_ordinary_light_is_left_as_it_is(level):
    assert exposure_gain(face(level)) == 1.0
    np.testing.assert_array_equal(in_ordinary_light(face(level)), face(level))


@pytest.mark.parametrize("level", [20, 50, 100])
def test_a_dim_face_is_brought_to_ordinary_light(level):
    assert exposure_gain(face(level)) == pytest.approx(ORDINARY_LEVEL / level)
    np.testing.assert_allclose(in_ordinary_light(face(level)), ORDINARY_LEVEL, atol=1)


def test_the_brightness_shown_changes_without_a_jump():
    levels = np.arange(60, 200)
    shown = np.array([level * exposure_gain(face(level)) for level in levels])
    assert np.abs(np.diff(shown)).max() < 3
    assert shown.min() >= LEAST_ORDINARY_LEVEL - 1


def test_black_has_a_bounded_gain():
    assert exposure_gain(face(0)) == LARGEST_GAIN
    assert exposure_gain(np.zeros((1, 1, 3), np.uint8)) == LARGEST_GAIN


def test_what_lies_around_the_face_does_not_count():
    crop = face(255)
    crop[8:56, 8:56] = 50
    assert exposure_gain(crop) == pytest.approx(ORDINARY_LEVEL / 50)


def test_a_face_lit_from_one_side_keeps_its_highlights():
    crop = face(20)
    crop[:, 38:] = 250
    assert exposure_gain(crop) == 1.0
    crop[:, 38:] = 20
    crop[28:36, 28:36] = 230  # 4 % of the face
    assert exposure_gain(crop) * 230 <= 255


def test_the_way_back_is_exact_where_nothing_was_cut_off():
    crop = np.arange(60, dtype=np.uint8).repeat(3).reshape(6, 10, 3)
    back = dimmed(brightened(crop, 4.0), 4.0)
    np.testing.assert_allclose(back * 255, crop, atol=0.13)
    assert dimmed(crop, 1.0) is crop
    assert brightened(crop, 1.0) is crop
