"""Film files opened by whichever PyAV is installed; everything else about films is in `media/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.container import InputContainer


def open_container(path: Path) -> InputContainer:
    """A film file opened for reading, even if its tags are not UTF-8: what they cannot be is replaced on reading.

    Raises:
        av.FFmpegError, ValueError: it cannot be read.
    """
    import av

    container: InputContainer = av.open(str(path), "r", **_forgiving())
    return container


def readable(text: str) -> str:
    """A tag without the half characters that PyAV 19 keeps of bytes that are no UTF-8: they could not be written."""
    return text.encode("utf-8", "replace").decode("utf-8")


@cache
def _forgiving() -> dict[str, Any]:
    """PyAV 17 and 18 refuse such tags unless told otherwise; 19 reads them and has no such argument."""
    import av

    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
