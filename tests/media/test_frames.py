from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from hififace.media.frames import Frame, FrameFacts, luma_thumbnail
from hififace.media.planes import planes_of
from hififace.media.video_colour import SDR_BT709, ColourFacts, from_rgb, to_rgb

BT709 = ColourFacts(1, 1, 1, False, 1)


def video_frame(pixel_format="yuv420p", size=(48, 32), rotation=0, colour=BT709, seed=3):
    raw = av.VideoFrame(*size, pixel_format)
    rng = np.random.default_rng(seed)
    unit = 4 if "10" in pixel_format else 1
    for plane in planes_of(raw):
        plane[...] = rng.integers(80 * unit, 170 * unit, plane.shape)
    frame = Frame(
        raw, FrameFacts(colour, rotation), index=4, pts=4004, time_base=Fraction(1, 30000), duration=1001
    )
    return raw, frame


def test_an_unchanged_frame_reaches_the_encoder_as_the_decoder_left_it():
    raw, frame = video_frame()
    raw.pict_type = 1
    image = frame.image("yuv420p", BT709)
    assert image is raw
    assert image.pts == 4004
    assert image.time_base == Fraction(1, 30000)
    # A decoded "I" would order the encoder to make a key frame here.
    assert image.pict_type == 0
    assert frame._rgb is None


def test_rgb_is_made_once_and_cannot_be_scribbled_on():
    _, frame = video_frame()
    assert frame.rgb() is frame.rgb()
    with pytest.raises(ValueError, match="read-only"):
        frame.rgb()[0, 0] = 0


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_small_picture_is_the_upright_one_shrunk_and_leaves_no_large_one(rotation):
    raw = from_rgb(
        np.repeat(np.linspace(40, 220, 48, dtype=np.uint8)[None, :, None], 32, 0).repeat(3, 2),
        "yuv420p",
        BT709,
    )
    frame = Frame(raw, FrameFacts(BT709, rotation), index=0, pts=0, time_base=Fraction(1, 25))
    size = (16, 24) if rotation else (24, 16)
    small = frame.small_rgb(*size)
    assert small.shape == (size[1], size[0], 3)
    assert frame._rgb is None
    large = frame.rgb().astype(int)
    wanted = large.reshape(size[1], 2, size[0], 2, 3).mean(axis=(1, 3))
    assert np.abs(small - wanted).max() < 3


def test_a_changed_frame_keeps_its_time_and_all_untouched_samples():
    raw, frame = video_frame("yuv420p10le")
    before = [p.copy() for p in planes_of(raw)]
    image = frame.rgb().copy()
    image[10:20, 8:24] = 200
    changed = frame.with_rgb(image)
    assert changed.is_changed
    assert not frame.is_changed
    picture = changed.image("yuv420p10le", BT709)
    assert (picture.pts, changed.index, changed.duration) == (4004, 4, 1001)
    for old, now, new in zip(before, planes_of(raw), planes_of(picture), strict=True):
        np.testing.assert_array_equal(old, now)
        assert 0 < (old != new).mean() < 0.3
    seen = to_rgb(picture, BT709)
    assert np.abs(seen[13:17, 12:20].astype(int) - 200).max() <= 3


def test_two_changes_add_up():
    _, frame = video_frame()
    once = frame.rgb().copy()
    once[0:8, 0:8] = 200
    first = frame.with_rgb(once)
    twice = once.copy()
    twice[20:28, 30:38] = 60
    image = first.with_rgb(twice, (30, 20, 38, 28)).image("yuv420p", BT709)
    seen = to_rgb(image, BT709).astype(int)
    assert np.abs(seen[2:6, 2:6] - 200).max() <= 3
    assert np.abs(seen[22:26, 32:36] - 60).max() <= 3


def test_the_same_picture_again_is_no_change():
    raw, frame = video_frame()
    same = frame.with_rgb(frame.rgb().copy())
    assert not same.is_changed
    assert same.image("yuv420p", BT709) is raw


def test_a_picture_of_another_size_is_refused():
    _, frame = video_frame()
    with pytest.raises(ValueError, match=r"\(32, 48, 3\)"):
        frame.with_rgb(np.zeros((31, 48, 3), dtype=np.uint8))


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("changed", [False, True])
def test_a_turned_video_is_seen_and_written_upright(rotation, changed):
    raw, frame = video_frame("yuv444p", rotation=rotation)
    expected = np.rot90(to_rgb(raw, BT709), rotation // 90)
    assert frame.size == (expected.shape[1], expected.shape[0])
    np.testing.assert_array_equal(frame.rgb(), expected)
    if changed:
        image = frame.rgb().copy()
        image[4:12, 4:12] = 128
        frame, expected = frame.with_rgb(image), image
    picture = frame.image("yuv444p", BT709)
    assert np.abs(to_rgb(picture, BT709).astype(int) - expected).max() <= 3


def test_full_range_frames_under_their_old_name_keep_their_numbers():
    facts = ColourFacts(6, 1, 1, True, 6)
    raw, frame = video_frame("yuvj420p", colour=facts)
    image = frame.image("yuv420p", facts)
    assert image.format.name == "yuv420p"
    for old, new in zip(planes_of(raw), planes_of(image), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_rgb_video_for_a_yuv_encoder_goes_through_its_new_tags():
    raw, frame = video_frame("gbrp", colour=ColourFacts(0, 1, 1, True, 0))
    image = frame.image("yuv444p", SDR_BT709)
    expected = to_rgb(raw, ColourFacts(0, 1, 1, True, 0)).astype(int)
    assert np.abs(to_rgb(image, SDR_BT709) - expected).max() <= 2
    assert image.colorspace == 1


def test_thumbnails_average_brightness_whatever_the_format():
    image = np.zeros((64, 96, 3), dtype=np.uint8)
    image[:, 48:] = 255
    for name, low, high in (
        ("yuv420p", 16, 235),
        ("yuv420p10le", 16, 235),
        ("nv12", 16, 235),
        ("rgb24", 0, 255),
    ):
        raw = from_rgb(image, name, BT709)
        small = luma_thumbnail(raw, 8, 4)
        assert small.shape == (4, 8)
        assert np.abs(small[:, :3].astype(int) - low).max() <= 1, name
        assert np.abs(small[:, 5:].astype(int) - high).max() <= 1, name


def test_a_moved_twin_shares_the_picture():
    raw, frame = video_frame()
    twin = frame.moved(index=9, pts=7, time_base=Fraction(1, 15), duration=1)
    assert (twin.index, twin.pts, twin.time_s) == (9, 7, Fraction(7, 15))
    assert twin.image("yuv420p", BT709) is raw
    assert frame.pts == 4004
