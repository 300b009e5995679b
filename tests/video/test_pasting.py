"""Faces into planes: what is unchanged stays bit for bit, what is new is what an image's conversion would give."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hififace.faces.alignment import warp
from hififace.faces.shape_warp import ShapeWarp, warped
from hififace.media.planes import planes_of
from hififace.media.video_colour import ColourFacts, from_rgb, to_rgb
from hififace.video import pasting
from hififace.video.pasting import Patch, paste_into, warp_planes

VIDEO = ColourFacts(1, 1, 1, False, 1)
FULL = ColourFacts(6, 1, 1, True, 6)
RGB = ColourFacts(0, 1, 1, True, 0)
FORMATS = [
    ("yuv420p", VIDEO),
    ("yuv422p", VIDEO),
    ("yuv444p", FULL),
    ("yuv420p10le", VIDEO),
    ("yuva420p", VIDEO),
    ("gbrp", RGB),
]
PLACE = np.array([[1.0, 0.0, -20.0], [0.0, 1.0, -12.0]])
"""A crop of 32 px that lies at (20, 12) of the image."""


def smooth(height, width, seed):
    """(height, width, 3) in which neighbours are alike, as chroma at half size needs."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    waves = [
        np.sin(across / 15 + rng.uniform(0, 6)) * np.cos(down / 13 + rng.uniform(0, 6)) for _ in range(3)
    ]
    return np.rint(128 + 60 * np.stack(waves, axis=2)).astype(np.uint8)


def levels(frame):
    return [plane.astype(int).copy() for plane in planes_of(frame)]


