"""A folder that one program at a time may work in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hififace.errors import HififaceError

_NAME = ".in-use"


@contextlib.contextmanager
def folder_lock(folder: Path, refusal: HififaceError) -> Iterator[None]:
    """Hold a folder; it is made where it is missing, and removed at the end if nothing else was put into it.

    The operating system holds the lock, not the file: it ends with the process, however that ends.

    Args:
        folder: what is worked in.
        refusal: raised if another process, or another thread of this one, works in it.

    Raises:
        HififaceError: `refusal`, or the folder cannot be made.
    """
    file = folder / _NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        lock.acquire(blocking=False)
    except Timeout:
        raise refusal from None
    except OSError as error:
        raise HififaceError(f"{folder} cannot be worked in: {error.strerror or error}.") from error
    try:
        yield
    finally:
        # Removed while it is held where systems allow it, so that nobody takes what is about to go; Windows does not.
        with contextlib.suppress(OSError):
            file.unlink()
        lock.release()
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # work to go on with lies there
            folder.rmdir()
