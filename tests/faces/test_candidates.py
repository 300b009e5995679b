"""Candidates: mapping between views, and merging."""

from __future__ import annotations

import numpy as np

from hififace.faces.candidates import Candidates, as_detections, averaged, iou_matrix, merge, parts_of
from hififace.faces.turning import turn_image


def make(boxes, scores=None, points=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    scores = np.ones(len(boxes), np.float32) if scores is None else np.array(scores, np.float32)
    points = np.zeros((len(boxes), 5, 2), np.float32) if points is None else np.array(points, np.float32)
    return Candidates(boxes, scores, points, scores)


def test_merge_keeps_the_best_of_each_face():
    found = make([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], [0.8, 0.9, 0.7])
    kept = merge(found)
    np.testing.assert_allclose(kept.scores, [0.9, 0.7])


def test_merge_drops_a_part_of_a_better_face():
    # A mouth and chin: overlap 0.16 of the union only, but wholly inside.
    kept = merge(make([[0, 0, 100, 100], [30, 50, 70, 90]], [0.9, 0.8]))
    assert len(kept) == 1


def test_points_are_a_mean_of_those_that_rank_equal():
    # Weights: 1 for the best, 0.5 for half of `EQUAL_RANK` behind, none for the far behind and for another face.
    boxes = [[0, 0, 10, 10], [0, 0, 10, 13], [0, 0, 10, 11], [50, 50, 60, 60]]
    points = np.broadcast_to(np.array([0.0, 3.0, 90.0, 90.0])[:, None, None], (4, 5, 2))
    one = averaged(make(boxes, [0.9, 0.85, 0.7, 0.9], points))
    np.testing.assert_allclose(one.points, np.ones((1, 5, 2)), atol=1e-6)
    np.testing.assert_allclose(one.boxes, [[0, 0, 10, 11]], atol=1e-6)
    np.testing.assert_allclose(one.scores, [0.9])


def test_a_doubtful_face_stays_where_it_was_seen():
    one = averaged(make([[0, 0, 10, 10], [0, 0, 10, 12]], [0.8, 0.8], np.ones((2, 5, 2)) * [[[0]], [[4]]]))
    np.testing.assert_array_equal(one.points, np.zeros((1, 5, 2)))


def test_a_box_without_area_is_its_own_mean():
    one = averaged(make([[5, 5, 5, 5]], [0.9], np.ones((1, 5, 2))))
    np.testing.assert_array_equal(one.boxes, [[5, 5, 5, 5]])
    np.testing.assert_array_equal(one.points, np.ones((1, 5, 2)))


def test_parts_of_a_face_are_told_from_the_face_and_from_its_neighbours():
    face = np.array([[0, 0, 100, 100]], np.float32)
    mouth, same, beside, around = [20, 50, 80, 95], [5, 5, 95, 95], [70, 0, 170, 100], [-60, -60, 160, 160]
    assert parts_of(make([mouth, same, beside, around]), face).tolist() == [True, False, False, False]
    assert parts_of(make([mouth]), np.zeros((0, 4), np.float32)).tolist() == [False]


def test_neighbours_that_touch_are_two():
    assert len(merge(make([[0, 0, 100, 100], [70, 0, 170, 100]]))) == 2


def test_merge_of_nothing_is_nothing():
    assert len(merge(Candidates.none())) == 0
    assert as_detections(Candidates.none()) == []


def test_merge_of_thousands_is_bounded_and_right():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 5, (4000, 2)) + rng.integers(0, 3, (4000, 1)) * 100
    found = make(np.concatenate([corner, corner + 50], axis=1), rng.uniform(0.5, 1, 4000))
    assert len(merge(found)) == 3


def test_moved_takes_the_middle_of_a_pixel_to_the_middle():
    # Halving: view pixel 0 covers image pixels 0 and 1, so its middle lies at 0.5.
    one = make([[0, 0, 1, 1]], points=np.zeros((1, 5, 2)))
    moved = one.moved(2.0, 2.0)
    np.testing.assert_allclose(moved.points[0, 0], [0.5, 0.5])
    np.testing.assert_allclose(moved.boxes[0], [0, 0, 2, 2])


def test_moved_adds_the_place_of_a_tile():
    moved = make([[1, 2, 3, 4]], points=np.ones((1, 5, 2))).moved(1.0, 1.0, 10, 20)
    np.testing.assert_allclose(moved.boxes[0], [11, 22, 13, 24])
    np.testing.assert_allclose(moved.points[0, 0], [11, 21])


def test_a_quarter_turn_of_a_box_is_exact():
    # 8 wide, 6 high; after the turn clockwise the image is 6 wide and the mark at its top right.
    image = np.zeros((6, 8, 3), np.uint8)
    image[0:2, 0:3] = 255
    turned, back = turn_image(image, 90)
    rows, columns = np.nonzero(turned[..., 0])
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(make([box]).turned(back).boxes[0], [0, 0, 3, 2], atol=1e-5)


def test_detections_come_from_left_to_right():
    found = as_detections(make([[50, 0, 60, 10], [0, 0, 10, 10]], [0.9, 0.8]))
    assert [d.box[0] for d in found] == [0, 50]


def test_iou_matrix():
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2]], np.float32)
    np.testing.assert_allclose(iou_matrix(boxes, boxes), [[1, 1 / 3], [1 / 3, 1]], atol=1e-6)
    assert iou_matrix(boxes, np.zeros((0, 4), np.float32)).shape == (2, 0)
