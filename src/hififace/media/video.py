"""Reading a video frame by frame: exact time stamps, lazy images, and no giving up on damaged files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from hififace.errors import OptionError, VideoError
from hififace.media.frames import Frame, FrameFacts
from hififace.media.probe import VideoInfo, main_video, open_video, probe
from hififace.media.timing import Place, Span, retime, tick_base
from hififace.media.tonemap import refuse_hdr
from hififace.media.video_colour import reformat

_CUT_SHORT_S = 0.5
"""A video that ends this much before its declared end is called cut short (containers round a little)."""


@dataclass(slots=True)
class ReadProblems:
    """What was wrong with a video while it was read; all of it was survived."""

    damaged_frames: int = 0
    """Frames that the decoder had to guess in part."""
    lost_packets: int = 0
    """Packets that could not be decoded at all; the frame before is shown longer."""
    backward_frames: int = 0
    """Frames left out because their time stamp lies before one that was already shown."""
    resized_frames: int = 0
    """Frames of another size or format than the first, which were converted to it."""
    ends_at_s: float | None = None
    """Where the video broke off, in seconds after its beginning, if before its declared end."""
    declared_s: float | None = None

    def sentences(self) -> list[str]:
        """One sentence for each kind of problem; empty for a sound video."""
        said = []
        if self.lost_packets:
            said.append(
                f"{self.lost_packets} damaged packets could not be decoded; the frame before stays on."
            )
        if self.damaged_frames:
            said.append(f"{self.damaged_frames} frames are damaged in part; the decoder mended them.")
        if self.backward_frames:
            said.append(f"{self.backward_frames} frames whose time stamps run backwards were left out.")
        if self.resized_frames:
            said.append(f"{self.resized_frames} frames of another size or format were fitted to the first.")
        if self.ends_at_s is not None:
            said.append(
                f"The video breaks off at {self.ends_at_s:.2f} s of {self.declared_s or 0.0:.2f} s: it was cut "
                "short. Everything up to there was kept."
            )
        return said


class VideoReader:
    """A video as a sequence of frames.

    Iterating decodes from the beginning of the span; `frames(after=...)` goes on behind a frame that is
    already done. Both may be called again: each opens the file anew.

    Attributes:
        info: what the video is.
        problems: filled while frames are read.
        span: the part that is read, on the video's clock.
        time_base: seconds per unit of the frames' time stamps.
        rate: frames per second of the sequence (average, if variable).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        start_s: float | Fraction | None = None,
        end_s: float | Fraction | None = None,
        fps: Fraction | None = None,
        tone_map: bool = False,
        threads: int = 0,
    ) -> None:
        """Look at the video; nothing is decoded yet but its first frame.

        Args:
            path: the video.
            start_s: seconds after the beginning; the frame on screen then becomes the first.
            end_s: seconds after the beginning, exclusive.
            fps: an even frame rate to re-time to, exact; None keeps the video's own time stamps.
            tone_map: turn HDR into SDR instead of refusing it.
            threads: of the decoder, 0 for as many as there are cores.

        Raises:
            VideoError: it cannot be read, or is HDR without `tone_map`.
            OptionError: a span or rate that makes no sense for this video.
        """
        self.info: VideoInfo = probe(path)
        if self.info.hdr is not None and not tone_map:
            raise refuse_hdr(self.info.hdr)
        if fps is not None and not 0 < fps <= 1000:
            raise OptionError(
                f"--fps is {float(fps):g}; expected more than 0 and at most 1000 frames per second."
            )
        self._fps, self._threads = fps, threads
        self.problems = ReadProblems()
        zero = self.info.zero_s
        self.span = Span.after(zero, start_s, end_s)
        length = self.info.duration_s
        if self.span.start_s is not None and length is not None and self.span.start_s - zero >= length:
            raise OptionError(f"--start is behind the end: the video lasts {float(length):.2f} s.")
        self._facts = FrameFacts(self.info.colour, self.info.rotation_deg)
        self._origin_s = (
            self.info.start_s if self.span.start_s is None else max(self.info.start_s, self.span.start_s)
        )
        self.time_base = self.info.time_base if fps is None else tick_base(self._origin_s, fps)
        self.rate: Fraction = self.info.rate if fps is None else fps

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    @property
    def expected_frames(self) -> int | None:
        """About how many frames there will be: for progress bars, never for logic."""
        if self.info.duration_s is None:
            return self.info.num_frames
        begin = self.info.zero_s if self.span.start_s is None else self.span.start_s
        end = self.info.zero_s + self.info.duration_s
        if self.span.end_s is not None:
            end = min(end, self.span.end_s)
        return max(round((end - begin) * self.rate), 1)

    @property
    def shift_s(self) -> Fraction:
        """What is taken from all time stamps, of images and sound, so that the result begins at zero."""
        if self.span.start_s is None:
            return self.info.zero_s
        base = self.info.time_base
        return self._origin_s if self._fps is not None else -(-self.span.start_s // base) * base

    def frames(self, after: Place | None = None) -> Iterator[Frame]:
        """Frames in order of time.

        Args:
            after: go on behind this frame; its successor gets index `after.index + 1`.

        Raises:
            VideoError: not one frame can be decoded.
        """
        if self._fps is not None:
            first = 0 if after is None else after.index + 1
            moment = self._origin_s + first / self._fps
            yield from retime(self._own_frames(moment if first else None), self._fps, self._origin_s, first)
            return
        index = 0 if after is None else after.index + 1
        for frame in self._own_frames(None if after is None else after.pts * self.time_base):
            if after is not None and frame.pts <= after.pts:
                continue
            frame.index = index
            index += 1
            yield frame

    def _own_frames(self, moment: Fraction | None) -> Iterator[Frame]:
        """Frames with their own time stamps, from the one on screen at `moment` (or at the span's start)."""
        base = self.info.time_base
        begin = self.span.start_s
        if moment is None:
            moment = begin
        held: Frame | None = None
        any_shown = False
        for raw in self._decoded(moment):
            frame = Frame(
                raw,
                self._facts,
                index=0,
                pts=raw.pts if raw.pts is not None else 0,
                time_base=base,
                duration=int(raw.duration or 0),
                damaged=raw.is_corrupt,
            )
            if held is not None:
                held.duration = frame.pts - held.pts
                if moment is None or frame.time_s > moment:
                    yield self._clipped(held)
                    any_shown = True
            if self.span.end_s is not None and frame.time_s >= self.span.end_s:
                return
            held = frame
        if held is not None:
            held.duration = held.duration or int(1 / self.info.rate / base)
            yield self._clipped(held)
        elif not any_shown and moment is None:
            raise VideoError(
                f"{self.info.path}: not one frame of the video could be decoded; the file is damaged."
            )

    def _clipped(self, frame: Frame) -> Frame:
        """Cut what a frame shows before the span's start and after its end."""
        begin, end = self.span.start_s, self.span.end_s
        if begin is not None and frame.time_s < begin:
            pts = -int(-begin // frame.time_base)
            frame.duration -= pts - frame.pts
            frame.pts = pts
        if end is not None and (frame.pts + frame.duration) * frame.time_base > end:
            frame.duration = max(int((end - frame.time_s) / frame.time_base), 1)
        return frame

    def _decoded(self, moment: Fraction | None) -> Iterator[av.VideoFrame]:
        """Decoded frames with rising time stamps, beginning at or before `moment`."""
        with open_video(self.info.path) as container:
            video = main_video(container, self.info.path)
            video.thread_type = "AUTO"
            video.codec_context.thread_count = self._threads
            target = None if moment is None else int(moment / self.info.time_base)
            if target is not None and moment is not None and moment > self.info.start_s:
                container.seek(target, stream=video, backward=True)
            last: int | None = None
            for frame in self._survivors(container, video):
                late = last is None and target is not None and (frame.pts is None or frame.pts > target)
                if late and not self._is_first(frame):
                    # The container's index misled us: decode from the beginning instead.
                    yield from self._decoded(None)
                    return
                if not self._accept(frame, last):
                    continue
                last = frame.pts
                yield self._fitted(frame)
            self._note_end(last)

    def _is_first(self, frame: av.VideoFrame) -> bool:
        return frame.pts is not None and frame.pts * self.info.time_base <= self.info.start_s

    def _survivors(
        self, container: av.container.InputContainer, video: av.VideoStream
    ) -> Iterator[av.VideoFrame]:
        """Everything that decodes; what does not is counted."""
        packets: Iterator[Any] = container.demux(video)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                self.problems.lost_packets += 1
                return
            if packet is None:
                return
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self.problems.lost_packets += 1

    def _accept(self, frame: av.VideoFrame, last: int | None) -> bool:
        """Give a frame without a time stamp one, count what is wrong, say whether it can be shown."""
        base = self.info.time_base
        if frame.pts is None:
            step = int(1 / self.info.rate / base)
            frame.pts = frame.dts if frame.dts is not None else (last + step if last is not None else 0)
        if last is not None and frame.pts <= last:
            self.problems.backward_frames += 1
            return False
        if frame.is_corrupt:
            self.problems.damaged_frames += 1
        return True

    def _fitted(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A frame of the video's own size and format, whatever the stream does half-way."""
        width, height = self.info.width, self.info.height
        if self.info.rotation_deg % 180:
            width, height = height, width
        name = self.info.pixel_format
        if (frame.width, frame.height, frame.format.name) == (width, height, name):
            return frame
        self.problems.resized_frames += 1
        fitted = reformat(frame, width=width, height=height, format=name)
        fitted.pts, fitted.time_base, fitted.duration = frame.pts, frame.time_base, frame.duration
        return fitted

    def _note_end(self, last: int | None) -> None:
        declared = self.info.duration_s
        if declared is None or last is None or self.span.end_s is not None:
            return
        shown = last * self.info.time_base - self.info.start_s + 1 / self.info.rate
        if declared - shown > max(Fraction(_CUT_SHORT_S), 3 / self.info.rate):
            self.problems.ends_at_s = float(shown)
            self.problems.declared_s = float(declared)
