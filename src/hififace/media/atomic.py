"""Files that are written whole or not at all, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from hififace.errors import HififaceError


def atomic_write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all; missing folders are made.

    Raises:
        HififaceError: the place cannot be written to; nothing is left behind.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(data)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A name in the same folder to write to; it takes its place on success and is removed on any failure.

    The name keeps the ending, so that libraries which look at it choose the same format.

    Raises:
        HififaceError: the place cannot be written to.
    """
    final = Path(path).resolve()
    temporary = final.with_name(f".{final.stem}.{os.getpid()}-{threading.get_ident()}.part{final.suffix}")
    try:
        if final.is_dir():
            raise HififaceError(f"{path} is a folder; the name of a file was expected.")
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(final)
    except OSError as error:
        raise HififaceError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):  # its folder may not even exist
            temporary.unlink(missing_ok=True)