@pytest.mark.parametrize(("name", "facts"), FORMATS)
def test_a_crop_that_was_not_changed_leaves_every_sample_as_it_was(name, facts):
    frame = from_rgb(np.random.default_rng(1).integers(0, 256, (60, 80, 3)).astype(np.uint8), name, facts)
    before = levels(frame)
    base = to_rgb(frame, facts)[12:44, 20:52]
    box = paste_into(frame, [Patch(base, base, np.ones((32, 32), np.float32), PLACE)], facts)
    assert box is not None
    for old, new in zip(before, levels(frame), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(("name", "facts"), FORMATS)
def test_a_new_crop_is_what_the_conversion_of_an_image_gives_and_nothing_else_changes(name, facts):
    image, other = smooth(60, 80, 0), smooth(32, 32, 1)
    frame = from_rgb(image, name, facts)
    before = levels(frame)
    wanted = image.copy()
    wanted[12:44, 20:52] = other
    mask = np.zeros((32, 32), np.float32)
    mask[6:26, 6:26] = 1.0
    paste_into(frame, [Patch(other, to_rgb(frame, facts)[12:44, 20:52], mask, PLACE)], facts)
    expected = levels(from_rgb(wanted, name, facts))
    unit = 4 if "10" in name else 1
    for place, (old, new, want) in enumerate(zip(before, levels(frame), expected, strict=True)):
        step_x, step_y = 80 // old.shape[1], 60 // old.shape[0]
        inside = np.s_[20 // step_y : 36 // step_y, 28 // step_x : 44 // step_x]
        if place < 3:
            assert np.abs(new[inside] - want[inside]).max() <= 3 * unit
            assert np.abs(new[inside] - old[inside]).max() > 10 * unit
        outside = np.ones(old.shape, bool)
        outside[14 // step_y : 43 // step_y, 22 // step_x : 51 // step_x] = False
        np.testing.assert_array_equal(new[outside], old[outside])


def test_at_the_rim_light_is_mixed_not_levels():
    frame = from_rgb(np.full((60, 80, 3), 50, np.uint8), "gbrp", RGB)
    base = np.full((32, 32, 3), 50, np.uint8)
    half = np.full((32, 32), 0.5, np.float32)
    paste_into(frame, [Patch(base + np.uint8(150), base, half, PLACE)], RGB)
    # sqrt((50² + 200²) / 2)
    assert {int(plane[28, 36]) for plane in planes_of(frame)} == {146}


def test_a_coarse_mask_and_a_dim_crop_of_numbers_are_of_the_same_square():
    image = smooth(60, 80, 0)
    results = []
    for side, crop in ((32, smooth(32, 32, 1)), (8, smooth(32, 32, 1).astype(np.float32) / 255)):
        frame = from_rgb(image, "yuv444p", VIDEO)
        mask = np.zeros((side, side), np.float32)
        mask[side // 4 : -side // 4, side // 4 : -side // 4] = 1.0
        paste_into(frame, [Patch(crop, image[12:44, 20:52], mask, PLACE)], VIDEO)
        results.append(levels(frame))
    for one, other in zip(*results, strict=True):
        # Well within the mask: coarse rims are softer.
        assert np.abs(one[24:32, 32:40] - other[24:32, 32:40]).max() <= 1


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_only_what_the_mask_reaches_is_resampled_and_in_strips_as_if_it_were_all_at_once(monkeypatch, scale):
    image = smooth(120, 160, 0)
    place = scale * np.array([[0.98, 0.17, -30.0], [-0.17, 0.98, -5.0]])
    mask = np.zeros((32, 32), np.float32)
    mask[10:17, 12:21] = np.linspace(0.2, 1.0, 9)
    results = []
    for margin, strip in ((pasting.MARGIN_PX, 100), (64, 1 << 20)):
        monkeypatch.setattr(pasting, "MARGIN_PX", margin)
        monkeypatch.setattr(pasting, "STRIP_SAMPLES", strip)
        frame = from_rgb(image, "yuv420p10le", VIDEO)
        base = np.asarray(warp(image, place, 64, border="edge"), np.uint8)
        paste_into(frame, [Patch(smooth(64, 64, 1), base, mask, place)], VIDEO, detail=0.5)
        results.append(levels(frame))
    for part, whole, before in zip(*results, levels(from_rgb(image, "yuv420p10le", VIDEO)), strict=True):
        assert np.abs(part - whole).max() <= 1
        assert np.abs(part - before).max() > 10


def test_a_face_beyond_the_image_changes_nothing():
    frame = from_rgb(smooth(60, 80, 0), "yuv420p", VIDEO)
    before = levels(frame)
    far = np.array([[1.0, 0.0, 500.0], [0.0, 1.0, 500.0]])
    crop = smooth(32, 32, 1)
    assert paste_into(frame, [Patch(crop, crop, np.ones((32, 32), np.float32), far)], VIDEO) is None
    for old, new in zip(before, levels(frame), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_face_cut_by_the_edge_of_an_odd_image_is_put_back_to_the_last_sample():
    image = smooth(61, 81, 0)
    frame = from_rgb(image, "yuv420p", VIDEO)
    corner = np.array([[1.0, 0.0, -60.0], [0.0, 1.0, -40.0]])
    base = np.full((32, 32, 3), 128, np.uint8)
    base[:21, :21] = image[40:, 60:]
    white = np.full((32, 32, 3), 255, np.uint8)
    box = paste_into(frame, [Patch(white, base, np.ones((32, 32), np.float32), corner)], VIDEO)
    assert box is not None
    assert box[2:] == (81, 61)
    luma, chroma, _ = levels(frame)
    assert luma[60, 80] == 235
    assert abs(chroma[30, 40] - 128) <= 1


@pytest.mark.parametrize(("name", "facts"), FORMATS)
def test_planes_are_warped_as_their_image_is(name, facts):
    image = smooth(60, 80, 0)
    field = np.zeros((33, 33, 2), np.float32)
    field[8:25, 8:25] = (6.0, -4.0)
    warp = ShapeWarp((8, 4, 74, 70), np.asarray(cv2.blur(field, (9, 9)), np.float32))
    frame = from_rgb(image, name, facts)
    untouched = levels(frame)
    warp_planes(frame, [None, warp])
    wanted = levels(from_rgb(warped(image, [warp]), name, facts))
    bits = 4 if name.endswith("10le") else 1
    for found, expected, before in zip(levels(frame), wanted, untouched, strict=True):
        assert np.abs(found - expected).max() <= 5 * bits
        assert np.abs(found - expected).mean() < 0.5 * bits
        assert before.std() == 0 or np.abs(before - expected).max() > 8 * bits


def test_a_warped_edge_of_full_brightness_stays_within_ten_bits():
    frame = from_rgb(np.zeros((60, 80, 3), np.uint8), "yuv420p10le", FULL)
    for plane in planes_of(frame):
        plane[:, : plane.shape[1] // 2] = 1023
        plane[:, plane.shape[1] // 2 :] = 0
    warp_planes(frame, [ShapeWarp((0, 0, 80, 60), np.full((33, 33, 2), 0.5, np.float32))])
    assert all(plane.max() == 1023 for plane in levels(frame))
