"""Sound, subtitles, covers and fonts: carried over packet by packet, neither decoded nor re-encoded.

One exception: sound that PyAV cannot put into Matroska (Windows Media, and other old kinds) becomes FLAC there, which
loses nothing of what is heard.

How exact: every stream moves by the same amount, rounded to its own clock (half a sample for sound in MP4,
half a millisecond in Matroska). With `--start`, MP4 and MOV begin on the very sample (the packet that reaches
over the start is kept and an edit list hides its first part); other containers begin with the first whole
packet, so up to one packet (21 ms of AAC at 48 kHz) is silent. With `--end`, the last packet that begins
before the end is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from hififace.errors import VideoError
from hififace.media.encoding import holds
from hififace.media.probe import is_cover, may_restart, open_video, timed_streams
from hififace.media.stamps import JoinedClock
from hififace.media.timing import Span

_MATROSKA_LIKE = ("matroska", "webm")
_STALE_TAGS = ("rotate", "duration", "encoder", "bps", "number_of_", "_statistics", "vendor_id")
"""Beginnings of stream tags that describe the old file, not the content."""


@dataclass(frozen=True, slots=True)
class CopiedStream:
    """One stream of the source and its place in the result."""

    source: Any
    target: Any
    recoder: Recoder | None = None
    """For sound that is decoded and encoded again."""


class Recoder:
    """Sound decoded and encoded again, its samples counted where the decoder does not say when they are heard."""

    def __init__(self, source: Any, target: Any) -> None:
        context = source.codec_context
        self._rate: int = context.sample_rate
        self._target = target
        self._resampler = av.AudioResampler("s16", context.layout.name, self._rate)
        self._next: int | None = None

    def encode(self, packet: av.Packet[Any]) -> list[av.Packet[Any]]:
        """What one packet becomes; a damaged one becomes nothing."""
        try:
            decoded: list[Any] = packet.decode()
        except av.FFmpegError:
            return []
        ready = []
        for sound in decoded:
            told = packet.pts if sound.pts is None else sound.pts
            heard = None if told is None else round(told * packet.time_base * self._rate)
            if self._next is None or (heard is not None and abs(heard - self._next) > self._rate // 5):
                self._next = heard or 0
            sound.pts, sound.time_base = self._next, Fraction(1, self._rate)
            self._next += sound.samples
            for samples in self._resampler.resample(sound):
                ready += self._target.encode(samples)
        return ready

    def rest(self) -> list[av.Packet[Any]]:
        """What is still in the encoder."""
        return list(self._target.encode(None))


def kept_tags(tags: dict[str, str]) -> dict[str, str]:
    """Tags of a stream that are still true in the result."""
    return {k: v for k, v in tags.items() if not k.lower().startswith(_STALE_TAGS)}


def add_copied_streams(
    source: av.container.InputContainer,
    target: av.container.OutputContainer,
    video_index: int,
    notes: list[str],
) -> list[CopiedStream]:
    """Give the result a stream for each stream of the source but the video itself.

    Subtitles, data and attachments that the container cannot hold are left out with a note; sound is not.

    Raises:
        VideoError: the container cannot hold one of the sound streams, or its codec is unknown here.
    """
    copied = []
    for stream in source.streams:
        if stream.index == video_index:
            continue
        codec = stream.codec_context.codec.canonical_name if stream.codec_context is not None else ""
        new = _add_stream(target, stream, codec)
        recoder = None
        if new is None and stream.type == "audio":
            new = _add_flac(target, stream, codec)
            notes.append(f"Sound stream {stream.index} is {codec}, which cannot be copied; it became FLAC.")
            recoder = Recoder(stream, new)
        if new is not None:
            new.metadata.clear()
            new.metadata.update(kept_tags(dict(stream.metadata)))
            new.disposition = stream.disposition
            copied.append(CopiedStream(stream, new, recoder))
        elif not _is_chapter_track(stream, codec):
            what = f" ({codec})" if codec else ""
            notes.append(
                f"Stream {stream.index}, {stream.type}{what}, does not fit the result and was left out."
            )
    return copied


def _add_flac(target: av.container.OutputContainer, stream: Any, codec: str) -> Any:
    """A stream for sound that is encoded anew, without loss."""
    if target.format.name.split(",")[0] != "matroska" or not codec:
        raise VideoError(
            f"Sound stream {stream.index} is {codec or 'of a kind unknown here'}, which a {target.format.name} file "
            + ("cannot hold. Choose another ending; .mkv takes all." if codec else "cannot hold.")
        )
    new = target.add_stream("flac", rate=stream.codec_context.sample_rate)
    new.codec_context.layout, new.codec_context.format = stream.codec_context.layout.name, "s16"
    return new


def _is_chapter_track(stream: Any, codec: str) -> bool:
    """MP4 keeps chapter titles in a track of text; the muxer writes a new one."""
    return stream.type == "data" and codec in ("", "bin_data") and bool(stream.container.chapters())


def _add_stream(target: av.container.OutputContainer, stream: Any, codec: str) -> Any:
    container = target.format.name.split(",")[0]
    if stream.type == "attachment":
        fits = container == "matroska"
    elif stream.type == "data" or (stream.type == "video" and not is_cover(stream)):
        return None
    else:
        fits = holds(container, codec)
    if not fits:
        return None
    try:
        return target.add_stream_from_template(stream)
    except (av.FFmpegError, ValueError, TypeError):
        return None


def copied_packets(
    path: Path,
    streams: list[CopiedStream],
    span: Span,
    shift_s: Fraction,
    notes: list[str],
) -> Iterator[tuple[Fraction, av.Packet[Any]]]:
    """Packets for the result in the order in which the source holds them, each with its time in seconds.

    Args:
        path: the source; it is opened anew.
        streams: as `add_copied_streams` made them.
        span: the part that is wanted, on the source's clock.
        shift_s: what is taken from every time stamp.
        notes: a broken source adds a sentence here.
    """
    wanted = {c.source.index: c for c in streams if c.source.type != "attachment"}
    if not wanted:
        return
    exact_start = streams[0].target.container.format.name.split(",")[0] not in _MATROSKA_LIKE
    with _opened_at(path, span) as source:
        for packet in _before_end(_whole_packets(source, set(wanted), notes), span, len(wanted)):
            if not _fit_start(packet, span, exact_start):
                continue
            for ready in _ready(packet, wanted[packet.stream_index], shift_s):
                stamp = ready.dts if ready.dts is not None else ready.pts
                yield max((stamp or 0) * ready.time_base, Fraction(0)), ready
    for copied in wanted.values():
        if copied.recoder is not None:
            for ready in copied.recoder.rest():
                yield (ready.dts or 0) * ready.time_base, ready


def _before_end(packets: Iterator[av.Packet[Any]], span: Span, num_streams: int) -> Iterator[av.Packet[Any]]:
    """Packets with a time, up to the end of the span in each stream."""
    ended: set[int] = set()
    for packet in packets:
        if packet.pts is None:
            continue
        if span.end_s is None or packet.pts * packet.time_base < span.end_s:
            yield packet
            continue
        ended.add(packet.stream_index)
        if len(ended) == num_streams:
            return


@contextlib.contextmanager
def _opened_at(path: Path, span: Span) -> Iterator[av.container.InputContainer]:
    """The source, a second before the span: sound and subtitles that reach over its start are stored before it."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_video(path))
        if span.start_s is not None and not may_restart(source):
            try:
                source.seek(max(int((span.start_s - 1) * av.time_base), 0), backward=True)
            except av.FFmpegError:  # it cannot be searched: from the beginning
                source = stack.enter_context(open_video(path))
        yield source


