"""Templates: the numbers of others are theirs, and all have the same order of points."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.errors import OptionError
from hififace.faces.templates import TEMPLATES, find_template


@pytest.mark.parametrize("name", TEMPLATES)
def test_points_are_in_order_and_inside(name):
    template = TEMPLATES[name]
    left_eye, right_eye, nose, left_mouth, right_mouth = template.points
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    assert template.points.min() > 0
    assert template.points.max() < template.size
    assert template.origin


def test_the_frontal_template_is_the_reference_s():
    # Given there for 256 px, to three digits.
    expected = [
        (90.811, 116.887),
        (165.189, 116.887),
        (128.0, 156.555),
        (97.058, 198.880),
        (158.942, 198.880),
    ]
    np.testing.assert_allclose(TEMPLATES["frontal_256"].points, expected, atol=1e-3)


def test_scaled_keeps_proportions():
    doubled = TEMPLATES["mini_128"].scaled(256)
    assert doubled.size == 256
    np.testing.assert_allclose(doubled.points, TEMPLATES["mini_128"].points * 2)


def test_points_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        TEMPLATES["arcface_112"].points[0, 0] = 0


def test_an_unknown_template_names_the_known_ones():
    with pytest.raises(OptionError, match=r"no alignment template 'passport'; choose among arcface_112"):
        find_template("passport")
