"""Files that are written whole or not at all, whatever happens in between."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from hififace.errors import HififaceError, OptionError
from hififace.processes import is_left_behind, process_mark

_ADDRESS: Final = re.compile(r"(https?|ftp|s3|rtmp|rtsp)://?(.*)", re.IGNORECASE)

_TEMPORARY: Final = re.compile(
    r"\..*\.(?P<mark>[0-9a-f]+-[0-9]+-[0-9]+)\.part(\.[^.]*)?", re.ASCII | re.DOTALL
)
"""The names that `atomic_path` gives."""

_MOST_SWEPT: Final = 1000
_swept: set[Path] = set()
"""Folders in which this process looked for what others left."""

_LONGEST_NAME: Final = 255
"""Bytes of a file's name on every file system in common use."""


def atomic_write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all; missing folders are made.

    Raises:
        HififaceError: the place cannot be written to; nothing is left behind.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(data)


def refuse_no_file(path: str | os.PathLike[str]) -> None:
    """Stop where something lies at a place that a file cannot take.

    Raises:
        HififaceError: a folder, a device, a pipe or a socket; or its name cannot be a file's.
    """
    try:
        mode = Path(path).resolve().stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise HififaceError(f"{path} cannot be written: {error.strerror or error}.") from error
    if stat.S_ISDIR(mode):
        raise HififaceError(f"{path} is a folder; the name of a file was expected.")
    if not stat.S_ISREG(mode):
        raise HififaceError(f"{path} is a device or a pipe; the name of a file was expected.")


def refuse_address(path: object) -> None:
    """Stop where an address on the web was given in place of a file; paths spoil addresses, so look at it early.

    Raises:
        OptionError: it was.
    """
    found = _ADDRESS.match(
        path if isinstance(path, str) else os.fspath(path) if isinstance(path, Path) else ""
    )
    if found:
        address = f"{found[1]}://{found[2]}"
        raise OptionError(
            f"{address} is an address; nothing is downloaded here. Save it as a file and give its name."
        )


def refuse_overwriting(
    outputs: Iterable[str | os.PathLike[str]], reads: Iterable[str | os.PathLike[str]]
) -> None:
    """Stop before a command replaces a file that it reads, under whatever name: links of both kinds are followed.

    Raises:
        OptionError: it would.
    """
    read = {key for path in reads for key in _identities(path)}
    for output in outputs:
        if not read.isdisjoint(_identities(output)):
            raise OptionError(
                f"{output} is read by this very command and would be overwritten; choose another name."
            )


def _identities(path: str | os.PathLike[str]) -> Iterator[tuple[object, ...]]:
    """What makes a file itself: its place, and (for hard links) its number on the file system."""
    yield ("place", Path(path).resolve())
    with contextlib.suppress(OSError, ValueError):
        found = Path(path).stat()
        if found.st_ino:
            yield ("number", found.st_dev, found.st_ino)


def shortened(name: str, room_bytes: int = 0) -> str:
    """A name that still fits the file system with `room_bytes` beside it; a cut one ends in a digest of the whole."""
    room = _LONGEST_NAME - room_bytes
    encoded = os.fsencode(name)
    if len(encoded) <= room:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    return encoded[: room - len(digest) - 1].decode("utf-8", "ignore") + "-" + digest


def sweep(folder: Path) -> None:
    """Remove what killed processes left half written in a folder; looked for once by each process.

    Files of processes that are still at work, of other programs, and recent ones of other machines stay.
    """
    if folder in _swept:
        return
    if len(_swept) >= _MOST_SWEPT:
        _swept.clear()
    _swept.add(folder)
    for path in folder.glob(".*.part*"):
        found = _TEMPORARY.fullmatch(path.name)
        if found and is_left_behind(found["mark"], path):
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A name in the same folder to write to; it takes its place on success and is removed on any failure.

    The name keeps the ending, so that libraries which look at it choose the same format.

    Raises:
        HififaceError: the place cannot be written to, or holds something that is no file: a device or a pipe would
            be replaced by a file, not written to.
    """
    final = Path(path).resolve()
    ending = f".{process_mark()}.part{final.suffix}"
    temporary = final.with_name(f".{shortened(final.stem, len(os.fsencode(ending)) + 1)}{ending}")
    try:
        refuse_no_file(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        sweep(final.parent)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(final)
    except OSError as error:
        raise HififaceError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):  # its folder may not even exist
            temporary.unlink(missing_ok=True)
