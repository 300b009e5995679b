"""How finely a result is encoded: as finely as can be seen, but not far beyond what its target's own bits are worth.

An encoder at constant quality spends most of its bits on a modest video on keeping that video's coding noise (measured:
a result 5.9 times as large as its H.264 target of CRF 30). So a few stretches of the video are encoded on trial. Where
the usual quality takes more than `_MOST` times the target's bits, a slower preset, which needs about half the bits for
the same quality, and the constant quality whose bits come to `_AIM` times the target's are chosen.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Final

import av
import numpy as np

from hififace.media.encoding import EncodeSettings, open_encoder
from hififace.media.frames import Frame
from hififace.media.video import VideoReader

_MOST: Final = 1.5
_AIM: Final = 1.35
_STRETCHES: Final = 3
_FRAMES: Final = 8
"""Frames of each stretch, 24 in all: enough for motion to show. Trials are work for nothing on a short video."""

_NEAR: Final = 3.0
"""A first guess so near the trial that it comes from is not tried itself."""

_MOST_PIXELS: Final = 100_000_000
"""Of all these frames together, which are kept until the last trial: 150 MB at 8 bits; fewer frames at 4K."""

_COARSEST: Final = {"libx264": 28.0, "libx265": 30.0, "libvpx-vp9": 42.0, "libvpx": 30.0, "libsvtav1": 42.0}
"""Beyond, the encoder would add faults of its own to those of the target."""

_HALVING: Final = {"libx264": 6.0, "libx265": 6.0, "libvpx-vp9": 9.0, "libvpx": 9.0, "libsvtav1": 9.0}
"""By how much the constant quality rises when the bits are to halve: for a first guess."""

_SMALLER: Final = {"libx264": {"preset": "veryfast"}}
"""What makes smaller files of the same quality, and takes longer."""


def fit_to_target(
    settings: EncodeSettings, reader: VideoReader, *, keep_preset: bool = False
) -> EncodeSettings:
    """The settings with a quality that the target's bits are worth; unchanged where they are.

    Args:
        settings: with a constant quality ("crf") that was not asked for by the user.
        reader: the target.
        keep_preset: the preset was asked for.
    """
    if "crf" not in settings.options or settings.encoder not in _COARSEST:
        return settings
    stretches = _stretches(reader)
    own = sum(size * len(frames) for frames, size in stretches)
    if not own:
        return settings
    finest = float(settings.options["crf"])
    if _bytes(stretches, settings) <= _MOST * own:
        return settings
    slower = {} if keep_preset else _SMALLER.get(settings.encoder, {})
    smaller = replace(settings, options=settings.options | slower)
    halving = _HALVING[settings.encoder]
    first = finest + halving / 2
    spent = _bytes(stretches, _with_crf(smaller, first)) / own
    guess = _limited(settings.encoder, finest, first + halving * math.log2(spent / _AIM))
    if abs(guess - first) <= _NEAR:
        return _with_crf(smaller, guess)
    again = _bytes(stretches, _with_crf(smaller, guess)) / own
    if again != spent:
        # Between the two trials, or not far outside: there the logarithm of the bits is a straight line.
        slope = (math.log2(again) - math.log2(spent)) / (guess - first)
        if slope < 0:
            guess = _limited(settings.encoder, finest, first + (math.log2(_AIM) - math.log2(spent)) / slope)
    return _with_crf(smaller, guess)


def _stretches(reader: VideoReader) -> list[tuple[list[Frame], float]]:
    """Frames from the beginning, the middle and before the end of what is wanted, with their size in the target."""
    info = reader.info
    begin = info.start_s if reader.span.start_s is None else reader.span.start_s
    end = reader.span.end_s
    if end is None:
        end = begin if info.duration_s is None else info.zero_s + info.duration_s
    length = max(end - begin, Fraction(0))
    each = max(min(_FRAMES, _MOST_PIXELS // (info.width * info.height * _STRETCHES)), 4)
    alone = not info.has_display_times or info.may_restart or length * info.rate <= _STRETCHES * each
    if alone:
        wanted = math.ceil(length * info.rate) or _STRETCHES * each
        return [reader.sample(begin, min(wanted, _STRETCHES * each))]
    found: list[tuple[list[Frame], float]] = []
    for place in range(_STRETCHES):
        frames, size = reader.sample(begin + length * place / _STRETCHES, each)
        # They begin with key frames: where these are rare, it is the same stretch again.
        if not any(_is_same(frames, size, *other) for other in found):
            found.append((frames, size))
    return found


def _is_same(frames: list[Frame], size: float, others: list[Frame], other_size: float) -> bool:
    if size != other_size or len(frames) != len(others):
        return False
    pairs = zip(frames, others, strict=True)
    return all(np.array_equal(one.thumbnail(), other.thumbnail()) for one, other in pairs)


def _bytes(stretches: list[tuple[list[Frame], float]], settings: EncodeSettings) -> float:
    """What the stretches take, encoded with these settings."""
    total = 0.0
    for frames, _ in stretches:
        if not frames:
            continue
        context = open_encoder(replace(settings, time_base=frames[0].time_base))
        packets: list[av.Packet[av.VideoStream]] = []
        for frame in frames:
            packets += context.encode(frame.image(settings.pixel_format, settings.colour))
        packets += context.encode(None)
        moving = [packet.size for packet in packets if not packet.is_keyframe]
        sizes = moving or [packet.size for packet in packets]
        total += len(frames) * sum(sizes) / max(len(sizes), 1)
    return total


def _with_crf(settings: EncodeSettings, crf: float) -> EncodeSettings:
    return replace(settings, options=settings.options | {"crf": f"{crf:g}"})


def _limited(encoder: str, finest: float, crf: float) -> float:
    """In steps of a half, within what makes sense."""
    return round(2 * min(max(crf, finest), _COARSEST[encoder])) / 2
