"""From frames to a finished video: through segments, so that nothing done is ever lost."""

from __future__ import annotations

import ast
import copy
import errno
import heapq
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.packet import PacketSideData, packet_sidedata_type_from_literal

from hififace.errors import VideoError
from hififace.media.atomic import atomic_path
from hififace.media.audio import add_copied_streams, copied_packets, kept_tags
from hififace.media.containers import id3_comment
from hififace.media.encoding import EncodeSettings, apply_settings
from hififace.media.frames import Frame
from hififace.media.planes import has_alpha
from hififace.media.probe import Chapter, open_video
from hififace.media.segments import ALPHA_SIDE_DATA, Segment, StoredPacket, open_segment, write_segment
from hififace.media.timing import Place, Span
from hififace.media.video import ReadProblems, VideoReader

FRAMES_PER_SEGMENT = 240
"""Most frames that a killed run has to do again."""

_REHEARSED_S = Fraction(1)
"""How much sound goes with the first frame when a video is tried out."""

_COMMENT_EVERY_S = 10
"""A transport stream may be entered anywhere, so what it says about itself is repeated."""

_MICROSECOND = Fraction(1, 1_000_000)
_TS_CLOCK = Fraction(1, 90_000)
_STALE_VIDEO_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}

StateAt = Callable[[Place], dict[str, Any]]
"""What to store with a segment that ends at a place."""


@dataclass(frozen=True, slots=True)
class _Timed:
    """A packet of the result and when it is needed."""

    time_s: Fraction
    packet: av.Packet[Any]


class VideoWriter:
    """Writes frames into segments in a folder, and joins these into the video.

    Given the same folder and settings it goes on: draw frames from `reader.frames(after=writer.place)`.

    Attributes:
        folder: where the segments lie.
        segments: what is finished, in order.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        settings: EncodeSettings,
        *,
        frames_per_segment: int = FRAMES_PER_SEGMENT,
    ) -> None:
        """Look what is there already; a damaged segment and all behind it are made again.

        Raises:
            VideoError: the folder holds segments made with other settings.
        """
        self.folder, self._settings, self._length = Path(folder), settings, frames_per_segment
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(".*.part*"):
            leftover.unlink(missing_ok=True)
        self.segments: list[Segment] = []
        for number in itertools.count():
            path = self._path(number)
            if not path.exists():
                break
            try:
                segment = open_segment(path)
            except VideoError:
                break
            self._check(segment)
            self.segments.append(segment)
        # Only whole segments can be gone on behind; a short one was the last of its video.

    def _path(self, number: int) -> Path:
        return self.folder / _segment_name(number)

    def _check(self, segment: Segment) -> None:
        wanted = self._settings.fingerprint()
        differs = sorted(k for k in wanted if segment.settings.get(k) != wanted[k])
        if differs:
            raise VideoError(
                f"{self.folder} holds unfinished work with other settings ({', '.join(differs)}). Use the "
                "settings of before, or remove the folder to begin again."
            )

    @property
    def place(self) -> Place | None:
        """The last frame that is safe, or None at the beginning."""
        return self.segments[-1].place if self.segments else None

    @property
    def state(self) -> dict[str, Any]:
        """What was stored with the last safe frame; empty at the beginning."""
        return self.segments[-1].read_state() if self.segments else {}

    def rehearse(self, output: str | os.PathLike[str], reader: VideoReader, tags: dict[str, str]) -> Path:
        """Write the first frame and what sounds with it, as the video will be written: before hours of work.

        Args:
            output: name of the result, for its ending and for messages.
            reader: the target.
            tags: as for `finish`.

        Returns:
            A short video in `folder`, for a look at whether the tags are in it; the caller removes it.

        Raises:
            VideoError: no frame, a sound stream that the container cannot hold, or a refusal by the container.
            OptionError: the encoder refuses its settings.
        """
        first = copy.copy(reader)
        first.problems = ReadProblems()
        begin = first.info.start_s if first.span.start_s is None else first.span.start_s
        end = begin + _REHEARSED_S
        first.span = Span(first.span.start_s, end if first.span.end_s is None else min(end, first.span.end_s))
        path = self.folder / f"rehearsal{Path(output).suffix}"
        frames = list(itertools.islice(first.frames(), 1))
        if not frames:
            raise _no_frames(reader)
        stretch = self.folder / "rehearsal.hfseg"
        try:
            segment = write_segment(stretch, iter(frames), self._settings, lambda _place: {})
            assert segment is not None
            join_video([segment], path, self._settings, first, tags)
        except VideoError as error:
            raise VideoError(str(error).replace(str(path), str(output))) from error
        finally:
            stretch.unlink(missing_ok=True)
        return path

    def write(self, frames: Iterator[Frame], state: StateAt | None = None) -> None:
        """Encode all frames; each finished segment is safe at once.

        Args:
            frames: in order, beginning behind `place`.
            state: what to store with each segment.
        """
        while True:
            stretch = itertools.islice(frames, self._length)
            path = self._path(len(self.segments))
            segment = write_segment(path, stretch, self._settings, state or (lambda _place: {}))
            if segment is None:
                return
            self.segments.append(segment)

    def finish(
        self, output: str | os.PathLike[str], reader: VideoReader, tags: dict[str, str] | None = None
    ) -> list[str]:
        """Join everything into the video; returns sentences about what could not be carried over.

        Args:
            output: the video.
            reader: what the frames were read from: sound and everything else comes from there too.
            tags: metadata of the video to set, over the source's own.

        Raises:
            VideoError: nothing was written, or the container refuses.
        """
        return join_video(self.segments, output, self._settings, reader, tags)

    def discard(self) -> None:
        """Remove the segments, and the folder if nothing else is in it."""
        for segment in self.segments:
            segment.path.unlink(missing_ok=True)
        self.segments = []
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def join_video(
    segments: Sequence[Segment],
    output: str | os.PathLike[str],
    settings: EncodeSettings,
    reader: VideoReader,
    tags: dict[str, str] | None = None,
) -> list[str]:
    """Put segments, sound, subtitles, chapters and tags into one video, without re-encoding anything.

    The video appears under its name only when it is whole.

    Args:
        segments: in order.
        output: the video.
        settings: what the segments were made with.
        reader: what the frames were read from.
        tags: metadata of the video to set, over the source's own.

    Returns:
        Sentences about what could not be carried over.

    Raises:
        VideoError: no frames, a sound stream that the container cannot hold, or a refusal by the container.
    """
    if not segments:
        raise _no_frames(reader)
    notes = list(settings.notes)
    with atomic_path(output) as temporary:
        try:
            with (
                open_video(reader.info.path) as source,
                av.open(
                    str(temporary), "w", format=settings.container, options=_mux_options(settings, reader)
                ) as video,
            ):
                tags = tags or {}
                video.metadata.update(_kept_video_tags(source) | tags)
                _join_into(video, source, segments, settings, reader, tags.get("comment"), notes)
        except av.FFmpegError as error:
            what = error.strerror or error
            if error.errno == errno.ENOSPC:
                raise VideoError(f"{output} cannot be written: {what}.") from error
            raise VideoError(
                f"{output}: the {settings.container} container refused the video ({what}). "
                "Try another ending; .mkv takes nearly everything."
            ) from error
    return notes


def _no_frames(reader: VideoReader) -> VideoError:
    return VideoError(f"{reader.info.path}: no frames in the part that was asked for; nothing was written.")


def begun_options(folder: Path) -> dict[str, str] | None:
    """The encoder's options of unfinished work in a folder, to go on with the same; None where there is none."""
    try:
        said = open_segment(folder / _segment_name(0)).settings["options"]
        options: dict[str, str] = ast.literal_eval(said)
    except (VideoError, OSError, KeyError, ValueError, SyntaxError):
        return None
    return options


