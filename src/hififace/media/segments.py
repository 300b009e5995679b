r"""A stretch of encoded video on disk, exact to the last time stamp, whole or not there at all.

A result is always written through segments, each made by a fresh encoder, whether the run is interrupted or
not: so a run that was killed and went on gives the very bytes of one that was not. A segment is a log of
packets, not a video: containers round time stamps and rewrite headers, a log does not. Layout, little-endian:

    8 bytes   "HFSEG\x00\x00\x01"
    records   pts i64, dts i64, duration i64, flags u32 (1: key frame, 2: with transparency), size u32, then `size`
              bytes; with transparency these are its length u32, it, and the image
    tail      JSON (UTF-8): what the segment holds, with the caller's own state
    16 bytes  length of the tail u64, CRC-32 of everything before it u32, "HFS1"
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

import av

from hififace.errors import VideoError
from hififace.media.atomic import atomic_path
from hififace.media.encoding import EncodeSettings, open_encoder
from hififace.media.frames import Frame
from hififace.media.timing import Place

_MAGIC = b"HFSEG\x00\x00\x01"
_RECORD = struct.Struct("<qqqII")
_TAIL = struct.Struct("<QI4s")
_LENGTH = struct.Struct("<I")
_HAS_ALPHA = 2
_END = b"HFS1"

ALPHA_SIDE_DATA: Final = "matroska_block_additional"
"""FFmpeg's name of what Matroska and WebM hold beside an image: its transparency."""


@dataclass(frozen=True, slots=True)
class StoredPacket:
    """One encoded frame."""

    pts: int
    dts: int
    duration: int
    is_keyframe: bool
    data: bytes
    alpha: bytes = b""
    """What VP8 and VP9 code of transparency beside the image."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished segment.

    Attributes:
        path: where it lies.
        first_index: place of its first frame in the whole sequence.
        num_frames: how many frames it holds.
        last_pts: time stamp of its last frame, in `time_base`.
        time_base: seconds per unit.
        settings: fingerprint of what it was encoded with.
        body_bytes: where its packets end.
    """

    path: Path
    first_index: int
    num_frames: int
    last_pts: int
    time_base: Fraction
    settings: dict[str, str]
    body_bytes: int

    @property
    def place(self) -> Place:
        """The last frame it holds."""
        return Place(self.first_index + self.num_frames - 1, self.last_pts)

    def read_state(self) -> dict[str, Any]:
        """What the writer wanted to find again when a run resumes after this segment.

        Read from the file whenever it is asked for: the states of a long video would fill the memory.
        """
        with self.path.open("rb") as file:
            state: dict[str, Any] = _read_tail(file, self.path.stat().st_size, self.body_bytes)["state"]
        return state

    def packets(self) -> Iterator[StoredPacket]:
        """Its packets in coding order."""
        with self.path.open("rb") as file:
            file.seek(len(_MAGIC))
            while file.tell() < self.body_bytes:
                pts, dts, duration, flags, size = _RECORD.unpack(file.read(_RECORD.size))
                data, alpha = file.read(size), b""
                if flags & _HAS_ALPHA:
                    (length,) = _LENGTH.unpack_from(data)
                    alpha, data = data[_LENGTH.size : _LENGTH.size + length], data[_LENGTH.size + length :]
                yield StoredPacket(pts, dts, duration, bool(flags & 1), data, alpha)

    def time_stamps(self) -> list[int]:
        """Presentation time stamps in coding order, without reading the images."""
        stamps = []
        with self.path.open("rb") as file:
            file.seek(len(_MAGIC))
            while file.tell() < self.body_bytes:
                pts, _, _, _, size = _RECORD.unpack(file.read(_RECORD.size))
                stamps.append(pts)
                file.seek(size, os.SEEK_CUR)
        return stamps


