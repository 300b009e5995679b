"""Video files opened by whichever PyAV is installed, as containers that we name, and their comment.

Everything else about videos is in `media/`.
"""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from av.container import InputContainer

DEMUXERS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "avi",
    "mpeg",
    "mpegts",
    "mpegvideo",
    "asf",
    "flv",
    "ogg",
    "mxf",
    "nut",
    "dv",
    "h264",
    "hevc",
    "ivf",
)
"""FFmpeg's names of the containers that are opened. Left out above all: playlists and scripts (`concat`, `hls`,
`dash`, `sdp`, `image2`, ...), which name other files or addresses that the demuxer then reads."""

_RESTRICTED: Final = {"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "file"}


def open_container(path: Path) -> InputContainer:
    """A video file opened for reading, even if its tags are not UTF-8: what they cannot be is replaced on reading.

    Raises:
        av.FFmpegError, ValueError: it cannot be read.
    """
    import av

    # "file:" keeps a colon in a file's name from being read as a protocol.
    container: InputContainer = av.open(f"file:{path}", "r", options=dict(_RESTRICTED), **_forgiving())
    return container


def readable(text: str) -> str:
    """A tag without the half characters that PyAV 19 keeps of bytes that are no UTF-8: they could not be written."""
    return text.encode("utf-8", "replace").decode("utf-8")


_ID3: Final = "timed_id3"
_LOOKED_AT: Final = 5000
"""Packets of a transport stream among which its comment is looked for; it is repeated every few seconds."""


def comment_of(path: Path) -> str:
    """The comment of a video: among its tags, or in the timed ID3 tags of a transport stream; "" where it has none.

    Raises:
        av.FFmpegError, OSError, ValueError: it cannot be read.
    """
    with open_container(path) as container:
        tags = {name.lower(): readable(text) for name, text in container.metadata.items()}
        if "comment" in tags:
            return tags["comment"]
        timed = [s for s in container.streams.data if getattr(s, "name", None) == _ID3]
        if not timed:
            return ""
        for packet in itertools.islice(container.demux(), _LOOKED_AT):
            if packet.stream in timed and (text := comment_in_id3(bytes(packet))):
                return text
    return ""


def id3_comment(text: str) -> bytes:
    """An ID3v2.4 tag that holds one comment: what a transport stream has in place of metadata."""
    body = b"\x03eng\x00" + text.encode("utf-8")
    frame = b"COMM" + _syncsafe(len(body)) + b"\x00\x00" + body
    return b"ID3\x04\x00\x00" + _syncsafe(len(frame)) + frame


def comment_in_id3(data: bytes) -> str:
    """The first comment of an ID3v2.4 tag, as `id3_comment` writes it; "" where there is none."""
    if data[:4] != b"ID3\x04" or len(data) < 10:
        return ""
    place, end = 10, min(10 + _plain(data[6:10]), len(data))
    while place + 10 <= end:
        size = _plain(data[place + 4 : place + 8])
        body = data[place + 10 : min(place + 10 + size, end)]
        if data[place : place + 4] == b"COMM" and body[:1] == b"\x03":
            return body[4:].partition(b"\x00")[2].decode("utf-8", "replace")
        place += 10 + size
    return ""


def _syncsafe(number: int) -> bytes:
    """ID3's numbers: 28 bits in four bytes, seven in each."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _plain(data: bytes) -> int:
    number = 0
    for byte in data:
        number = number << 7 | byte & 0x7F
    return number


@cache
def _forgiving() -> dict[str, Any]:
    """PyAV 17 and 18 refuse such tags unless told otherwise; 19 reads them and has no such argument."""
    import av

    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
