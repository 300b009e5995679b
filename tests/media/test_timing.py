from __future__ import annotations

from fractions import Fraction

import av
import pytest

from hififace.errors import OptionError
from hififace.media.frames import Frame, FrameFacts
from hififace.media.timing import Span, retime, tick_base
from hififace.media.video_colour import ColourFacts

FACTS = FrameFacts(ColourFacts(1, 1, 1, False, 1), 0)


def frames(stamps, base, last_duration):
    raws = [av.VideoFrame(16, 16, "yuv420p") for _ in stamps]
    ends = [*stamps[1:], stamps[-1] + last_duration]
    return [
        Frame(raw, FACTS, index=i, pts=pts, time_base=base, duration=end - pts)
        for i, (raw, pts, end) in enumerate(zip(raws, stamps, ends, strict=True))
    ]


def shown(given, result):
    """Which of the given frames each result shows."""
    by_raw = {id(f._raw): i for i, f in enumerate(given)}
    return [by_raw[id(f._raw)] for f in result]


def test_half_the_rate_takes_every_other_frame_at_its_own_moment():
    given = frames([i * 1001 for i in range(10)], Fraction(1, 30000), 1001)
    result = list(retime(iter(given), Fraction(15000, 1001), Fraction(0)))
    assert shown(given, result) == [0, 2, 4, 6, 8]
    assert [f.time_s for f in result] == [Fraction(2 * k * 1001, 30000) for k in range(5)]
    assert [f.index for f in result] == list(range(5))


def test_double_the_rate_repeats_frames():
    given = frames([0, 1, 2], Fraction(1, 25), 1)
    assert shown(given, retime(iter(given), Fraction(50), Fraction(0))) == [0, 0, 1, 1, 2, 2]


def test_variable_rate_shows_at_each_tick_what_the_video_shows():
    given = frames([0, 10, 500, 510, 900], Fraction(1, 1000), 100)
    result = list(retime(iter(given), Fraction(10), Fraction(0)))
    assert shown(given, result) == [0, 1, 1, 1, 1, 2, 3, 3, 3, 4]
    assert [f.time_s for f in result] == [Fraction(k, 10) for k in range(10)]


def test_milliseconds_of_matroska_do_not_make_frames_repeat():
    rate = Fraction(30000, 1001)
    given = frames([round(1000 * i / rate) for i in range(300)], Fraction(1, 1000), 33)
    assert shown(given, retime(iter(given), rate, Fraction(0))) == list(range(300))


def test_ticks_can_begin_anywhere_and_go_on_in_the_middle():
    given = frames([0, 40, 80, 120, 160], Fraction(1, 1000), 40)
    origin = Fraction(1, 100)
    whole = list(retime(iter(given), Fraction(50), origin))
    later = list(retime(iter(given[2:]), Fraction(50), origin, first_index=4))
    assert [f.pts for f in later] == [f.pts for f in whole[4:]]
    assert shown(given, later) == shown(given, whole)[4:]


def test_tick_base_holds_origin_and_ticks_exactly():
    base = tick_base(Fraction(7, 1000), Fraction(24000, 1001))
    assert (Fraction(7, 1000) / base).denominator == 1
    assert (Fraction(1001, 24000) / base).denominator == 1


def test_no_frames_give_no_frames():
    assert list(retime(iter([]), Fraction(25), Fraction(0))) == []


def test_spans_are_told_from_the_beginning_of_the_video():
    assert Span.after(Fraction(7, 5), None, None) == Span(None, None)
    assert Span.after(Fraction(7, 5), 0.0, 2.0) == Span(None, Fraction(17, 5))
    assert Span.after(Fraction(0), 0.5, None) == Span(Fraction(1, 2), None)
    for start, end, words in ((-1, None, "0 or more"), (2, 1, "more than --start"), (None, 0, "more than")):
        with pytest.raises(OptionError, match=words):
            Span.after(Fraction(0), start, end)
