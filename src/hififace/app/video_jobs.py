"""Videos wait in a line and are swapped by a few threads, whether or not anybody's browser is looking.

jobs = VideoJobs(at_once=1, waiting=20)
job = jobs.submit(work)        # work(progress, should_stop) -> (file, report)
job.standing                   # how far it is: any thread may look at any time
jobs.cancel(job)
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from hififace.errors import HififaceError, InterruptedByUserError
from hififace.hosting.meter import LimitError
from hififace.video.report import VideoProgress, VideoReport

LOGGER = logging.getLogger(__name__)

Status = Literal["waiting", "working", "done", "cancelled", "failed"]
Work: TypeAlias = "Callable[[Callable[[VideoProgress], None], Callable[[], bool]], VideoReport]"
"""Told a place for its progress, and whom to ask whether to stop; raises InterruptedByUserError when it did."""

OVER: Final = frozenset({"done", "cancelled", "failed"})

_ASK_EVERY_S: Final = 0.2

_UNFORESEEN: Final = "Something went wrong on the machine that serves this page; its log says what."


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a video is, at one moment."""

    status: Status
    before: int = 0
    """Videos that wait or are at work before this one; only while it waits."""
    progress: VideoProgress | None = None
    report: VideoReport | None = None
    """Where it is done."""
    problem: str = ""
    """The sentence that says why it failed, or how far it was when it was cancelled."""
    seconds: float = 0.0
    """Since it began to be worked on."""
    stopping: bool = False
    """It was cancelled, and the frame at work is being finished."""

    @property
    def over(self) -> bool:
        """Nothing will change any more."""
        return self.status in OVER

    @property
    def file(self) -> Path | None:
        """The marked result, where there is one."""
        return None if self.report is None else self.report.output


class VideoJob:
    """One video in the line."""

    def __init__(self, work: Work, before: Callable[[VideoJob], int]) -> None:
        self._work, self._before = work, before
        self._standing = Standing("waiting")
        self._stop, self._over = threading.Event(), threading.Event()
        self._began: float | None = None

    @property
    def standing(self) -> Standing:
        """How far it is."""
        standing = self._standing  # replaced as a whole by the working thread, never changed
        if standing.status == "waiting":
            return replace(standing, before=self._before(self))
        if standing.status == "working":
            return replace(standing, stopping=self._stop.is_set())
        return standing

    def cancel(self) -> None:
        """Stop as soon as the frame at work is done; `wait` says when that is."""
        self._stop.set()

    def await_turn(self, turns: threading.Semaphore) -> bool:
        """Wait for a permit; False where it was cancelled before there was one."""
        while not turns.acquire(timeout=_ASK_EVERY_S):
            if self._stop.is_set():
                self.give_up()
                return False
        return True

    def give_up(self) -> None:
        """Never begin: it was taken out of the line."""
        self._end(Standing("cancelled", problem="Cancelled before it began."))

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is over; False if it is not yet."""
        return self._over.wait(timeout_s)

    def run(self) -> None:
        """Do the work, in the calling thread; whatever happens becomes its standing."""
        self._began = time.perf_counter()
        self._standing = Standing("working")
        try:
            report = self._work(self._note, self._stop.is_set)
            self._end(replace(self._standing, status="done", report=report))
        except InterruptedByUserError:
            done = self._standing.progress.done if self._standing.progress else 0
            self._end(replace(self._standing, status="cancelled", problem=f"Cancelled after {done} frames."))
        except HififaceError as error:
            self._end(replace(self._standing, status="failed", problem=str(error)))
        except Exception:
            LOGGER.exception("a video of the web page failed unforeseen")
            self._end(replace(self._standing, status="failed", problem=_UNFORESEEN))

    def _note(self, progress: VideoProgress) -> None:
        assert self._began is not None
        self._standing = Standing("working", progress=progress, seconds=time.perf_counter() - self._began)

    def _end(self, standing: Standing) -> None:
        self._standing = standing
        self._over.set()


class VideoJobs:
    """The line. Threads may share one.

    Args:
        at_once: videos at work at the same time.
        waiting: videos that may wait.
        turns: permits shared with others who work on videos in this process; None: there are none.
    """

    def __init__(self, *, at_once: int, waiting: int, turns: threading.Semaphore | None = None) -> None:
        self._at_once, self._most = at_once, waiting
        self._turns = turns or threading.BoundedSemaphore(at_once)
        self._waiting: list[VideoJob] = []
        self._working: list[VideoJob] = []
        self._changed = threading.Condition()
        self._stopped = False
        self._threads: list[threading.Thread] = []

    def submit(self, work: Work) -> VideoJob:
        """Put a video at the end of the line.

        Raises:
            LimitError: the line is full.
        """
        with self._changed:
            if len(self._waiting) >= self._most:
                raise LimitError(
                    f"{len(self._waiting)} videos are waiting, as many as this page takes. Try again later."
                )
            job = VideoJob(work, self._before)
            self._waiting.append(job)
            # Threads are started when there is work for them: most pages never see a video.
            if len(self._threads) < self._at_once:
                name = f"hififace-video-{len(self._threads)}"
                self._threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
                self._threads[-1].start()
            self._changed.notify()
        return job

    def cancel(self, job: VideoJob) -> None:
        """Take a video out of the line, or stop it; returns at once."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                job.give_up()
            else:
                job.cancel()

    def stop(self) -> None:
        """Cancel everything and wait until nothing is at work."""
        with self._changed:
            self._stopped = True
            for job in self._waiting:
                job.give_up()
            self._waiting.clear()
            for job in self._working:
                job.cancel()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _before(self, job: VideoJob) -> int:
        with self._changed:
            place = self._waiting.index(job) if job in self._waiting else 0
            return place + len(self._working)

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                job = self._waiting.pop(0)
                self._working.append(job)
            try:
                if job.await_turn(self._turns):
                    try:
                        job.run()
                    finally:
                        self._turns.release()
            finally:
                with self._changed:
                    self._working.remove(job)
