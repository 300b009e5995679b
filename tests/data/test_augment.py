import numpy as np
import pytest

from hififace.data.augment import (
    NO_AUGMENTATION,
    AugmentOptions,
    colour_matrix,
    draw_change,
    mirror_landmarks,
    recolour,
    valid_region,
)
from hififace.errors import OptionError


def test_draws_are_a_pure_function_of_seed_and_number():
    one, two = (draw_change(AugmentOptions(), 1, 17) for _ in range(2))
    np.testing.assert_array_equal(one.source.colour, two.source.colour)
    assert (one.source.mirror, one.target.mirror) == (two.source.mirror, two.target.mirror)


def test_source_and_target_are_mirrored_independently():
    seen = [draw_change(AugmentOptions(), 0, n) for n in range(400)]
    combinations = {(change.source.mirror, change.target.mirror) for change in seen}
    assert combinations == {(a, b) for a in (False, True) for b in (False, True)}
    assert all(change.target.colour is None for change in seen)


def test_no_augmentation_changes_nothing():
    change = draw_change(NO_AUGMENTATION, 0, 5)
    assert change.source == (False, None)
    assert change.target == (False, None)


def test_colour_matrix_by_hand():
    # Saturation 0 leaves BT.601 luma in every channel; contrast 0.5 halves about middle grey; then the shift.
    image = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    grey = recolour(image, colour_matrix(0.0, 1.0, 0.0))
    np.testing.assert_array_equal(grey[0], [[76, 76, 76], [150, 150, 150]])
    softer = recolour(image, colour_matrix(0.1, 0.5, 1.0))
    np.testing.assert_allclose(softer[0, 0], [255 * 0.85, 255 * 0.35, 255 * 0.35], atol=1)
    np.testing.assert_array_equal(recolour(image, colour_matrix(0.0, 1.0, 1.0)), image)


def test_mirrored_landmarks_take_their_partners_index():
    points = np.array([[1.0, 5.0, 2.0], [8.0, 6.0, 3.0], [4.0, 7.0, 4.0]], np.float32)
    mirrored = mirror_landmarks(points, np.array([1, 0, 2]), 10)
    np.testing.assert_array_equal(mirrored, [[1, 6, 3], [8, 5, 2], [5, 7, 4]])
    np.testing.assert_array_equal(mirror_landmarks(mirrored, np.array([1, 0, 2]), 10), points)


def test_valid_region_is_where_the_photo_reaches():
    matrix = np.array([[1, 0, 4], [0, 1, -2]], np.float32)
    valid = valid_region(matrix, np.array([10, 12], np.float32), 16)
    expected = np.zeros((16, 16), np.uint8)
    expected[0:10, 4:14] = 1  # photo columns 0..9 at crop 4..13, photo rows 2..11 at crop 0..9
    np.testing.assert_array_equal(valid, expected)
    mirrored = valid_region(matrix, np.array([10, 12], np.float32), 16, mirror=True)
    np.testing.assert_array_equal(mirrored, expected[:, ::-1])


def test_valid_region_follows_a_rotation():
    angle = np.deg2rad(30)
    matrix = np.array([[np.cos(angle), -np.sin(angle), 20], [np.sin(angle), np.cos(angle), 0]], np.float32)
    valid = valid_region(matrix, np.array([30, 20], np.float32), 48)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    for x, y in [(0, 0), (20, 2), (25, 20), (40, 20), (11, 20), (47, 47)]:
        u, v, _ = inverse @ [x, y, 1]
        assert valid[y, x] == (0 <= u <= 29 and 0 <= v <= 19)


def test_an_identity_matrix_is_valid_everywhere():
    assert valid_region(np.eye(2, 3, dtype=np.float32), np.array([8, 8], np.float32), 8).all()


def test_options_out_of_range_are_a_sentence():
    with pytest.raises(OptionError, match=r"augment\.mirror is 2"):
        AugmentOptions(mirror=2)
