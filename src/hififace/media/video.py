"""Reading a video frame by frame: exact time stamps, lazy images, and no giving up on damaged files."""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from hififace.errors import OptionError, VideoError
from hififace.media.frames import Frame, FrameFacts
from hififace.media.probe import VideoInfo, clocked_packets, decoder_of, main_video, open_video, probe
from hififace.media.stamps import CodingSlots, climbing
from hififace.media.timing import Place, Span, retime, tick_base
from hififace.media.tonemap import refuse_hdr
from hififace.media.video_colour import reformat

_FAR_S = 10
"""A time stamp so far ahead of the last is believed only when the next one lies behind it."""

_REORDERED_S = 2
"""How far behind a key frame, in the order of the file, frames may lie that are shown before it."""

_CUT_SHORT_S = 0.5
"""A video that ends this much before its declared end is called cut short (containers round a little)."""


@dataclass(slots=True)
class ReadProblems:
    """What was wrong with a video while it was read; all of it was survived."""

    damaged_frames: int = 0
    """Frames that the decoder had to guess in part."""
    lost_packets: int = 0
    """Packets that could not be decoded at all; the frame before is shown longer."""
    mended_stamps: int = 0
    """Frames whose time stamp was missing, stood still or ran backwards, and was made up from their neighbours'."""
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
        if self.mended_stamps:
            said.append(
                f"{self.mended_stamps} frames had no usable time stamp; they were spaced between their neighbours."
            )
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

    Iterating decodes from the beginning of the span; `frames(after=...)` resumes after a frame that is
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
        length = None if self.info.may_restart else self.info.last_s
        if self.span.start_s is not None and length is not None and self.span.start_s - zero >= length:
            raise OptionError(f"--start is behind the end: the video ends at {float(length):.2f} s.")
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
        if self.info.last_s is None:
            return self.info.num_frames
        end = self.info.zero_s + self.info.last_s
        if self.span.end_s is not None:
            end = min(end, self.span.end_s)
        return max(round((end - self._origin_s) * self.rate), 1)

    @property
    def shift_s(self) -> Fraction:
        """What is taken from all time stamps, of images and sound, so that the result begins at zero."""
        if self.span.start_s is None:
            return self.info.zero_s
        base = self.info.time_base
        return self._origin_s if self._fps is not None else -(-self.span.start_s // base) * base

    def sample(self, moment_s: Fraction, num_frames: int) -> tuple[list[Frame], float]:
        """Some frames from the last key frame before a moment on, and how many bytes each takes in the file.

        For an estimate: time stamps are counted from 0 at the video's rate, problems are not noted.

        Args:
            moment_s: on the video's clock.
            num_frames: fewer come where the video ends.

        Returns:
            The frames, and the mean size of their packets in bytes: of those that are no key frames, where there are
            any.
        """
        twin = copy.copy(self)
        twin.problems = ReadProblems()
        target = int(moment_s / self.info.time_base) if moment_s > self.info.start_s else None
        frames: list[Frame] = []
        sizes: dict[bool, list[int]] = {True: [], False: []}
        with open_video(self.info.path) as container:
            video = main_video(container, self.info.path)
            decoder = self._decoder(video)
            try:
                packets = self._packets(container, video, target if self.info.has_display_times else None)
            except av.FFmpegError:
                return [], 0.0

            def weighed() -> Iterator[av.Packet[Any]]:
                for packet in packets:
                    if packet.size:
                        sizes[packet.is_keyframe].append(packet.size)
                    yield packet

            for index, raw in enumerate(itertools.islice(twin._survivors(weighed(), decoder), num_frames)):
                fitted = twin._fitted(raw)
                frames.append(
                    Frame(fitted, self._facts, index=index, pts=index, time_base=1 / self.info.rate)
                )
        counted = sizes[False] or sizes[True]
        return frames, sum(counted) / len(counted) if counted else 0.0

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
        for frame in self._own_frames_after(after):
            frame.index = index
            index += 1
            yield frame

    def _own_frames_after(self, after: Place | None) -> Iterator[Frame]:
        if after is None:
            yield from self._own_frames(None)
            return
        found = False
        for frame in self._own_frames(after.pts * self.time_base):
            found = found or frame.pts == after.pts
            if frame.pts > after.pts:
                if not found:
                    break
                yield frame
        if not found:
            # The file's index misled us, or its stamps are made up from all that came before.
            yield from (f for f in self._own_frames(self.span.start_s, seek=False) if f.pts > after.pts)

    def _own_frames(self, moment: Fraction | None, *, seek: bool = True) -> Iterator[Frame]:
        """Frames with their own time stamps, from the one on screen at `moment` (or at the span's start)."""
        base = self.info.time_base
        begin = self.span.start_s
        if moment is None:
            moment = begin
        held: Frame | None = None
        any_shown = False
        for raw in self._decoded(moment if seek else None):
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
        """Decoded frames with climbing time stamps, beginning at or before `moment`."""
        info = self.info
        seeks = moment is not None and moment > info.start_s and info.has_display_times
        target = int(moment / info.time_base) if moment is not None and seeks else None
        with open_video(info.path) as container:
            video = main_video(container, info.path)
            decoder = self._decoder(video)
            try:
                packets = self._packets(container, video, target)
            except av.FFmpegError:  # it cannot be searched: a Flash or Matroska file without its index
                packets = None
            frames = iter(()) if packets is None else self._survivors(packets, decoder)
            first = next(frames, None)
            if target is not None and (first is None or first.pts is None or first.pts > target):
                # The file cannot be searched, or its index misled us: decode from the beginning instead.
                yield from self._decoded(None)
                return
            last: int | None = None
            everything = frames if first is None else itertools.chain([first], frames)
            step = int(1 / info.rate / info.time_base)
            far, begin = int(_FAR_S / info.time_base), int(info.start_s / info.time_base)
            for frame in climbing(everything, step, far, begin, self._note_mended):
                last = frame.pts
                self.problems.damaged_frames += frame.is_corrupt
                yield self._fitted(frame)
            self._note_end(last)

    def _packets(
        self, container: av.container.InputContainer, video: av.VideoStream, target: int | None
    ) -> Iterator[av.Packet[Any]]:
        """The video's packets from the last key frame at or before a time stamp on, or from the beginning.

        Raises:
            av.FFmpegError: the file cannot be searched.
        """
        if target is None:
            return clocked_packets(container, video)
        if not self.info.may_restart:
            container.seek(target, stream=video, backward=True)
            return container.demux(video)
        # Times that start again cannot be searched for: all packets pass, those before the key frame undecoded.
        number = 0
        with open_video(self.info.path) as searched:
            packets = clocked_packets(searched, main_video(searched, self.info.path))
            for place, packet in enumerate(packets):
                if packet.pts is not None and packet.pts > target + int(_REORDERED_S / self.info.time_base):
                    break
                if packet.is_keyframe and packet.pts is not None and packet.pts <= target:
                    number = place
        return itertools.islice(clocked_packets(container, video), number, None)

    def _decoder(self, video: av.VideoStream) -> av.VideoCodecContext:
        decoder = decoder_of(video)
        decoder.thread_type = "AUTO"
        decoder.thread_count = self._threads
        return decoder

    def _survivors(
        self, packets: Iterator[av.Packet[Any]], decoder: av.VideoCodecContext
    ) -> Iterator[av.VideoFrame]:
        """Everything that decodes; what does not is counted."""
        slots = None if self.info.has_display_times else CodingSlots()
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                self.problems.lost_packets += 1
                return
            if packet is None:
                return
            if slots is not None:
                slots.feed(packet)
            try:
                for frame in decoder.decode(packet):
                    if slots is not None:
                        frame.pts = slots.take()
                    yield frame
            except av.FFmpegError:
                self.problems.lost_packets += 1
                if slots is not None:
                    slots.lost()

    def _note_mended(self) -> None:
        self.problems.mended_stamps += 1

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
        info = self.info
        declared = info.duration_s
        # A recording put together declares the length of its last part.
        if declared is None or last is None or self.span.end_s is not None or info.may_restart:
            return
        shown = last * info.time_base - info.start_s + 1 / info.rate
        missing = max(Fraction(_CUT_SHORT_S), 3 / info.rate)
        if declared - shown <= missing:
            return
        if not info.duration_is_of_video and declared - _end_of_others(info) <= missing:
            return  # only its sound lasts longer
        self.problems.ends_at_s = float(shown)
        self.problems.declared_s = float(declared)


def _end_of_others(info: VideoInfo) -> Fraction:
    """When the last packet of sound and subtitles ends, in seconds after the video's beginning."""
    end = Fraction(0)
    with open_video(info.path) as container:
        others = [s for s in container.streams if s.type in ("audio", "subtitle")]
        if not others:
            return end
        with contextlib.suppress(av.FFmpegError):
            for packet in container.demux(others):
                if packet.pts is not None:
                    end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    return end - info.zero_s
