"""Jobs at work: videos and lists of images, by a few threads; stopped or killed at any moment, they go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from hififace.hosting.bundles import Bundles
from hififace.server.job_work import JobOrder, JobOutcome, Note, ShouldStop, work_on
from hififace.server.logs import LOGGER
from hififace.server.metrics import Metrics
from hififace.server.problems import of_exception
from hififace.server.settings import ServiceLimits
from hififace.server.store import Job, JobStore

_SWEEP_EVERY_S: Final = 15.0
_IDLE_S: Final = 0.5

Elsewhere: TypeAlias = "Callable[[JobOrder, Note, ShouldStop], JobOutcome]"
"""Does a job on another machine; blocks until it is over."""


class JobWorkers:
    """The threads that work.

    Args:
        store: what there is to do.
        benches: what with, once for each device.
        limits: of sizes, and how long results are kept.
        metrics: told what was done.
        at_once: threads; 0 leaves the work to other services.
        default_model: of jobs that name none.
        turns: permits of what is at work at the same time, shared with the page.
        elsewhere: does the jobs in place of this machine.
    """

    def __init__(
        self,
        store: JobStore,
        benches: Sequence[Bundles],
        limits: ServiceLimits,
        metrics: Metrics,
        *,
        at_once: int,
        default_model: str,
        turns: threading.Semaphore,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._store, self._limits, self._metrics = store, limits, metrics
        self._default, self._turns, self._elsewhere = default_model, turns, elsewhere
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._owed: set[str] = set()
        """Jobs whose end could not be noted: they return to the queue as soon as the disk can be written."""
        store.sweep(limits.keep_minutes * 60)
        self._threads = [
            threading.Thread(
                target=self._serve,
                args=(benches[number % len(benches)],),
                name=f"hififace-job-{number}",
                daemon=True,
            )
            for number in range(at_once)
        ]
        self._threads.append(threading.Thread(target=self._sweep, name="hififace-sweep", daemon=True))
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is a new job."""
        self._news.set()

    def stop(self) -> None:
        """Stop after the frame or image at work; the jobs are given back, and go on when a service starts again."""
        self._stopping.set()
        self._news.set()
        for thread in self._threads:
            thread.join()

    def _sweep(self) -> None:
        while not self._stopping.wait(_SWEEP_EVERY_S):
            try:
                self._store.sweep(self._limits.keep_minutes * 60)
            except Exception:  # noqa: BLE001  # a full disk, say: the thread must go on
                LOGGER.exception("old jobs could not be removed")

    def _serve(self, bench: Bundles) -> None:
        while not self._stopping.is_set():
            if not self._turns.acquire(timeout=_IDLE_S):
                continue
            try:
                worked = self._work_on_one(bench)
            except Exception:  # noqa: BLE001  # a full disk, say: the thread must go on
                LOGGER.exception("no job could be taken, or its end not be noted")
                self._stopping.wait(1.0)
                continue
            finally:
                self._turns.release()
            if not worked:
                self._news.wait(_IDLE_S)  # other services put jobs there too
                self._news.clear()

    def _work_on_one(self, bench: Bundles) -> bool:
        """Whether there was a job."""
        for owed in tuple(self._owed):
            self._store.give_back(owed)
            self._owed.discard(owed)
        job = self._store.claim()
        if job is None:
            return False
        said: dict[str, Any] = {"job": job.id, "kind": job.kind}
        LOGGER.info("job begins", extra={"fields": said})
        began = time.monotonic()
        try:
            state = self._ended(job, self._outcome(job, bench))
        except BaseException:
            self._owed.add(job.id)
            raise
        self._metrics.jobs.labels(job.kind, state).inc()
        self._store.sweep()
        LOGGER.info(
            "job ends",
            extra={"fields": {**said, "state": state, "seconds": round(time.monotonic() - began, 3)}},
        )
        return True

    def _outcome(self, job: Job, bench: Bundles) -> JobOutcome:
        order = JobOrder(job.id, job.kind, self._store.folder(job.id), job.asked, self._default, self._limits)
        noted = job.done

        def note(done: int, expected: int | None, per_second: float) -> None:
            nonlocal noted
            if job.kind == "video":
                self._metrics.frames.inc(max(done - noted, 0))
            noted = done
            self._store.note(job.id, done, expected, per_second)

        def should_stop() -> bool:
            return self._stopping.is_set() or not self._store.is_wanted(job.id)

        try:
            if self._elsewhere is not None:
                return self._elsewhere(order, note, should_stop)
            return work_on(order, bench, note, should_stop)
        except Exception as error:  # noqa: BLE001  # becomes the job's standing, and is logged
            return JobOutcome("failed", problem=of_exception(error).detail)

    def _ended(self, job: Job, outcome: JobOutcome) -> str:
        if outcome.state == "stopped":
            state = "stopped" if self._store.is_wanted(job.id) else "cancelled"
            self._store.give_back(job.id)
            return state
        if outcome.state == "failed":
            self._store.fail(job.id, outcome.problem)
            return "failed"
        report = outcome.report or {}
        self._store.finish(job.id, result=outcome.result, report=report)
        for one in report.get("images", ()):
            self._metrics.images.labels("failed" if one["problem"] else "swapped").inc()
        return "done"
