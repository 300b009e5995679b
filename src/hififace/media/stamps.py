"""Time stamps that can be believed: those that climb, on one clock, for every frame that decodes.

Three kinds of files lie about time. AVI stores none: FFmpeg makes stamps up from the order of coding, which is not
that of display where there are B-frames. Recordings put end to end start their clock again in the middle. And single
stamps of damaged files are missing, stand still, or run backwards. None of it costs a frame.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av

_JUMP_BACK_S = Fraction(1, 10)
_JUMP_AHEAD_S = 10
"""Decoding times of one stream that differ so much from what was expected begin a new clock; FFmpeg's own limits."""

_MAX_HELD = 8
"""Frames without a believable stamp that wait for the next believable one; more begin a clock of their own."""

_MAX_SLOTS = 64
"""Packets that a decoder keeps back at most: 16 of reordering, and one for each of its threads."""


class JoinedClock:
    """One clock for recordings put end to end (MPEG transport and program streams).

    All streams of the second recording move by one amount, so sound stays with its image: the stream that starts
    again first decides, and the others join it when they start again.
    """

    def __init__(self) -> None:
        self._shifts_s = [Fraction(0)]
        self._clock_of: dict[int, int] = {}
        self._expected_s: dict[int, Fraction] = {}
        self._end_s = Fraction(0)

    def mend(self, packet: av.Packet[Any]) -> None:
        """Move the stamps of a packet onto the clock; packets of all streams must pass, in the file's order."""
        base, index = packet.time_base, packet.stream_index
        if packet.stream.type not in ("video", "audio"):
            self._move(packet, self._shifts_s[-1])  # too sparse to tell by
            return
        clock = self._clock_of.setdefault(index, len(self._shifts_s) - 1)
        if packet.dts is not None:
            time_s, expected = packet.dts * base, self._expected_s.get(index)
            if expected is not None and not -_JUMP_BACK_S <= time_s - expected <= _JUMP_AHEAD_S:
                clock = self._clock_of[index] = clock + 1
                if clock == len(self._shifts_s):
                    shown = packet.pts if packet.pts is not None else packet.dts
                    self._shifts_s.append(self._end_s - shown * base)
            self._expected_s[index] = time_s + (packet.duration or 0) * base
        self._move(packet, self._shifts_s[clock])
        if packet.pts is not None:
            self._end_s = max(self._end_s, (packet.pts + (packet.duration or 0)) * base)

    @staticmethod
    def _move(packet: av.Packet[Any], shift_s: Fraction) -> None:
        units = round(shift_s / packet.time_base)
        if packet.pts is not None:
            packet.pts += units
        if packet.dts is not None:
            packet.dts += units


class CodingSlots:
    """Stamps for the frames of a file that has none: AVI gives each packet a slot, and no slot is left empty.

    Frames leave a decoder in order of display, so each takes the earliest slot of all packets that went in.
    """

    def __init__(self) -> None:
        self._slots: list[int] = []

    def feed(self, packet: av.Packet[Any]) -> None:
        """A packet goes into the decoder."""
        if packet.dts is not None:
            heapq.heappush(self._slots, packet.dts)
        if len(self._slots) > _MAX_SLOTS:
            heapq.heappop(self._slots)  # it held no frame

    def lost(self) -> None:
        """A packet could not be decoded: no frame will take its slot."""
        if self._slots:
            self._slots.remove(max(self._slots))
            heapq.heapify(self._slots)

    def take(self) -> int | None:
        """The stamp of the next frame out of the decoder; None where there are more frames than packets."""
        return heapq.heappop(self._slots) if self._slots else None


def climbing(
    frames: Iterator[av.VideoFrame],
    step: int,
    far: int,
    first: int = 0,
    mended: Callable[[], None] = lambda: None,
) -> Iterator[av.VideoFrame]:
    """All frames, with stamps that climb.

    A stamp that climbs is believed. Frames whose stamp is missing, stands still or runs back are spread evenly up to
    the next one that climbs; after `_MAX_HELD` of them the clock is taken to have started again where the last frame
    ended. A stamp `far` ahead is believed when the next one lies behind it.

    Args:
        frames: in order of display; their `pts` may be anything or None, and is changed in place.
        step: usual distance of two frames, in units of their time base.
        far: a distance that needs a witness, in the same units.
        first: for a first frame that has no stamp.
        mended: called for each frame whose stamp was not believed.
    """
    climber = _Climber(max(step, 1), far, first, mended)
    for frame in frames:
        yield from climber.take(frame)
    yield from climber.rest()


class _Climber:
    """What `climbing` remembers."""

    def __init__(self, step: int, far: int, first: int, mended: Callable[[], None]) -> None:
        self._step, self._far, self._first, self._mended = step, far, first, mended
        self._shift = 0
        self._last: int | None = None
        self._held: list[av.VideoFrame] = []

    def take(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """A frame out of the decoder; what can be passed on now."""
        if self._last is None:
            if frame.pts is None:
                frame.pts = self._first
                self._mended()
            self._last = frame.pts
            yield frame
            return
        stamp = self._own(frame)
        if stamp is not None:
            yield from self._witnessed(stamp)
        if stamp is not None and self._last + len(self._held) < stamp <= self._last + self._far:
            yield from self._spread(stamp)
            yield self._stamped(frame, stamp)
            return
        self._held.append(frame)
        if len(self._held) > _MAX_HELD:
            yield from self._begin_anew()

    def rest(self) -> Iterator[av.VideoFrame]:
        """What still waits when the video ends."""
        if self._last is not None:
            yield from self._witnessed(None)
            yield from self._spread(None)

    def _own(self, frame: av.VideoFrame) -> int | None:
        return None if frame.pts is None else frame.pts + self._shift

    def _stamped(self, frame: av.VideoFrame, stamp: int) -> av.VideoFrame:
        frame.pts = self._last = stamp
        return frame

    def _witnessed(self, stamp: int | None) -> Iterator[av.VideoFrame]:
        """The one frame that waits because it is far ahead, if the next lies behind it (or none comes)."""
        if len(self._held) != 1 or self._last is None:
            return
        ahead = self._own(self._held[0])
        if ahead is not None and self._last < ahead and (stamp is None or ahead < stamp):
            yield self._stamped(self._held.pop(), ahead)

    def _spread(self, until: int | None) -> Iterator[av.VideoFrame]:
        """Those that wait, evenly up to a stamp, or at the usual distance."""
        assert self._last is not None
        num = len(self._held)
        for place, frame in enumerate(self._held):
            gap = self._step if until is None else (until - self._last) // (num - place + 1)
            self._mended()
            yield self._stamped(frame, self._last + gap)
        self._held.clear()

    def _begin_anew(self) -> Iterator[av.VideoFrame]:
        """The stamps have started again: from here on they follow the last frame."""
        assert self._last is not None
        begin = next((stamp for one in self._held if (stamp := self._own(one)) is not None), None)
        if begin is not None:
            self._shift += self._last + self._step - begin
        for one in self._held:
            stamp = self._own(one)
            self._mended()
            climbs = stamp is not None and stamp > self._last
            yield self._stamped(one, stamp if climbs and stamp is not None else self._last + self._step)
        self._held.clear()
