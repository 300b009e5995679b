"""Sound, subtitles, covers and fonts: carried over packet by packet, never decoded, never re-encoded.

How exact: every stream moves by the same amount, rounded to its own clock (half a sample for sound in MP4,
half a millisecond in Matroska). With `--start`, MP4 and MOV begin on the very sample (the packet that reaches
over the start is kept and an edit list hides its first part); other containers begin with the first whole
packet, so up to one packet (21 ms of AAC at 48 kHz) is silent. With `--end`, the last packet that begins
before the end is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from hififace.errors import VideoError
from hififace.media.encoding import holds
from hififace.media.probe import is_cover
from hififace.media.timing import Span

_MATROSKA_LIKE = ("matroska", "webm")
_STALE_TAGS = ("rotate", "duration", "encoder", "bps", "number_of_", "_statistics", "vendor_id")
"""Beginnings of stream tags that describe the old file, not the content."""


@dataclass(frozen=True, slots=True)
class CopiedStream:
    """One stream of the source and its place in the result."""

    source: Any
    target: Any


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
        VideoError: the container cannot hold one of the sound streams.
    """
    copied = []
    for stream in source.streams:
        if stream.index == video_index:
            continue
        codec = stream.codec_context.codec.canonical_name if stream.codec_context is not None else ""
        new = _add_stream(target, stream, codec)
        if new is not None:
            new.metadata.clear()
            new.metadata.update(kept_tags(dict(stream.metadata)))
            new.disposition = stream.disposition
            copied.append(CopiedStream(stream, new))
        elif stream.type == "audio":
            raise VideoError(
                f"Sound stream {stream.index} is {codec or 'unknown'}, which a {target.format.name} "
                "file cannot hold, and sound is never re-encoded. Choose another ending; .mkv takes all."
            )
        elif not _is_chapter_track(stream, codec):
            what = f" ({codec})" if codec else ""
            notes.append(
                f"Stream {stream.index}, {stream.type}{what}, does not fit the result and was left out."
            )
    return copied


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
    source: av.container.InputContainer,
    streams: list[CopiedStream],
    span: Span,
    shift_s: Fraction,
    notes: list[str],
) -> Iterator[tuple[Fraction, av.Packet[Any]]]:
    """Packets for the result in the order in which the source holds them, each with its time in seconds.

    Args:
        source: freshly opened.
        streams: as `add_copied_streams` made them.
        span: the part that is wanted, on the source's clock.
        shift_s: what is taken from every time stamp.
        notes: a broken source adds a sentence here.
    """
    wanted = {c.source.index: c.target for c in streams if c.source.type != "attachment"}
    if not wanted:
        return
    if span.start_s is not None:
        # A second early: sound and subtitles that reach over the start are stored before it.
        source.seek(max(int((span.start_s - 1) * av.time_base), 0), backward=True)
    exact_start = streams[0].target.container.format.name.split(",")[0] not in _MATROSKA_LIKE
    ended: set[int] = set()
    for packet in _whole_packets(source, [c.source for c in streams if c.source.index in wanted], notes):
        if packet.pts is None:
            continue
        begin = packet.pts * packet.time_base
        if span.end_s is not None and begin >= span.end_s:
            ended.add(packet.stream_index)
            if len(ended) == len(wanted):
                return
            continue
        if not _fit_start(packet, span, exact_start):
            continue
        target = wanted[packet.stream_index]
        _shift(packet, shift_s)
        packet.stream = target
        yield (
            max((packet.dts if packet.dts is not None else packet.pts) * packet.time_base, Fraction(0)),
            packet,
        )


def _whole_packets(
    source: av.container.InputContainer, streams: list[Any], notes: list[str]
) -> Iterator[av.Packet[Any]]:
    """Everything that can be read of some streams; where the file breaks, the end with a note."""
    try:
        for packet in source.demux(streams):
            if packet.size == 0:
                continue
            if packet.stream.type == "video":
                # A cover has no time.
                packet.pts = packet.dts = 0
            yield packet
    except av.FFmpegError:
        notes.append("The sound breaks off where the file is damaged.")


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
