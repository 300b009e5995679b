"""What a video file holds, without decoding more than its first frame."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import av
import numpy as np

from hififace.errors import VideoError
from hififace.media.atomic import refuse_address
from hififace.media.containers import open_container, readable
from hififace.media.planes import bit_depth, has_alpha
from hififace.media.stamps import JoinedClock
from hififace.media.video_colour import ColourFacts, HdrKind, colour_facts

StreamKind = Literal["video", "audio", "subtitle", "data", "attachment", "unknown"]

_PACKETS_FOR_RATE = 300
"""How many packets are looked at to tell constant from variable frame rate."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream of a video."""

    index: int
    kind: StreamKind
    codec: str
    """Canonical name, e.g. "h264", "aac", "mov_text"; "" for streams without a codec."""
    language: str | None = None
    title: str | None = None
    is_cover: bool = False
    """A still image that is attached to the video: a poster, not the video."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One chapter of a video."""

    start_s: Fraction
    end_s: Fraction
    title: str


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video is."""

    path: Path
    container: str
    """FFmpeg's name of the container, e.g. "mov,mp4,m4a,3gp,3g2,mj2"."""
    codec: str
    """Canonical name of the video codec, e.g. "h264"."""
    width: int
    """Pixels across, upright."""
    height: int
    """Pixels down, upright."""
    rotation_deg: int
    """Counterclockwise turn that makes a stored frame upright: 0, 90, 180, 270."""
    pixel_format: str
    bit_depth: int
    colour: ColourFacts
    rate: Fraction
    """Average frames per second, exact (30000/1001, never 29.97)."""
    variable_rate: bool
    """Whether the time stamps of the first frames are not evenly spaced."""
    time_base: Fraction
    """Seconds per unit of the video's time stamps."""
    zero_s: Fraction
    """What the container's clock shows at the video's beginning: 0 but for transport streams."""
    start_s: Fraction
    """Time stamp of the first frame on the same clock."""
    duration_s: Fraction | None
    """As the container says; None where it does not."""
    num_frames: int | None
    """As the container says, or duration times rate; None where neither is known."""
    pixel_aspect: Fraction
    """Width of a pixel by its height, 1 for nearly all videos."""
    interlaced: bool
    video_index: int
    streams: tuple[StreamInfo, ...]
    chapters: tuple[Chapter, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    has_display_times: bool = True
    """False for AVI, which stores the order of coding and no time stamps."""
    may_restart: bool = False
    """Whether time stamps may start again in the middle: transport and program streams put end to end."""
    duration_is_of_video: bool = True
    """False where only the container says how long it lasts: its sound may be what lasts so long."""
    has_alpha: bool = False
    """Whether its frames are transparent in parts, also where no decoder here shows it."""
    projection: str | None = None
    """How it is spread over a sphere or for two eyes, in words: "360-degree", "three-dimensional"; None: it is flat."""
    has_captions: bool = False
    """Whether its first frame carries captions (CEA-608 or 708)."""

    @property
    def last_s(self) -> Fraction | None:
        """End of the video's last frame, in seconds from its beginning; None where the container does not say.

        Later than `duration_s` where sound begins first: MP4 tells the duration of the frames alone.
        """
        if self.duration_s is None:
            return None
        late = max(self.start_s - self.zero_s, Fraction(0)) if self.duration_is_of_video else Fraction(0)
        return late + self.duration_s

    @property
    def hdr(self) -> HdrKind | None:
        """The kind of high dynamic range, None for ordinary videos."""
        return self.colour.hdr

    def of_kind(self, kind: StreamKind) -> tuple[StreamInfo, ...]:
        """The streams of one kind, covers left out."""
        return tuple(s for s in self.streams if s.kind == kind and not s.is_cover)


@contextlib.contextmanager
def open_video(path: str | os.PathLike[str]) -> Iterator[av.container.InputContainer]:
    """Open a video for reading; every reason why that fails becomes a sentence.

    Raises:
        VideoError: no such file, empty, no video, or cut short before its index.
    """
    refuse_address(path)
    source = Path(path)
    if not source.is_file():
        what = "is a folder" if source.is_dir() else "does not exist"
        raise VideoError(f"{source} {what}; the name of a video file was expected.")
    if source.stat().st_size == 0:
        raise VideoError(f"{source} is empty (0 bytes); copy or download it again.")
    try:
        container = open_container(source)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(_why_unreadable(source, error)) from error
    try:
        yield container
    finally:
        container.close()


def _why_unreadable(source: Path, error: Exception) -> str:
    with source.open("rb") as file:
        head = file.read(64 * 1024)
    if head[4:8] == b"ftyp":
        return (
            f"{source} is an MP4/MOV file without its index (the moov box at the end): it was cut while "
            "it was recorded or copied. Copy it again, or repair it with a recovery tool."
        )
    return f"{source} is not a video that can be read ({type(error).__name__}). Check that it is a complete video file."


def main_video(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The first video stream that is not a cover image.

    Raises:
        VideoError: there is none, or no decoder for it.
    """
    for stream in container.streams.video:
        if not is_cover(stream):
            if stream.codec_context is None:
                raise VideoError(f"{path}: the video is in a codec that this build of FFmpeg cannot decode.")
            return stream
    others = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
    raise VideoError(f"{path} has no video stream, only {others}; a video was expected.")


def is_cover(stream: Any) -> bool:
    """Whether a stream is a still attached to the video (a poster)."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Say what a video is.

    Raises:
        VideoError: it cannot be read, has no video stream, or its first frame cannot be decoded.
    """
    source = Path(path)
    with open_video(source) as container:
        streams = tuple(_stream_info(s) for s in container.streams)
        chapters = tuple(_chapter(c) for c in container.chapters())
        times = _first_time_stamps(container, main_video(container, source))
    # Opened anew: not every file can be rewound (a cut Matroska, a Flash file without its index).
    with open_video(source) as container:
        video = main_video(container, source)
        frame = _first_frame(container, video, source)
        context = video.codec_context
        rotation = _rotation(frame)
        width, height = (frame.width, frame.height)
        if rotation % 180:
            width, height = height, width
        # PyAV 19's rationals are numbers of their own; beyond this door everything is a Fraction.
        time_base = Fraction(video.time_base or Fraction(1, 1000))
        rate = video.average_rate or video.guessed_rate or Fraction(25)
        own, duration = _duration(container, video)
        # A plain int: arithmetic on a Fraction of numpy integers gives numpy integers, which JSON and databases refuse.
        start = Fraction(int(times[0]) if times is not None else (video.start_time or 0)) * time_base
        return VideoInfo(
            path=source,
            container=container.format.name,
            codec=context.codec.canonical_name,
            width=width,
            height=height,
            rotation_deg=rotation,
            pixel_format=frame.format.name,
            bit_depth=bit_depth(frame.format.name),
            colour=colour_facts(frame, context),
            rate=Fraction(rate),
            variable_rate=_is_variable(times),
            time_base=time_base,
            # Sound may begin a little before zero (the encoder's run-in); the video still begins at zero.
            zero_s=max(Fraction(container.start_time or 0, av.time_base), Fraction(0)),
            start_s=start,
            duration_s=duration,
            num_frames=video.frames or (round(duration * rate) if duration is not None else None),
            pixel_aspect=Fraction(context.sample_aspect_ratio or 1),
            interlaced=frame.interlaced_frame,
            video_index=video.index,
            streams=streams,
            chapters=chapters,
            metadata={name: readable(text) for name, text in container.metadata.items()},
            has_display_times=has_display_times(container),
            may_restart=may_restart(container),
            duration_is_of_video=own,
            has_alpha=has_alpha(frame.format.name) or _says_alpha(video),
            projection=_projection(frame),
            has_captions=frame.side_data.get("A53_CC") is not None,
        )


def decoder_of(video: av.VideoStream) -> av.VideoCodecContext:
    """What decodes a stream: FFmpeg's own VP8 and VP9 decoders pass over transparency, libvpx does not."""
    libvpx = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(video.codec_context.codec.canonical_name)
    if libvpx is not None and _says_alpha(video):
        with contextlib.suppress(av.codec.codec.UnknownCodecError):
            return cast(av.VideoCodecContext, av.CodecContext.create(libvpx, "r"))
    return video.codec_context


def _says_alpha(video: av.VideoStream) -> bool:
    return {name.lower(): text for name, text in video.metadata.items()}.get("alpha_mode") == "1"


def _projection(frame: av.VideoFrame) -> str | None:
    if frame.side_data.get("SPHERICAL") is not None:
        return "360-degree"
    return "three-dimensional" if frame.side_data.get("STEREO3D") is not None else None


def has_display_times(container: av.container.InputContainer) -> bool:
    """Whether the format stores when frames are shown; FFmpeg makes it up where it does not."""
    return container.format.name != "avi"


def may_restart(container: av.container.InputContainer) -> bool:
    """Whether time stamps of this format may start again in the middle of a file."""
    return bool(container.format.flags & cast(Any, av.format.Flags.ts_discont).value)


def _tag(stream: Any, name: str) -> str | None:
    text = stream.metadata.get(name)
    return None if text is None else readable(text)


def _stream_info(stream: Any) -> StreamInfo:
    context = stream.codec_context
    kind = stream.type if stream.type in ("video", "audio", "subtitle", "data", "attachment") else "unknown"
    return StreamInfo(
        index=stream.index,
        kind=cast(StreamKind, kind),
        codec=context.codec.canonical_name if context is not None else "",
        language=_tag(stream, "language"),
        title=_tag(stream, "title"),
        is_cover=is_cover(stream),
    )


def _chapter(chapter: Any) -> Chapter:
    base = Fraction(chapter["time_base"] or Fraction(1, 1000))
    return Chapter(
        chapter["start"] * base, chapter["end"] * base, readable(chapter["metadata"].get("title", ""))
    )


def _first_time_stamps(
    container: av.container.InputContainer, video: av.VideoStream
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None:
    """Sorted time stamps of the first frames, in units of the stream's time base; None if there are none."""
    stamps: list[int] = []
    try:
        for packet in clocked_packets(container, video):
            stamp = packet.pts if has_display_times(container) else packet.dts
            if packet.size and stamp is not None:
                stamps.append(stamp)
            if len(stamps) >= _PACKETS_FOR_RATE:
                break
    except av.FFmpegError:
        pass  # The reader will meet the same place and say so; what came before is enough here.
    # The last few may still lack frames that are stored later and shown earlier.
    ordered = np.sort(np.asarray(stamps, dtype=np.int64))
    return (ordered[:-8] if len(ordered) >= _PACKETS_FOR_RATE else ordered) if len(ordered) else None


def clocked_packets(
    container: av.container.InputContainer, video: av.VideoStream
) -> Iterator[av.Packet[Any]]:
    """The video's packets, on one clock also where the file starts its own again."""
    if not may_restart(container):
        yield from container.demux(video)
        return
    clock = JoinedClock()
    for packet in container.demux(timed_streams(container)):
        clock.mend(packet)
        if (
            packet.stream.index == video.index
        ):  # the last, empty packet of each stream has no index of its own
            yield packet


def timed_streams(container: av.container.InputContainer) -> list[Any]:
    """The streams that a `JoinedClock` must see, the same for all who read the file."""
    return [s for s in container.streams if s.type in ("video", "audio") and not is_cover(s)]


def _is_variable(times: Any) -> bool:
    """Whether intervals differ by more than the rounding of a coarse clock (one unit of the time base)."""
    if times is None or len(times) < 3:
        return False
    steps = np.diff(times)
    return bool(steps.max() - steps.min() > 1)


def _first_frame(container: av.container.InputContainer, video: av.VideoStream, path: Path) -> av.VideoFrame:
    last: Exception | None = None
    decoder = decoder_of(video)
    try:
        for number, packet in enumerate(container.demux(video)):
            try:
                for frame in decoder.decode(packet):
                    return frame
            except av.FFmpegError as error:
                last = error
            if number > 2 * _PACKETS_FOR_RATE:
                break
    except av.FFmpegError as error:
        last = error
    reason = f" ({type(last).__name__})" if last else ""
    raise VideoError(
        f"{path}: not one frame of the video could be decoded{reason}; the file is damaged."
    ) from last


def _rotation(frame: av.VideoFrame) -> int:
    """Quarter turns only; other angles do not occur in videos and are taken for the nearest."""
    return round(frame.rotation / 90) * 90 % 360


def _duration(container: av.container.InputContainer, video: av.VideoStream) -> tuple[bool, Fraction | None]:
    """Whether the video itself says how long it lasts, and how long that or the container is."""
    if video.duration and video.time_base:
        return True, Fraction(video.duration * video.time_base)
    tagged = _tagged_seconds(_tag(video, "DURATION") or "")
    if tagged is not None:
        return True, tagged
    return False, Fraction(container.duration, av.time_base) if container.duration else None


def _tagged_seconds(text: str) -> Fraction | None:
    """Matroska's tag of a stream, "00:01:30.040000000", in seconds."""
    try:
        hours, minutes, seconds = text.split(":")
        return 3600 * Fraction(hours) + 60 * Fraction(minutes) + Fraction(seconds)
    except ValueError:
        return None