def _segment_name(number: int) -> str:
    return f"segment-{number:06d}.hfseg"


def _kept_video_tags(source: av.container.InputContainer) -> dict[str, str]:
    return {k: v for k, v in source.metadata.items() if k.lower() not in _STALE_VIDEO_TAGS}


def _mux_options(settings: EncodeSettings, reader: VideoReader) -> dict[str, str]:
    if settings.container in ("matroska", "webm"):
        # Without it every file gets random numbers for its parts, and no two runs would be equal.
        return {"fflags": "+bitexact"}
    if settings.container not in ("mp4", "mov"):
        return {}
    # Phones write tags under their own names (place, camera); the muxer drops them unless told otherwise.
    own_names = any(key.startswith("com.") for key in reader.info.metadata)
    return {"movflags": "+faststart" + ("+use_metadata_tags" if own_names else "")}


def _join_into(
    video: av.container.OutputContainer,
    source: av.container.InputContainer,
    segments: Sequence[Segment],
    settings: EncodeSettings,
    reader: VideoReader,
    comment: str | None,
    notes: list[str],
) -> None:
    stream_out: Any = video.add_stream(settings.encoder, rate=settings.rate)
    apply_settings(stream_out.codec_context, settings)
    stream_out.time_base = settings.time_base
    if settings.encoder == "libx265" and settings.container in ("mp4", "mov"):
        # Apple's players know HEVC only under this name.
        stream_out.codec_context.codec_tag = "hvc1"
    original = source.streams[reader.info.video_index]
    kept = kept_tags(dict(original.metadata))
    if not has_alpha(settings.pixel_format):
        kept = {name: text for name, text in kept.items() if name.lower() != "alpha_mode"}
    stream_out.metadata.update(kept)
    stream_out.disposition = original.disposition
    copied = add_copied_streams(source, video, reader.info.video_index, notes)
    _add_chapters(video, reader)
    images = _video_packets(segments, settings, stream_out, reader.shift_s)
    others = (
        _Timed(t, p) for t, p in copied_packets(reader.info.path, copied, reader.span, reader.shift_s, notes)
    )
    repeated: Iterator[_Timed] = iter(())
    if settings.container == "mpegts" and comment:
        repeated = _comments(video, comment, segments, reader.shift_s)
    for timed in heapq.merge(images, others, repeated, key=lambda t: t.time_s):
        video.mux(timed.packet)