def _ready(packet: av.Packet[Any], copied: CopiedStream, shift_s: Fraction) -> Iterator[av.Packet[Any]]:
    """A packet as the result's stream takes it: shifted, and encoded anew where it must be."""
    _shift(packet, shift_s)
    if copied.recoder is not None:
        yield from copied.recoder.encode(packet)
        return
    packet.stream = copied.target
    yield packet


def _whole_packets(
    source: av.container.InputContainer, wanted: set[int], notes: list[str]
) -> Iterator[av.Packet[Any]]:
    """Everything that can be read of some streams, climbing; where the file breaks, the end with a note."""
    clock = JoinedClock() if may_restart(source) else None
    streams = [s for s in source.streams if s.index in wanted]
    if clock is not None:
        streams += [s for s in timed_streams(source) if s.index not in wanted]
    last: dict[int, int] = {}
    restarts: dict[int, int] = {}
    try:
        for packet in source.demux(streams):
            if clock is not None:
                clock.mend(packet)
            if packet.size == 0 or packet.stream_index not in wanted:
                continue
            if packet.stream.type == "video":
                # A cover has no time.
                packet.pts = packet.dts = 0
            else:
                _make_climb(packet, last, restarts)
            yield packet
    except av.FFmpegError:
        notes.append("The sound breaks off where the file is damaged.")


def _make_climb(packet: av.Packet[Any], last: dict[int, int], restarts: dict[int, int]) -> None:
    """No container takes a packet whose decoding time does not climb; none is left out for it.

    Args:
        packet: changed in place.
        last: stream -> decoding time of its packet before.
        restarts: stream -> what is added since its stamps started again, as in a Flash file put together.
    """
    index = packet.stream_index
    if packet.dts is None:
        packet.dts = packet.pts
    if packet.dts is None:
        return
    before, shift = last.get(index), restarts.get(index, 0)
    if before is not None and packet.dts + shift < before - int(1 / packet.time_base):
        shift = restarts[index] = before + max(packet.duration or 0, 1) - packet.dts
    packet.dts += shift
    packet.pts = None if packet.pts is None else packet.pts + shift
    if before is not None and packet.dts <= before:
        packet.dts = before + 1
        packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
    last[index] = packet.dts


def _fit_start(packet: av.Packet[Any], span: Span, exact_start: bool) -> bool:
    """Whether a packet belongs to the span; a subtitle that reaches over its start is shortened."""
    start = span.start_s
    if start is None or packet.pts is None or packet.stream.type == "video":
        return True
    begin = packet.pts * packet.time_base
    if begin >= start:
        return True
    end = begin + (packet.duration or 0) * packet.time_base
    if end <= start:
        return False
    if packet.stream.type == "subtitle":
        first = round(start / packet.time_base)
        packet.duration = packet.pts + (packet.duration or 0) - first
        packet.pts = packet.dts = first
        return True
    return exact_start


def _shift(packet: av.Packet[Any], shift_s: Fraction) -> None:
    if packet.stream.type == "video":
        return
    units = round(shift_s / packet.time_base)
    if packet.pts is not None:
        packet.pts -= units
    if packet.dts is not None:
        packet.dts -= units
