"""Worker processes that end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import threading


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