def _comments(
    video: av.container.OutputContainer, comment: str, segments: Sequence[Segment], shift_s: Fraction
) -> Iterator[_Timed]:
    """The comment as timed ID3 tags, which are what a transport stream has for metadata."""
    stream: Any = video.add_data_stream("timed_id3")

    def packets() -> Iterator[_Timed]:
        begin = _start(segments) * segments[0].time_base - shift_s
        end = segments[-1].last_pts * segments[-1].time_base - shift_s
        for number in itertools.count():
            time_s = begin + number * _COMMENT_EVERY_S
            if number and time_s > end:
                return
            packet: av.Packet[Any] = av.Packet(id3_comment(comment))
            packet.time_base = _TS_CLOCK
            packet.pts = packet.dts = round(time_s / _TS_CLOCK)
            packet.stream = stream
            yield _Timed(time_s, packet)

    return packets()


def _video_packets(
    segments: Sequence[Segment], settings: EncodeSettings, stream: Any, shift_s: Fraction
) -> Iterator[_Timed]:
    units = round(shift_s / settings.time_base)
    by_decoding = settings.container in ("mp4", "mov")
    num_left = sum(s.num_frames for s in segments)
    end = max((p.pts + p.duration for p in segments[-1].packets()), default=0)
    first_dts: int | None = None
    for stored, dts in decoding_times(segments):
        first_dts = dts if first_dts is None else first_dts
        num_left -= 1
        duration = stored.duration
        if by_decoding and num_left == 0:
            # MP4 adds up decoding times; the last step makes the sum the time for which images are shown.
            duration = max(end - _start(segments) - (dts - first_dts), 1)
        packet: av.Packet[Any] = av.Packet(stored.data)
        packet.time_base = settings.time_base
        packet.pts, packet.dts = stored.pts - units, dts - units
        packet.duration = duration
        packet.is_keyframe = stored.is_keyframe
        if stored.alpha:
            beside = cast(Any, PacketSideData)(
                packet_sidedata_type_from_literal(ALPHA_SIDE_DATA), len(stored.alpha)
            )
            beside.update(stored.alpha)
            packet.set_sidedata(beside)
        packet.stream = stream
        yield _Timed((dts - units) * settings.time_base, packet)


def _start(segments: Sequence[Segment]) -> int:
    """Time stamp of the first frame shown."""
    return min(segments[0].time_stamps())


def decoding_times(segments: Sequence[Segment]) -> Iterator[tuple[StoredPacket, int]]:
    """Packets in coding order with decoding time stamps that rise across all segments.

    Each encoder starts its own decoding clock, and with variable frame rate the clocks of two neighbours may
    overlap. So they are made anew: frame number i in coding order is decoded when frame number i - D in order
    of display is shown, with D the deepest reordering of the whole video. That never lies after its own time.
    """
    delay = 0
    for segment in segments:
        stamps = segment.time_stamps()
        rank = {pts: place for place, pts in enumerate(sorted(stamps))}
        delay = max(delay, max((i - rank[pts] for i, pts in enumerate(stamps)), default=0))
    shown = itertools.chain.from_iterable(sorted(s.time_stamps()) for s in segments)
    head = list(itertools.islice(shown, 2))
    step = head[1] - head[0] if len(head) == 2 else 1
    # The clock may run in no longer than the last frames run out, or the video would seem longer than it is.
    final = sorted(stamp for s in segments[-(delay + 1) :] for stamp in s.time_stamps())
    if len(final) > delay > 0:
        step = max(min(step, (final[-1] - final[-1 - delay]) // delay), 1)
    before = (head[0] - step * k for k in range(delay, 0, -1))
    clock = itertools.chain(before, head, shown)
    for segment in segments:
        for packet in segment.packets():
            yield packet, next(clock)


def _add_chapters(video: av.container.OutputContainer, reader: VideoReader) -> None:
    chapters = [c for c in (_in_span(c, reader) for c in reader.info.chapters) if c is not None]
    if not chapters:
        return
    video.set_chapters(
        [
            {
                "id": number,
                "start": round(chapter.start_s / _MICROSECOND),
                "end": round(chapter.end_s / _MICROSECOND),
                "time_base": _MICROSECOND,
                "metadata": {"title": chapter.title} if chapter.title else {},
            }
            for number, chapter in enumerate(chapters)
        ]
    )


def _in_span(chapter: Chapter, reader: VideoReader) -> Chapter | None:
    begin, end = reader.span.start_s, reader.span.end_s
    start_s = chapter.start_s if begin is None else max(chapter.start_s, begin)
    end_s = chapter.end_s if end is None else min(chapter.end_s, end)
    if end_s <= start_s:
        return None
    return Chapter(start_s - reader.shift_s, end_s - reader.shift_s, chapter.title)
