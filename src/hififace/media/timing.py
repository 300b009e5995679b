"""Time without counting: which moments of a video become frames of the result, in exact fractions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from hififace.errors import OptionError
from hififace.media.frames import Frame


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a video that is wanted, on the video's own clock; None means from its start, to its end."""

    start_s: Fraction | None = None
    end_s: Fraction | None = None

    @classmethod
    def after(cls, zero_s: Fraction, start: float | Fraction | None, end: float | Fraction | None) -> Span:
        """A span given in seconds after the video's beginning (what people type), `zero_s` on its clock.

        Raises:
            OptionError: negative, or an end that is not after the start.
        """
        first = None if start is None else Fraction(start).limit_denominator(1_000_000)
        last = None if end is None else Fraction(end).limit_denominator(1_000_000)
        if first is not None and first < 0:
            raise OptionError(
                f"--start is {float(first):g} s; expected 0 or more seconds after the beginning."
            )
        if last is not None and last <= (first or 0):
            raise OptionError(
                f"--end is {float(last):g} s; expected more than --start, {float(first or 0):g} s."
            )
        return cls(None if not first else zero_s + first, None if last is None else zero_s + last)


@dataclass(frozen=True, slots=True)
class Place:
    """The last frame that is safely written: after which a stopped run resumes."""

    index: int
    pts: int
    """In the time base of the sequence being made."""


def tick_base(origin_s: Fraction, rate: Fraction) -> Fraction:
    """The coarsest time base in which `origin_s` and every tick of `rate` are whole numbers."""
    return Fraction(1, math.lcm(origin_s.denominator, rate.numerator))


def retime(
    frames: Iterator[Frame], rate: Fraction, origin_s: Fraction, first_index: int = 0
) -> Iterator[Frame]:
    """Frames at an even rate: at each tick the one that the video shows then, repeated or left out as needed.

    Sound needs no change, because no moment moves: tick k lies at origin_s + k / rate on the video's clock.
    A frame counts as shown one unit of its time base early (at most a quarter of a tick), so that the rounding of
    coarse clocks (Matroska's milliseconds) does not make frames repeat.

    Args:
        frames: in order of time, with durations, starting at or before the first tick wanted.
        rate: ticks per second, exact.
        origin_s: time of tick 0.
        first_index: the first tick wanted.
    """
    base = tick_base(origin_s, rate)
    step, zero = int(1 / rate / base), int(origin_s / base)
    index = first_index
    current: Frame | None = None

    def early(frame: Frame) -> Fraction:
        return min(frame.time_base, 1 / (4 * rate))

    def tick(frame: Frame) -> Frame:
        return frame.moved(index=index, pts=zero + index * step, time_base=base, duration=step)

    for frame in frames:
        while current is not None and (zero + index * step) * base < frame.time_s - early(frame):
            yield tick(current)
            index += 1
        current = frame
    if current is None:
        return
    end = current.time_s + max(current.duration, 1) * current.time_base
    while (zero + index * step) * base < end - early(current):
        yield tick(current)
        index += 1
