from __future__ import annotations

import av
import numpy as np
import pytest

from hififace.media.planes import planes_of
from hififace.media.video_colour import (
    SDR_BT709,
    ColourFacts,
    colour_facts,
    from_rgb,
    plane_matrix,
    result_colour,
    to_rgb,
    to_rgb48,
)

# Kr and Kb of each H.273 matrix (BT.601, 709, 2020 and SMPTE 240M).
WEIGHTS = {6: (0.299, 0.114), 5: (0.299, 0.114), 1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 7: (0.212, 0.087)}


def exact_rgb(planes, matrix, full, bits):
    """The standards' formulas in floating point, 0..255, not clipped."""
    unit = 2.0 ** (bits - 8)
    luma, blue, red = (p.astype(np.float64) for p in planes)
    blue, red = blue - 128 * unit, red - 128 * unit
    if full:
        top = 2.0**bits - 1
        luma, blue, red = luma / top, blue / top, red / top
    else:
        luma, blue, red = (luma - 16 * unit) / (219 * unit), blue / (224 * unit), red / (224 * unit)
    kr, kb = WEIGHTS[matrix]
    r = luma + 2 * (1 - kr) * red
    b = luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return 255 * np.stack([r, g, b], axis=-1)


def random_frame(pixel_format, bits, seed=0):
    frame = av.VideoFrame(64, 48, pixel_format)
    unit = 2 ** (bits - 8)
    rng = np.random.default_rng(seed)
    for plane in planes_of(frame):
        plane[...] = rng.integers(60 * unit, 190 * unit, plane.shape)
    return frame


@pytest.mark.parametrize("matrix", sorted(WEIGHTS))
@pytest.mark.parametrize("full", [False, True])
def test_444_matches_the_standards_formula_and_comes_back_within_one_level(matrix, full):
    frame = random_frame("yuv444p", 8)
    facts = ColourFacts(matrix, 1, 1, full, matrix)
    rgb = to_rgb(frame, facts)
    wanted = exact_rgb(planes_of(frame), matrix, full, 8)
    inside = ((wanted >= 0) & (wanted <= 255)).all(axis=-1)
    assert inside.mean() > 0.5
    assert np.abs(rgb - wanted)[inside].max() <= 1.0
    back = from_rgb(rgb, "yuv444p", facts)
    for old, new in zip(planes_of(frame), planes_of(back), strict=True):
        assert np.abs(old.astype(int) - new)[inside].max() <= 1


@pytest.mark.parametrize(("full", "levels"), [(False, 1.0), (True, 1.3)])
def test_ten_bits_are_read_with_their_own_scale(full, levels):
    frame = random_frame("yuv444p10le", 10)
    facts = ColourFacts(9, 9, 14, full, 9)
    wanted = exact_rgb(planes_of(frame), 9, full, 10)
    inside = ((wanted >= 0) & (wanted <= 255)).all(axis=-1)
    assert np.abs(to_rgb(frame, facts) - wanted)[inside].max() <= levels
    # The 16-bit image keeps what 8 bits cannot hold.
    assert np.abs(to_rgb48(frame, facts) / 257.0 - wanted)[inside].max() <= levels


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p"])
def test_smooth_colours_survive_halved_chroma(pixel_format):
    rgb = np.empty((48, 64, 3), dtype=np.uint8)
    rgb[...] = (np.linspace(60, 200, 64)[None, :, None] * (1.0, 0.8, 0.6)).astype(np.uint8)
    facts = ColourFacts(1, 1, 1, False, 1)
    back = to_rgb(from_rgb(rgb, pixel_format, facts), facts)
    # Chroma is shared by two neighbours here: a ramp of 2 levels per pixel is off by about one step.
    assert np.abs(back.astype(int) - rgb).max() <= 4


def test_the_wrong_matrix_would_be_seen():
    # Guards the guard: if BT.601 and BT.709 gave the same image, the tests above would prove nothing.
    frame = random_frame("yuv444p", 8)
    as_709 = to_rgb(frame, ColourFacts(1, 1, 1, False, 1)).astype(int)
    as_601 = to_rgb(frame, ColourFacts(6, 6, 6, False, 6))
    assert np.abs(as_709 - as_601).max() > 10


@pytest.mark.parametrize(
    ("size", "assumed"), [((720, 576), 6), ((1280, 720), 1), ((1024, 600), 1), ((96, 64), 6)]
)
def test_videos_without_tags_are_guessed_by_size_and_stay_without_tags(size, assumed):
    frame = av.VideoFrame(*size, "yuv420p")
    frame.colorspace = 2
    facts = colour_facts(frame)
    assert (facts.matrix, facts.primaries, facts.transfer, facts.full_range) == (2, 2, 2, None)
    assert facts.assumed_matrix == assumed
    assert not facts.is_full
    assert "assumed" in facts.describe()


def test_the_old_full_range_names_mean_full_range():
    assert colour_facts(av.VideoFrame(64, 48, "yuvj420p")).is_full


def test_result_colour_changes_only_where_it_must():
    video = ColourFacts(9, 9, 14, False, 9)
    assert result_colour(video, "yuv420p10le") == video
    assert result_colour(ColourFacts(9, 9, 16, False, 9), "yuv420p") == SDR_BT709
    rgb_video = ColourFacts(0, 1, 1, True, 0)
    assert result_colour(rgb_video, "gbrp") == rgb_video
    assert result_colour(rgb_video, "yuv444p") == SDR_BT709


def test_hdr_is_told_by_the_transfer_alone():
    assert ColourFacts(9, 9, 16, False, 9).hdr == "pq"
    assert ColourFacts(9, 9, 18, False, 9).hdr == "hlg"
    assert ColourFacts(9, 9, 14, False, 9).hdr is None


def test_rgb_videos_are_read_without_a_matrix():
    frame = av.VideoFrame(64, 48, "gbrp")
    for value, plane in zip((10, 20, 30), planes_of(frame), strict=True):
        plane[...] = value
    assert tuple(to_rgb(frame, colour_facts(frame))[0, 0]) == (30, 10, 20)


def test_deep_conversions_leave_no_row_unwritten():
    # FFmpeg 8's slice threads lose rows now and then (3 % of images of this size on two cores): 200 images
    # without a fault would happen by luck less than once in 400 runs.
    plain = np.full((38, 50, 3), (150, 110, 90), dtype=np.uint8)
    for _ in range(200):
        frame = from_rgb(plain, "yuv444p10le", ColourFacts(1, 1, 1, False, 1))
        assert all(np.ptp(plane) == 0 for plane in planes_of(frame))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 4, 6, 7, 9])
@pytest.mark.parametrize(("name", "bits"), [("yuv444p", 8), ("yuv444p10le", 10)])
def test_the_matrix_of_planes_is_that_of_the_conversion(name, bits, matrix, full):
    facts = ColourFacts(matrix, 1, 1, full, matrix)
    colours = np.random.default_rng(0).integers(0, 256, (40, 3))
    numbers = plane_matrix(facts, bits, name) @ np.column_stack([colours, np.ones(40)]).T
    for colour, wanted in zip(colours, numbers.T, strict=True):
        frame = from_rgb(np.broadcast_to(colour.astype(np.uint8), (16, 16, 3)), name, facts)
        found = [float(plane[8, 8]) for plane in planes_of(frame)]
        np.testing.assert_allclose(found, np.clip(wanted, 0, (1 << bits) - 1), atol=2.0 * (1 << (bits - 8)))
