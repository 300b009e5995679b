"""What outlives a process that was killed: workers, which are told to end, and temporary files, which are swept."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import platform
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

_MARK: Final = re.compile(r"(?P<place>[0-9a-f]{8})-(?P<pid>[0-9]{1,10})-[0-9]{1,20}", re.ASCII)

_PREFIX: Final = "hififace-"

OLD_S: Final = 86400.0
"""What another machine marked, or another container, is left behind once nobody has written to it for so long."""


def usable_cores() -> int:
    """Cores that this process may use: in a container, those of the container instead of the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def end_with_parent() -> None:
    """Called first in each worker of a pool: from now on it ends as soon as the process that wants the answers is gone.

    A pool ends its workers when it is closed. Where its process is killed it never is, and its workers would wait for
    tasks for ever, each with its networks in memory: they hold both ends of the pipe that they read.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_after, args=(parent,), name="end-with-parent", daemon=True).start()


def _leave_after(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)  # whatever the main thread is at: nobody waits for it


def process_mark() -> str:
    """For the names of temporary files: tells which machine, process and thread is at work on them."""
    return f"{_place()}-{os.getpid()}-{threading.get_ident()}"


def is_left_behind(mark: str, path: Path) -> bool:
    """Whether a file or folder that carries a `process_mark` belongs to a process that is no more.

    Args:
        mark: what its name holds; anything that is no mark is nobody's to remove.
        path: where it is.
    """
    found = _MARK.fullmatch(mark)
    if found is None:
        return False
    if found["place"] != _place() or os.name == "nt":
        with suppress(OSError):
            return time.time() - path.stat().st_mtime > OLD_S
        return False
    try:
        os.kill(int(found["pid"]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # somebody else's process
        return False
    return False


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for temporary files; what killed processes left of theirs is swept."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*.scratch-*"):
        if is_left_behind(folder.name.removeprefix(_PREFIX).partition(".scratch-")[0], folder):
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{process_mark()}.scratch-") as made:
        yield Path(made)


@cache
def _place() -> str:
    """Where process numbers mean what they mean here: the machine, and the container in it."""
    space = ""
    with suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]
