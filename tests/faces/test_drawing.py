"""Drawing: everything known is seen, inside the image, and labels do not cover each other."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.faces.drawing import draw_faces, label_lines
from hififace.types import Detection, Face, Landmarks, ShapeCoefficients


def face(index, x, y, size=80.0, *, mesh=True):
    box = np.array([x, y, x + size, y + size], np.float32)
    rng = np.random.default_rng(index)
    points = np.concatenate([rng.uniform(0, size, (468, 2)) + np.array([x, y]), np.zeros((468, 1))], axis=1)
    detection = Detection(box, 0.93, points[:5, :2].astype(np.float32))
    pose = ShapeCoefficients(np.zeros(2), np.zeros(2), np.array([4.6, -12.2, 0.0]), 1.0, np.zeros(3))
    if not mesh:
        return Face(index, detection)
    return Face(index, detection, Landmarks(points.astype(np.float32), 0.99), coefficients=pose)


@pytest.fixture
def picture():
    return np.full((300, 400, 3), 100, np.uint8)


def test_the_picture_given_is_left_alone_and_its_size_kept(picture):
    drawn = draw_faces(picture, [face(0, 100, 80)])
    assert (picture == 100).all()
    assert drawn.shape == picture.shape
    assert drawn.dtype == np.uint8
    assert (drawn != picture).any()


def test_only_the_face_and_its_label_are_drawn_on(picture):
    drawn = draw_faces(picture, [face(0, 100, 80)])
    rows, columns = np.nonzero((drawn != picture).any(axis=2))
    assert rows.min() >= 77
    assert rows.max() <= 250
    assert columns.min() >= 40
    assert columns.max() <= 240


@pytest.mark.parametrize("place", [(-40, -40), (370, 270), (-500, -500), (150, 290)])
def test_faces_beyond_the_frame_are_drawn_as_far_as_they_go(picture, place):
    assert draw_faces(picture, [face(0, *place), face(1, *place, mesh=False)]).shape == picture.shape


def test_labels_of_neighbours_do_not_cover_each_other(picture):
    # Two faces in one place: each label adds its own dark plate.
    one = draw_faces(picture, [face(0, 100, 60, mesh=False)])
    two = draw_faces(picture, [face(0, 100, 60, mesh=False), face(0, 100, 60, mesh=False)])
    dark = [int((drawn.max(axis=2) < 70).sum()) for drawn in (one, two)]
    assert dark[1] > 1.7 * dark[0]


def test_no_faces_change_nothing(picture):
    np.testing.assert_array_equal(draw_faces(picture, []), picture)


def test_a_tiny_picture():
    tiny = np.zeros((8, 8, 3), np.uint8)
    assert draw_faces(tiny, [face(0, 0, 0, 8)]).shape == (8, 8, 3)


def test_labels_say_what_is_known():
    assert label_lines(face(3, 0, 0, mesh=False)) == ["3   0.93   80 px"]
    assert label_lines(face(3, 0, 0), 0.517)[1:] == ["pitch +5°  yaw -12°  roll +0°", "similarity 0.52"]
