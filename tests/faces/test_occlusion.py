"""What covers a face is told from the face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hififace.faces.alignment import align
from hififace.faces.occlusion import occlusion

SIDE = 128
AXIS = (np.arange(SIDE) + 0.5) / SIDE - 0.5
FACE = (np.add.outer((AXIS / 0.42) ** 2, (AXIS / 0.3) ** 2) <= 1).astype(np.float32)


@pytest.fixture(scope="module")
def crop(astronaut, astronaut_face):
    return align(astronaut, astronaut_face.points, "mini_128").crop


def covered(crop, draw):
    """The crop with something drawn over it, and where that is within the face."""
    changed = crop.copy()
    draw(changed)
    return changed, (np.abs(changed.astype(int) - crop).max(axis=2) > 8) & (FACE > 0)


OBJECTS = {
    "surgical mask": lambda c: cv2.fillPoly(
        c, [np.array([(22, 62), (64, 54), (106, 62), (100, 105), (64, 122), (28, 105)])], (140, 180, 210)
    ),
    "dark glasses": lambda c: [cv2.rectangle(c, (x, 26), (x + 38, 56), (10, 10, 10), -1) for x in (18, 70)],
    "microphone": lambda c: cv2.circle(c, (68, 96), 30, (60, 60, 64), -1),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_what_covers_the_face_is_found_and_nothing_else(crop, name):
    changed, where = covered(crop, OBJECTS[name])
    found = occlusion(changed, FACE)
    assert found[where].mean() > 0.9
    assert found[(cv2.dilate(where.astype(np.uint8), np.ones((13, 13))) == 0) & (FACE > 0)].max() < 0.05


@pytest.mark.parametrize("name", ["001_neutral", "024_smiling", "100_neutral"])
def test_a_free_face_is_covered_by_nothing(detector, portraits, name):
    (found,) = detector.detect(portraits[name])
    assert occlusion(align(portraits[name], found.points, "mini_128").crop, FACE).max() == 0


def test_eyes_brows_lips_and_teeth_of_a_free_face_are_its_own(crop):
    assert occlusion(crop, FACE).max() == 0


def test_outside_the_mask_nothing_is_looked_for(crop):
    changed, _ = covered(crop, OBJECTS["microphone"])
    assert occlusion(changed, np.zeros((SIDE, SIDE), np.float32)).max() == 0


def test_a_black_crop_is_no_error():
    assert occlusion(np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), np.float32)).shape == (64, 64)
