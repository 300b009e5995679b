from __future__ import annotations

import av
import numpy as np
import pytest

from hififace.media.planes import (
    bit_depth,
    changed_box,
    copy_frame,
    is_planar,
    plain_name,
    planes_of,
    turn_image,
    turn_upright,
    upright_format,
    write_changes,
)
from hififace.media.video_colour import ColourFacts, from_rgb, to_rgb

BT709 = ColourFacts(1, 1, 1, False, 1)


def noisy(pixel_format, size=(50, 38), seed=1):
    frame = av.VideoFrame(*size, pixel_format)
    rng = np.random.default_rng(seed)
    unit = 2 ** (bit_depth(pixel_format) - 8)
    for plane in planes_of(frame):
        plane[...] = rng.integers(70 * unit, 180 * unit, plane.shape)
    return frame


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "gray", "gbrp"])
@pytest.mark.parametrize("size", [(50, 38), (51, 39)])
def test_planes_cover_odd_sizes_and_write_through(pixel_format, size):
    frame = noisy(pixel_format, size)
    copy = copy_frame(frame)
    for a, b in zip(planes_of(frame), planes_of(copy), strict=True):
        np.testing.assert_array_equal(a, b)
    planes_of(copy)[0][...] = 0
    assert planes_of(frame)[0].min() > 0
    assert planes_of(copy)[0].max() == 0


@pytest.mark.parametrize(
    ("stored", "plain"),
    [
        ("yuv420p", "yuv420p"),
        ("yuvj422p", "yuv422p"),
        ("nv12", "yuv420p"),
        ("p010le", "yuv420p10le"),
        ("rgb24", "gbrp"),
        ("gbrp10le", "gbrp10le"),
        ("gray10le", "gray10le"),
    ],
)
def test_every_stored_format_has_a_plain_one(stored, plain):
    assert plain_name(stored) == plain
    assert is_planar(plain)


def test_a_video_on_its_side_keeps_all_its_chroma():
    assert upright_format("yuv420p", 90) == "yuv420p"
    assert upright_format("yuv422p10le", 270) == "yuv444p10le"
    assert upright_format("yuv422p", 180) == "yuv422p"


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p10le"])
def test_turning_planes_is_turning_the_picture(pixel_format, rotation):
    frame = noisy(pixel_format, (48, 32))
    turned = turn_upright(frame, rotation, BT709)
    for old, new in zip(planes_of(frame), planes_of(turned), strict=True):
        np.testing.assert_array_equal(np.rot90(old, rotation // 90), new)
    np.testing.assert_array_equal(to_rgb(turned, BT709), turn_image(to_rgb(frame, BT709), rotation))


def test_changed_box_is_tight_and_none_for_equal_pictures():
    before = np.zeros((20, 30, 3), dtype=np.uint8)
    after = before.copy()
    assert changed_box(before, after) is None
    after[5, 7, 2] = 1
    after[9, 12, 0] = 1
    assert changed_box(before, after) == (7, 5, 13, 10)
    # Compared only in a part.
    assert changed_box(before, after, (8, 6, 30, 20)) == (12, 9, 13, 10)
    assert changed_box(before, after, (0, 0, 7, 20)) is None


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le", "gbrp"]
)
@pytest.mark.parametrize("size", [(50, 38), (51, 39)])
@pytest.mark.parametrize("box", [(11, 9, 24, 20), (0, 0, 50, 38), (36, 26, 50, 38)])
def test_paint_leaves_every_untouched_sample_exact_and_shows_the_new_picture(pixel_format, size, box):
    facts = ColourFacts(0, 1, 1, True, 0) if pixel_format == "gbrp" else BT709
    frame = noisy(pixel_format, size)
    original = [p.copy() for p in planes_of(frame)]
    before = to_rgb(frame, facts)
    after = before.copy()
    x0, y0, x1, y1 = box
    after[y0:y1, x0:x1] = (150, 110, 90)
    write_changes(frame, before, after, box, facts)
    changed = (before != after).any(axis=2)
    for old, new in zip(original, planes_of(frame), strict=True):
        step_y, step_x = -(-size[1] // old.shape[0]), -(-size[0] // old.shape[1])
        rows, columns = np.nonzero(old != new)
        touched = {(y // step_y, x // step_x) for y, x in zip(*np.nonzero(changed), strict=True)}
        assert set(zip(rows.tolist(), columns.tolist(), strict=True)) <= touched
    # Four pixels in, where no noisy neighbour is mixed into the chroma any more.
    inner = np.s_[y0 + 4 : y1 - 4, x0 + 4 : x1 - 4]
    assert np.abs(to_rgb(frame, facts)[inner].astype(int) - after[inner]).max() <= 3


def test_fading_changes_of_a_ten_bit_video_keep_their_fine_steps():
    # A gradient of a quarter of an 8-bit level per pixel, made one 8-bit level brighter: with plain rounding the
    # result would be stairs of four pixels; the rest that is added back keeps the gradient.
    frame = av.VideoFrame(64, 16, "yuv444p10le")
    luma, blue, red = planes_of(frame)
    luma[...] = 400 + np.arange(64)
    blue[...] = red[...] = 512
    before = to_rgb(frame, BT709)
    write_changes(frame, before, before + np.uint8(1), (0, 0, 64, 16), BT709)
    steps = np.diff(planes_of(frame)[0][8].astype(int))
    assert steps.max() <= 3
    assert (steps == 0).mean() < 0.35
    plain = np.diff(planes_of(from_rgb(before + np.uint8(1), "yuv444p10le", BT709))[0][8].astype(int))
    assert (plain == 0).mean() > 0.5
