"""What can be asked of a video beside what can be asked of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from hififace.errors import OptionError
from hififace.video.mask_smoothing import MaskSmoothingOptions
from hififace.video.smoothing import SmoothingOptions

FRAMES_PER_GROUP = 4
"""Frames whose faces are generated in one run of the network. A fixed number, not "as many as are there": batches of
other sizes round otherwise, and a resumed run must give the same bytes as an uninterrupted one."""


LOWEST_RATE, HIGHEST_RATE = Fraction(1, 100), Fraction(1000)
"""Frames per second that a result may be asked to have: time lapse to high speed."""


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """How to swap a video. Checked when made.

    Raises:
        OptionError: a value out of its range; the sentence names it.
    """

    start_s: float | None = None
    """Seconds after the beginning; the part before is left out."""
    end_s: float | None = None
    """Seconds after the beginning; the part behind is left out."""
    preview_s: float | None = None
    """Only so many seconds, from `start_s` on."""
    fps: Fraction | None = None
    """An even frame rate for the result; None keeps every time stamp of the video."""
    tone_map: bool = False
    """Turn HDR into SDR instead of refusing it."""
    codec: str | None = None
    """h264, hevc, vp9, av1, ... instead of the video's own."""
    crf: float | None = None
    """Constant quality of the encoder; None is visually lossless."""
    preset: str | None = None
    """The encoder's own speed preset."""
    smooth: bool = True
    """Steady faces over time."""
    smoothing: SmoothingOptions = field(default_factory=SmoothingOptions)
    """How strongly their places are."""
    mask_smoothing: MaskSmoothingOptions = field(default_factory=MaskSmoothingOptions)
    """How strongly their masks are."""
    detect_every: int = 2
    """Look for faces every N frames; between, known faces are followed. A new face is swapped at most so
    many frames less one late."""
    segment_frames: int = 240
    """Most frames that a killed run has to do again; a multiple of the group size."""
    work_folder: Path | None = None
    """Where unfinished work is kept; None: beside the result, in a hidden folder."""

    def __post_init__(self) -> None:
        for name in ("preview_s", "fps", "crf"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise OptionError(f"{name} is {value}; a number above 0 was expected.")
        for name in ("start_s", "end_s"):
            value = getattr(self, name)
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise OptionError(f"{name} is {value}; seconds from 0 were expected.")
        if self.fps is not None and not LOWEST_RATE <= self.fps <= HIGHEST_RATE:
            raise OptionError(f"fps is {self.fps}; a rate from {LOWEST_RATE} to {HIGHEST_RATE} was expected.")
        if self.detect_every < 1:
            raise OptionError(f"detect_every is {self.detect_every}; a whole number from 1 was expected.")
        if self.segment_frames < 1 or self.segment_frames % FRAMES_PER_GROUP:
            raise OptionError(
                f"segment_frames is {self.segment_frames}; a multiple of {FRAMES_PER_GROUP} was expected."
            )

    @property
    def last_s(self) -> float | None:
        """Where the result ends, in seconds after the video's beginning: `end_s`, or sooner for a preview."""
        if self.preview_s is None:
            return self.end_s
        end = (self.start_s or 0.0) + self.preview_s
        return end if self.end_s is None else min(end, self.end_s)

    def decisive(self) -> dict[str, Any]:
        """Everything that changes the result, as strings: two runs with equal ones can go on with each other's work."""
        names = [n for n in self.__dataclass_fields__ if n != "work_folder"]
        return {name: repr(getattr(self, name)) for name in names}
