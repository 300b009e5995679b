"""Video files opened by whichever PyAV is installed, as containers that we name; everything else is in `media/`."""

from __future__ import annotations

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


@cache
def _forgiving() -> dict[str, Any]:
    """PyAV 17 and 18 refuse such tags unless told otherwise; 19 reads them and has no such argument."""
    import av

    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
