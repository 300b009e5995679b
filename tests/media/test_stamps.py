from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import pytest

from hififace.media.stamps import CodingSlots, JoinedClock, climbing


def climbed(*stamps, step=40, far=10_000):
    """The stamps that frames come out with, and how many were not believed."""
    mended = []
    frames = (SimpleNamespace(pts=stamp) for stamp in stamps)
    out = [frame.pts for frame in climbing(frames, step, far, mended=lambda: mended.append(1))]
    return out, len(mended)


@pytest.mark.parametrize(
    ("stamps", "wanted", "num_mended"),
    [
        ([0, 40, 80, 120], [0, 40, 80, 120], 0),
        ([0, 7, 8, 500], [0, 7, 8, 500], 0),  # a variable rate is believed
        ([0, 40, None, 120], [0, 40, 80, 120], 1),
        ([0, 40, 40, 80], [0, 40, 60, 80], 1),  # one that stands still lies half-way
        ([0, 40, 10, 20, 160], [0, 40, 80, 120, 160], 2),
        ([None, 40], [0, 40], 1),
        ([0, 40, None], [0, 40, 80], 1),
        ([0, 40, 20_000, 120], [0, 40, 80, 120], 1),  # nothing behind it: a mistake
        ([0, 40, 20_000, 20_040], [0, 40, 20_000, 20_040], 0),  # a slide that stays: true
        ([0, 40, 20_000], [0, 40, 20_000], 0),
        ([], [], 0),
    ],
)
def test_stamps_that_climb_are_believed_and_the_others_lie_between_them(stamps, wanted, num_mended):
    assert climbed(*stamps) == (wanted, num_mended)


def test_a_clock_that_starts_again_goes_on_where_it_was():
    first = list(range(1000, 1400, 40))
    out, _ = climbed(*first, *first, *first)
    assert out == list(range(1000, 1000 + 40 * 30, 40))


def test_stamps_that_all_are_one_lose_no_frame():
    out, _ = climbed(*[5] * 30)
    assert out == list(range(5, 5 + 40 * 30, 40))


def packet(index, pts, dts, duration=3600, kind="video"):
    stream = SimpleNamespace(type=kind)
    base = Fraction(1, 90_000)
    return SimpleNamespace(
        stream_index=index, pts=pts, dts=dts, duration=duration, stream=stream, time_base=base
    )


def test_both_streams_of_a_joined_recording_move_by_one_amount():
    clock, out = JoinedClock(), []
    # Display runs 7200 behind decoding; the last sound of the first part comes after the picture of the second.
    part = [(0, 133200 + 3600 * i, 126000 + 3600 * i) for i in range(10)]
    sound = [(1, 132000 + 2400 * i, 132000 + 2400 * i) for i in range(15)]
    for index, pts, dts in [*part, *sound[:-1], part[0], sound[-1], *part[1:], *sound]:
        one = packet(index, pts, dts, 3600 if index == 0 else 2400, "video" if index == 0 else "audio")
        clock.mend(one)
        out.append((one.stream_index, one.pts))
    pictures = [pts for index, pts in out if index == 0]
    assert pictures == [133200 + 3600 * i for i in range(20)]
    heard = [pts for index, pts in out if index == 1]
    assert heard[:15] == [132000 + 2400 * i for i in range(15)]
    assert heard[15:] == [132000 + 36000 + 2400 * i for i in range(15)]


def test_a_small_step_back_or_ahead_begins_no_new_clock():
    clock = JoinedClock()
    stamps = [0, 3600, 3000, 7200, 400_000]
    out = []
    for stamp in stamps:
        one = packet(0, stamp, stamp)
        clock.mend(one)
        out.append(one.pts)
    assert out == stamps


def test_frames_take_the_slots_of_their_packets_in_order():
    slots = CodingSlots()
    out = []
    for number, gives in enumerate([0, 0, 1, 1, 1]):
        slots.feed(packet(0, None, number))
        out += [slots.take() for _ in range(gives)]
    out += [slots.take(), slots.take(), slots.take()]
    assert out == [0, 1, 2, 3, 4, None]


def test_a_packet_that_cannot_be_decoded_leaves_its_slot_empty():
    slots = CodingSlots()
    slots.feed(packet(0, None, 0))
    assert slots.take() == 0
    slots.feed(packet(0, None, 1))
    slots.lost()
    slots.feed(packet(0, None, 2))
    assert slots.take() == 2
