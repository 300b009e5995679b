"""Pasting back: nothing changes where nothing was changed; the swap arrives whole, in place and in linear light."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.faces.alignment import warp
from hififace.faces.blending import affected_rectangle, paste_back
from hififace.pixels import linear_to_srgb, srgb_to_linear

SIZE = 64


@pytest.fixture(scope="module")
def picture():
    """200 x 240 px with detail at every size."""
    rng = np.random.default_rng(3)
    rough = np.kron(rng.uniform(40, 215, (10, 12, 3)), np.ones((20, 20, 1)))
    return np.clip(rough + rng.normal(0, 12, rough.shape), 0, 255).astype(np.uint8)


def placed(scale, angle_deg=0.0, centre=(120.0, 100.0)):
    """Image to crop: the crop's middle lies on `centre`."""
    radians = np.deg2rad(angle_deg)
    turn = scale * np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    return np.concatenate([turn, ((SIZE - 1) / 2 - turn @ np.array(centre))[:, None]], axis=1)


@pytest.mark.parametrize("scale", [0.35, 1.0, 3.7])
@pytest.mark.parametrize("angle", [0, 33])
def test_an_unchanged_crop_gives_back_the_very_same_picture(picture, scale, angle):
    matrix = placed(scale, angle)
    crop = warp(picture, matrix, SIZE)
    soft = np.linspace(0, 1, SIZE)[None, :] * np.ones((SIZE, 1))
    for mask in (np.ones((SIZE, SIZE)), soft):
        np.testing.assert_array_equal(paste_back(picture, crop, mask, matrix), picture)


def test_only_the_affected_rectangle_changes(picture):
    matrix = placed(2.0)
    mask = np.zeros((SIZE, SIZE))
    mask[20:40, 24:44] = 1.0
    result = paste_back(picture, np.zeros((SIZE, SIZE, 3), np.uint8), mask, matrix)
    x0, y0, x1, y1 = affected_rectangle(mask, matrix, picture.shape[:2])
    outside = np.ones(picture.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    np.testing.assert_array_equal(result[outside], picture[outside])
    changed = np.nonzero((result != picture).any(axis=2))
    assert changed[1].min() - x0 <= 5  # no larger than it needs to be
    assert x1 - 1 - changed[1].max() <= 5
    assert (x1 - x0) * (y1 - y0) < picture.size / 3 / 4


def test_the_picture_given_is_left_alone(picture):
    before = picture.copy()
    paste_back(picture, np.zeros((SIZE, SIZE, 3), np.uint8), np.ones((SIZE, SIZE)), placed(1.0))
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.2])
def test_a_changed_crop_arrives_in_its_place(picture, scale):
    matrix = placed(scale, 20)
    crop = np.zeros((SIZE, SIZE, 3), np.uint8)
    crop[:, : SIZE // 2] = [250, 20, 20]
    crop[:, SIZE // 2 :] = [20, 250, 20]
    result = paste_back(picture, crop, np.ones((SIZE, SIZE)), matrix).astype(int)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    x, y = np.moveaxis(np.stack([columns, rows], -1) @ matrix[:, :2].T + matrix[:, 2], -1, 0)
    inside = abs(y - 31.5) < 24
    left, right = inside & (x > 8) & (x < 26), inside & (x > 37) & (x < 55)
    assert np.abs(result[left] - [250, 20, 20]).max() <= 3
    assert np.abs(result[right] - [20, 250, 20]).max() <= 3


def test_the_target_s_texture_is_kept_if_asked_for_and_what_edges_leave_is_not():
    matrix = placed(0.35)  # three image pixels to one of the crop
    grain = np.random.default_rng(5).normal(0.0, 12.0, (200, 240, 1))
    smooth = np.repeat(128.0 + grain, 3, axis=2)
    smooth[:, 120:] = 30.0 + grain[:, 120:]
    target = np.clip(smooth, 0, 255).astype(np.uint8)
    crop = np.full((SIZE, SIZE, 3), 200, np.uint8)
    skin, edge = (slice(80, 120), slice(80, 105)), (slice(80, 120), slice(117, 123))
    results = [
        paste_back(target, crop, np.ones((SIZE, SIZE)), matrix, detail=share) for share in (0.0, 0.5, 1.0)
    ]
    plain, half, whole = (result[skin].std() for result in results)
    assert plain < 1.0
    assert half == pytest.approx(whole / 2, rel=0.15)
    assert whole == pytest.approx(target[skin].std(), rel=0.3)
    assert results[2][edge].std() < 0.3 * whole
    assert results[2][edge].mean() == pytest.approx(200, abs=2)  # the edge itself is gone


def test_unchanged_parts_of_a_changed_crop_keep_every_pixel(picture):
    matrix = placed(0.35)
    crop = warp(picture, matrix, SIZE)
    crop[:, 40:] = 0
    result = paste_back(picture, crop, np.ones((SIZE, SIZE)), matrix)
    # The crop's columns 0..30 are untouched; column 30 lies at 120 + (30 - 31.5) / 0.35.
    np.testing.assert_array_equal(result[:, :112], picture[:, :112])


def test_half_a_mask_mixes_light():
    dark = np.full((100, 100, 3), 10, np.uint8)
    crop, mask = np.full((SIZE, SIZE, 3), 240, np.uint8), np.full((SIZE, SIZE), 0.5)
    result = paste_back(dark, crop, mask, placed(1.0, centre=(50, 50)))
    light = (srgb_to_linear(np.array(10 / 255)) + srgb_to_linear(np.array(240 / 255))) / 2
    assert result[50, 50, 0] == pytest.approx(255 * float(linear_to_srgb(light)), abs=1)
    assert result[50, 50, 0] > 160  # a mix of the encoded values would be 125, a grey rim


def test_float_crops_keep_what_lies_between_levels(picture):
    matrix = placed(1.0)
    crop = warp(picture, matrix, SIZE)
    mask = np.ones((SIZE, SIZE))
    np.testing.assert_array_equal(paste_back(picture, crop.astype(np.float32) / 255, mask, matrix), picture)
    black = paste_back(picture, np.zeros((SIZE, SIZE, 3), np.float32), mask, matrix)
    np.testing.assert_array_equal(
        black, paste_back(picture, np.zeros((SIZE, SIZE, 3), np.uint8), mask, matrix)
    )


@pytest.mark.parametrize("centre", [(0, 0), (239, 100), (-5, 190)])
def test_a_face_cut_by_the_frame_is_pasted_inside_it(picture, centre):
    matrix = placed(1.0, 15, centre)
    crop = warp(picture, matrix, SIZE)
    np.testing.assert_array_equal(paste_back(picture, crop, np.ones((SIZE, SIZE)), matrix), picture)
    result = paste_back(picture, 255 - crop, np.ones((SIZE, SIZE)), matrix)
    assert result.shape == picture.shape
    assert (result != picture).any()


def test_a_face_outside_or_an_empty_mask_changes_nothing(picture):
    crop = np.zeros((SIZE, SIZE, 3), np.uint8)
    np.testing.assert_array_equal(
        paste_back(picture, crop, np.ones((SIZE, SIZE)), placed(1, 0, (900, 900))), picture
    )
    np.testing.assert_array_equal(paste_back(picture, crop, np.zeros((SIZE, SIZE)), placed(1.0)), picture)


def test_shapes_that_do_not_fit_are_refused(picture):
    with pytest.raises(ValueError, match="square crop and a mask of its size"):
        paste_back(picture, np.zeros((64, 32, 3), np.uint8), np.ones((64, 64)), placed(1.0))
