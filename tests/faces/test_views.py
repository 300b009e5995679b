"""Views and tiles: every place is seen at a size the detector is sure of, within bounds of time and memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hififace.errors import ImageError
from hififace.faces.views import (
    LARGEST_FACE_PX,
    LARGEST_SHORT_SIDE_PX,
    MOST_VIEW_PIXELS,
    OVERLAP_PX,
    TILE_PX,
    VIEW_FACE_PX,
    Tile,
    View,
    check_image,
    make_view,
    tiles,
    view_sizes,
    views,
    worth_searching,
)

SIZES = [
    (64, 64),
    (200, 200),
    (512, 512),
    (640, 480),
    (1920, 1080),
    (3840, 2160),
    (7680, 4320),
    (8000, 64),
    (1, 1),
]


@pytest.mark.parametrize("size", SIZES)
def test_the_finest_view_is_bounded_and_the_coarsest_shows_a_face_that_fills_it(size):
    sizes = view_sizes(*size, 24.0)
    assert sizes[-1][0] * sizes[-1][1] <= MOST_VIEW_PIXELS * 1.001
    assert min(sizes[0]) <= LARGEST_SHORT_SIDE_PX


@pytest.mark.parametrize("size", SIZES)
def test_each_view_begins_where_the_finer_one_ends(size):
    # The next view answers for faces of 24 px of its own; in the finer one these must fit the overlap of tiles.
    sizes = view_sizes(*size, 24.0)
    for coarse, fine in itertools.pairwise(sizes):
        assert max(fine) / max(coarse) * VIEW_FACE_PX < OVERLAP_PX


def test_a_face_of_24_px_in_4k_is_20_px_in_the_finest_view():
    assert view_sizes(3840, 2160, 24.0)[-1] == (3200, 1800)


def test_an_ordinary_picture_is_seen_at_its_own_size():
    assert view_sizes(1000, 667, 24.0)[-1] == (1000, 667)


def test_larger_faces_ask_for_less():
    assert view_sizes(3840, 2160, 96.0)[-1] == (800, 450)


def test_small_faces_are_enlarged_twice_at_most():
    assert view_sizes(100, 80, 12.0)[-1] == (200, 160)


@pytest.mark.parametrize("size", [(3840, 2160), (1281, 977), (4216, 2372), (8000, 64), (1000, 900)])
def test_every_face_up_to_the_overlap_lies_whole_in_some_tile(size):
    cut = tiles(*size)
    assert max(max(t.x1 - t.x0, t.y1 - t.y0) for t in cut) <= TILE_PX or len(cut) == 1
    rng = np.random.default_rng(1)
    side = min(OVERLAP_PX, *size)
    for x, y in zip(
        rng.integers(0, size[0] - side + 1, 200), rng.integers(0, size[1] - side + 1, 200), strict=True
    ):
        assert any(t.x0 <= x and t.y0 <= y and x + side <= t.x1 and y + side <= t.y1 for t in cut)


def test_a_small_view_is_one_tile():
    assert tiles(900, 900) == [Tile(0, 0, 900, 900)]


def test_a_flat_tile_and_one_on_a_known_face_are_left_out():
    image = np.full((100, 200, 3), 90, np.uint8)
    image[40:60, 140:160] = 200
    view = View(image, 1.0, 1.0)
    nobody = np.zeros((0, 4), np.float32)
    assert not worth_searching(Tile(0, 0, 100, 100), view, nobody)
    assert worth_searching(Tile(100, 0, 200, 100), view, nobody)
    assert not worth_searching(Tile(100, 0, 200, 100), view, np.array([[90, -5, 210, 105]], np.float32))
    assert worth_searching(Tile(100, 0, 200, 100), view, np.array([[150, 0, 210, 105]], np.float32))


def test_views_know_their_scale():
    image = np.zeros((700, 1000, 3), np.uint8)
    for view in views(image, 24.0):
        height, width = view.image.shape[:2]
        assert view.scale_x == pytest.approx(1000 / width)
        assert view.scale_y == pytest.approx(700 / height)


def test_only_the_coarsest_view_answers_for_faces_of_any_size():
    seen = list(views(np.zeros((700, 1000, 3), np.uint8), 24.0))
    assert [view.largest_face_px for view in seen] == [float("inf"), LARGEST_FACE_PX]


@pytest.mark.parametrize("size", SIZES)
def test_a_face_too_large_for_a_view_is_surely_seen_by_the_next(size):
    sizes = view_sizes(*size, 24.0)
    for coarse, fine in itertools.pairwise(sizes):
        assert LARGEST_FACE_PX * max(coarse) / max(fine) > 1.5 * VIEW_FACE_PX


def test_a_view_of_the_same_size_is_the_picture_itself():
    image = np.zeros((10, 20, 3), np.uint8)
    assert make_view(image, (20, 10)).image is image


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)],
    ids=["grey", "alpha", "float"],
)
def test_what_is_no_rgb_picture_is_refused(picture):
    with pytest.raises(ImageError, match="expected \\(height, width, 3\\) uint8 RGB"):
        check_image(picture)


def test_an_empty_picture_is_refused():
    with pytest.raises(ImageError, match="empty"):
        check_image(np.zeros((0, 7, 3), np.uint8))
