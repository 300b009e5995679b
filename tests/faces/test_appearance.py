"""How a face is shown: blur, turn, and what two networks say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hififace.faces.appearance import appearance_of, blur_of, points_turn_deg, remaining_edges
from hififace.types import Detection

FRONTAL = np.array([(-0.5, 0), (0.5, 0), (0, 0.5), (-0.4, 1), (0.4, 1)])


def turned(angle_deg, lean_deg=0.0):
    """Five points of a face whose nose stands out by 0.55 of the distance from eyes to mouth."""
    angle, lean = np.deg2rad(angle_deg), np.deg2rad(lean_deg)
    depth = np.array([0, 0, 0.55, 0, 0])
    flat = np.column_stack([FRONTAL[:, 0] * np.cos(angle) + depth * np.sin(angle), FRONTAL[:, 1]])
    return flat @ np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]]) * 80 + 200


@pytest.mark.parametrize("lean", [0, 40, 180])
def test_the_turn_by_the_five_points_whatever_the_lean(lean):
    assert points_turn_deg(turned(0, lean)) < 3
    assert points_turn_deg(turned(20, lean)) == pytest.approx(20, abs=5)
    assert points_turn_deg(turned(-20, lean)) == pytest.approx(20, abs=5)
    assert points_turn_deg(turned(75, lean)) > 70
    assert points_turn_deg(turned(90, lean)) > 80


def test_points_that_coincide_are_a_profile_and_no_error():
    assert points_turn_deg(np.zeros((5, 2))) == 90.0


def test_a_portrait_is_sharp_and_out_of_focus_it_is_not(portraits, detector):
    image = portraits["100_neutral"]
    (found,) = detector.detect(image)
    sharp = blur_of(image, found)
    assert sharp < 0.7
    previous = sharp
    for share in (1 / 30, 1 / 18):
        blurred = cv2.GaussianBlur(image, (0, 0), found.size_px * share)
        assert blur_of(blurred, found) > previous + 0.03
        previous = blur_of(blurred, found)
    assert previous > 0.8


def test_a_small_face_is_not_a_blurred_one(portraits, detector):
    image = cv2.resize(portraits["100_neutral"], (110, 110), interpolation=cv2.INTER_AREA)
    (found,) = detector.detect(image)
    assert found.size_px < 50
    assert blur_of(image, found) < 0.78


def test_an_even_crop_has_no_edges_to_lose():
    assert remaining_edges(np.full((20, 20, 3), 90, np.uint8)) == 1.0


def test_a_frontal_portrait_is_shown_well(portraits, detector, landmarker):
    image = portraits["001_neutral"]
    (found,) = detector.detect(image)
    shown = appearance_of(image, found, landmarker.locate(image, found))
    assert shown.size_px == found.size_px
    assert shown.turn_deg < 15
    assert shown.disagreement < 0.1
    assert shown.mesh_score > 0.95
    beside = Detection(found.box, found.score, found.points + np.float32(0.3 * found.size_px))
    assert appearance_of(image, beside, landmarker.locate(image, found)).disagreement > 0.3
