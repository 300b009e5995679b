"""What can be asked of a video beside what can be asked of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Interval

from hififace.errors import OptionError
from hififace.option_fields import check
from hififace.swap.precision import WantedPrecision
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

    start_s: Annotated[float, Interval(ge=0, le=1e6)] | None = None
    """Begin so many seconds after the video's beginning."""
    end_s: Annotated[float, Interval(ge=0, le=1e6)] | None = None
    """End so many seconds after the video's beginning."""
    preview_s: Annotated[float, Interval(gt=0, le=1e6)] | None = None
    """Only so many seconds, from where it begins."""
    fps: Annotated[Fraction, Interval(ge=LOWEST_RATE, le=HIGHEST_RATE)] | None = None
    """An even frame rate; unset, every time stamp of the video is kept. Sound is untouched."""
    tone_map: bool = False
    """Convert HDR to SDR (BT.709) instead of refusing it."""
    codec: str | None = None
    """Codec instead of the video's own: h264, hevc, vp9, av1."""
    crf: Annotated[float, Interval(gt=0, le=255)] | None = None
    """Constant quality of the encoder, lower is better; unset, visually lossless."""
    preset: str | None = None
    """The encoder's own speed preset; slower ones make smaller files."""
    precision: WantedPrecision = "auto"
    """Arithmetic of the generator: auto takes int8 where this processor was measured to be faster at it."""
    smooth: bool = True
    """Steady faces over time."""
    smoothing: SmoothingOptions = field(default_factory=SmoothingOptions)
    """How strongly their places are."""
    mask_smoothing: MaskSmoothingOptions = field(default_factory=MaskSmoothingOptions)
    """How strongly their masks are."""
    detect_every: Annotated[int, Interval(ge=1, le=1000)] = 2
    """Look for new faces every N frames; between, known faces are followed."""
    segment_frames: Annotated[int, Interval(ge=1)] = 240
    """Most frames that a killed run has to do again; a multiple of the group size."""
    work_folder: Path | None = None
    """Where unfinished work is kept; None: beside the result, in a hidden folder."""

    def __post_init__(self) -> None:
        check(self)
        if self.segment_frames % FRAMES_PER_GROUP:
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
