"""Options that only videos have."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Interval

from hififace.errors import OptionError
from hififace.media.hardware import EncoderChoice
from hififace.option_fields import check
from hififace.swap.precision import WantedPrecision
from hififace.video.mask_smoothing import MaskSmoothingOptions
from hififace.video.smoothing import SmoothingOptions

FRAMES_PER_GROUP = 4
"""Frames whose faces are generated in one run of the network. A fixed number, not "as many as are there": batches of
other sizes round otherwise, and a resumed run must give the same bytes as an uninterrupted one."""


LOWEST_RATE, HIGHEST_RATE = Fraction(1, 100), Fraction(1000)
"""Range of `fps`, in frames per second: time lapse to high speed."""


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """How to read, track, smooth and encode a video. Immutable.

    Raises:
        OptionError: a value is out of its range; the message names it.
    """

    start_s: Annotated[float, Interval(ge=0, le=1e6)] | None = None
    """Start of the part to swap, in seconds from the beginning of the video."""
    end_s: Annotated[float, Interval(ge=0, le=1e6)] | None = None
    """End of the part to swap, in seconds from the beginning of the video."""
    preview_s: Annotated[float, Interval(gt=0, le=1e6)] | None = None
    """Swap only this many seconds, from the start of the part."""
    fps: Annotated[Fraction, Interval(ge=LOWEST_RATE, le=HIGHEST_RATE)] | None = None
    """Constant frame rate of the result; default: every time stamp of the video is kept. Sound is unchanged."""
    tone_map: bool = True
    """Convert HDR to SDR (BT.709), and say so in a note; otherwise HDR is refused."""
    codec: str | None = None
    """Video codec of the result: h264, hevc, vp9 or av1; default: the video's own."""
    crf: Annotated[float, Interval(gt=0, le=255)] | None = None
    """Constant rate factor of the encoder, lower is better; default: visually lossless."""
    preset: str | None = None
    """Speed preset of the encoder, such as slow; slower presets make smaller files."""
    encoder: EncoderChoice = "software"
    """Kind of encoder; auto uses hardware (NVENC, VideoToolbox, Quick Sync, AMF) where it works, and says which."""
    precision: WantedPrecision = "auto"
    """Arithmetic of the generator; auto uses what was measured to be the fastest on this machine."""
    smooth: bool = True
    """Smooth the positions and masks of faces over time."""
    smoothing: SmoothingOptions = field(default_factory=SmoothingOptions)
    """Strength of the smoothing of positions."""
    mask_smoothing: MaskSmoothingOptions = field(default_factory=MaskSmoothingOptions)
    """Strength of the smoothing of masks."""
    detect_every: Annotated[int, Interval(ge=1, le=1000)] = 2
    """Detect faces every N frames; in between, known faces are tracked."""
    segment_frames: Annotated[int, Interval(ge=1)] = 240
    """Frames per segment, the most that an interrupted run repeats; a multiple of the group size."""
    work_folder: Path | None = None
    """Folder of unfinished work, from which a run resumes; None: a hidden folder beside the result."""

    def __post_init__(self) -> None:
        check(self)
        if self.segment_frames % FRAMES_PER_GROUP:
            raise OptionError(
                f"segment_frames is {self.segment_frames}; a multiple of {FRAMES_PER_GROUP} was expected."
            )

    @property
    def last_s(self) -> float | None:
        """End of the part to swap, in seconds from the beginning of the video: `end_s`, or sooner for a preview."""
        if self.preview_s is None:
            return self.end_s
        end = (self.start_s or 0.0) + self.preview_s
        return end if self.end_s is None else min(end, self.end_s)

    def decisive(self) -> dict[str, Any]:
        """Everything that changes the result, as strings: a run can resume the work of another with equal ones."""
        names = [n for n in self.__dataclass_fields__ if n != "work_folder"]
        return {name: repr(getattr(self, name)) for name in names}