def open_segment(path: Path) -> Segment:
    """Read what a segment says about itself and check that it is whole.

    Raises:
        VideoError: cut short, altered, or no segment.
    """
    broken = VideoError(
        f"{path} is not a whole segment of a video; remove it and run the same command again."
    )
    size = path.stat().st_size
    with path.open("rb") as file:
        if size < len(_MAGIC) + _TAIL.size or file.read(len(_MAGIC)) != _MAGIC:
            raise broken
        file.seek(size - _TAIL.size)
        tail_bytes, checksum, end = _TAIL.unpack(file.read(_TAIL.size))
        body = size - _TAIL.size - tail_bytes
        if end != _END or body < len(_MAGIC) or checksum != _crc(file, size - _TAIL.size):
            raise broken
        said = _read_tail(file, size, body)
    return Segment(
        path=path,
        first_index=said["first_index"],
        num_frames=said["num_frames"],
        last_pts=said["last_pts"],
        time_base=Fraction(said["time_base"]),
        settings=said["settings"],
        body_bytes=body,
    )


def _read_tail(file: BinaryIO, size: int, body_bytes: int) -> dict[str, Any]:
    file.seek(body_bytes)
    said: dict[str, Any] = json.loads(file.read(size - _TAIL.size - body_bytes))
    return said


def _crc(file: BinaryIO, num_bytes: int) -> int:
    file.seek(0)
    value = 0
    while num_bytes > 0:
        block = file.read(min(1 << 20, num_bytes))
        if not block:
            return -1
        value = zlib.crc32(block, value)
        num_bytes -= len(block)
    return value


def write_segment(
    path: Path,
    frames: Iterator[Frame],
    settings: EncodeSettings,
    state: Callable[[Place], dict[str, Any]],
) -> Segment | None:
    """Encode frames into one segment; None (and no file) if there are none.

    Args:
        path: where it goes; it appears only when whole.
        frames: in order of time.
        settings: how to encode.
        state: asked once, with the place of the last frame: what to find again, anything JSON can hold.
    """
    first = next(frames, None)
    if first is None:
        return None
    with atomic_path(path) as temporary, temporary.open("w+b") as file:
        writer = _PacketWriter(file)
        context = open_encoder(settings)
        count, last = 0, first
        frame: Frame | None = first
        while frame is not None:
            writer.durations[frame.pts] = frame.duration
            writer.add(context.encode(frame.image(settings.pixel_format, settings.colour)))
            count, last = count + 1, frame
            frame = next(frames, None)
        writer.add(context.encode(None))
        said = {
            "first_index": first.index,
            "num_frames": count,
            "last_pts": last.pts,
            "time_base": str(settings.time_base),
            "settings": settings.fingerprint(),
            "state": state(Place(last.index, last.pts)),
        }
        writer.finish(said)
    return open_segment(path)


class _PacketWriter:
    """Appends records to an open segment and keeps its checksum."""

    def __init__(self, file: BinaryIO) -> None:
        self.durations: dict[int, int] = {}
        self._file, self._crc = file, 0
        self._put(_MAGIC)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._crc = zlib.crc32(data, self._crc)

    def add(self, packets: list[av.Packet[Any]]) -> None:
        for packet in packets:
            pts = packet.pts if packet.pts is not None else 0
            dts = packet.dts if packet.dts is not None else pts
            data = bytes(packet)
            duration = self.durations.pop(pts, 0)
            flags = int(packet.is_keyframe)
            if packet.has_sidedata(ALPHA_SIDE_DATA):
                alpha = bytes(packet.get_sidedata(ALPHA_SIDE_DATA))
                flags, data = flags | _HAS_ALPHA, _LENGTH.pack(len(alpha)) + alpha + data
            self._put(_RECORD.pack(pts, dts, duration, flags, len(data)))
            self._put(data)

    def finish(self, said: dict[str, Any]) -> None:
        tail = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
        self._put(tail)
        self._file.write(_TAIL.pack(len(tail), self._crc, _END))
        self._file.flush()
