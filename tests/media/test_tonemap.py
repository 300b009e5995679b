from __future__ import annotations

import av
import numpy as np
import pytest

from hififace.media.planes import planes_of
from hififace.media.tonemap import KNEE, PEAK_NITS, REFERENCE_WHITE_NITS, bend, tone_map
from hififace.media.video_colour import ColourFacts

PQ = ColourFacts(9, 9, 16, False, 9)
HLG = ColourFacts(9, 9, 18, False, 9)


def pq_code(nits):
    """ST 2084 inverse EOTF, 0..1, straight from the standard."""
    y = (nits / 10000.0) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)


def grey(code):
    """A 10-bit limited-range frame of one grey."""
    frame = av.VideoFrame(16, 16, "yuv420p10le")
    for plane, value in zip(planes_of(frame), (round(64 + 876 * code), 512, 512), strict=True):
        plane[...] = value
    return frame


@pytest.mark.parametrize("nits", [1.0, 10.0, 50.0, 100.0, 150.0])
def test_pq_light_below_the_knee_keeps_its_share_of_white(nits):
    image = tone_map(grey(pq_code(nits)), PQ)
    expected = 255 * (nits / REFERENCE_WHITE_NITS) ** (1 / 2.4)
    assert np.abs(image.astype(int) - expected).max() <= 3


def test_brighter_than_white_is_bent_not_cut():
    light = np.linspace(0, PEAK_NITS / REFERENCE_WHITE_NITS, 1000, dtype=np.float32)
    bent = bend(light)
    assert (np.diff(bent) > 0).all()
    np.testing.assert_allclose(bent[light <= KNEE], light[light <= KNEE])
    assert bent[-1] == pytest.approx(1.0, abs=1e-5)
    # No corner at the knee: the slope begins at 1.
    at = int(np.argmax(light > KNEE))
    assert (bent[at + 1] - bent[at]) / (light[at + 1] - light[at]) == pytest.approx(1.0, abs=0.05)


def test_hlg_white_is_white_and_black_is_black():
    # BT.2408: 75 % HLG is reference white, 203 cd/m2 on the 1000 cd/m2 display.
    white = tone_map(grey(0.75), HLG)
    pq_white = tone_map(grey(pq_code(REFERENCE_WHITE_NITS)), PQ)
    assert np.abs(white.astype(int) - pq_white).max() <= 3
    assert tone_map(grey(0.0), HLG).max() <= 2


def test_greys_stay_grey_and_colours_keep_their_order():
    image = tone_map(grey(0.6), PQ).astype(int)
    assert np.ptp(image, axis=2).max() <= 2
    frame = grey(0.5)
    planes_of(frame)[2][...] = 600
    red = tone_map(frame, PQ)[8, 8].astype(int)
    assert red[0] > red[1] + 20


def test_an_ordinary_frame_is_a_programmers_mistake():
    with pytest.raises(ValueError, match="PQ or HLG"):
        tone_map(grey(0.5), ColourFacts(1, 1, 1, False, 1))
