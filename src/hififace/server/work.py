"""Jobs at work: videos and lists of images, by a few threads; stopped or killed at any moment, they go on.

Everything that a job needs lies in its folder: `source-N`, `target-N`, unfinished work, and the result.
"""

from __future__ import annotations

import threading
import time
import zipfile
from pathlib import Path
from typing import Any, Final

from hififace.errors import HififaceError, ImageError, InterruptedByUserError
from hififace.hosting.bundles import Bundles
from hififace.hosting.meter import LimitError
from hififace.media.atomic import atomic_path
from hififace.media.image import suffix_for
from hififace.server.line import read_photo
from hififace.server.logs import LOGGER
from hififace.server.metrics import Metrics
from hififace.server.problems import FieldError, of_exception
from hififace.server.schemas import JobAsked
from hififace.server.settings import ServiceLimits
from hififace.server.store import Job, JobStore
from hififace.swap.source_map import Source
from hififace.swapper import FaceSwapper
from hififace.video.report import VideoProgress

_NOTE_EVERY_S: Final = 0.2
_SWEEP_EVERY_S: Final = 15.0


class _CancelledError(Exception):
    """The owner, or the end of the service, stopped a job."""


class JobWorkers:
    """The threads that work.

    Args:
        store: what there is to do.
        bundles: what with.
        limits: of sizes, and how long results are kept.
        metrics: told what was done.
        at_once: threads; 0 leaves the work to other services.
        default_model: of jobs that name none.
    """

    def __init__(
        self,
        store: JobStore,
        bundles: Bundles,
        limits: ServiceLimits,
        metrics: Metrics,
        *,
        at_once: int,
        default_model: str,
    ) -> None:
        self._store, self._bundles, self._limits, self._metrics = store, bundles, limits, metrics
        self._default = default_model
        self._stopping = threading.Event()
        self._news = threading.Event()
        store.sweep(limits.keep_minutes * 60)
        self._threads = [
            threading.Thread(target=self._serve, name=f"hififace-job-{number}", daemon=True)
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

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                job = self._store.claim()
            except Exception:  # noqa: BLE001  # a full disk, say: the thread must go on
                LOGGER.exception("no job could be taken")
                self._stopping.wait(1.0)
                continue
            if job is None:
                self._news.wait(0.5)  # other services put jobs there too
                self._news.clear()
                continue
            self._run(job)

    def _run(self, job: Job) -> None:
        said: dict[str, Any] = {"job": job.id, "kind": job.kind}
        LOGGER.info("job begins", extra={"fields": said})
        began = time.monotonic()
        state = "done"
        try:
            run = self._video if job.kind == "video" else self._images
            result, report = run(job)
            self._store.finish(job.id, result=result, report=report)
        except (_CancelledError, InterruptedByUserError):
            state = "stopped" if self._store.is_wanted(job.id) else "cancelled"
            self._store.give_back(job.id)
        except Exception as error:  # noqa: BLE001  # becomes the job's standing, and is logged
            state = "failed"
            told = of_exception(error)
            self._store.fail(job.id, told.detail.replace(str(self._store.folder(job.id)), "the job"))
        self._metrics.jobs.labels(job.kind, state).inc()
        self._store.sweep()
        LOGGER.info(
            "job ends",
            extra={"fields": {**said, "state": state, "seconds": round(time.monotonic() - began, 3)}},
        )

    # -------------------------------------------------------------------------------------------------------

    def _begin(self, job: Job) -> tuple[JobAsked, FaceSwapper, Source, list[Path]]:
        asked = JobAsked.model_validate(job.asked)
        swapper = self._bundles.swapper(asked.model or self._default)
        folder = self._store.folder(job.id)
        photos = [
            read_photo(path.read_bytes(), "source", self._limits.megapixels)
            for path in sorted(folder.glob("source-*"))
        ]
        try:
            source = swapper.read_source(photos, face=asked.source_face)
        except HififaceError as error:
            raise FieldError("source", error) from error
        return asked, swapper, source, sorted(folder.glob("target-*"))

    def _video(self, job: Job) -> tuple[str, dict[str, Any]]:
        asked, swapper, source, (target,) = self._begin(job)
        folder, told_at, most = self._store.folder(job.id), 0.0, self._limits.video_frames
        output = folder / f"result{target.suffix}"
        frames, cut = job.done, False

        def note(progress: VideoProgress) -> None:
            nonlocal told_at, frames, cut
            self._metrics.frames.inc(max(progress.done - frames, 0))
            frames, cut = progress.done, progress.done > most
            if time.monotonic() - told_at >= _NOTE_EVERY_S or progress.done == progress.expected:
                told_at = time.monotonic()
                self._store.note(job.id, progress.done, progress.expected, round(progress.fps, 2))

        asked_at, wanted = 0.0, True

        def should_stop() -> bool:
            nonlocal asked_at, wanted
            if time.monotonic() - asked_at >= _NOTE_EVERY_S:
                asked_at, wanted = time.monotonic(), self._store.is_wanted(job.id)
            return cut or not wanted or self._stopping.is_set()

        try:
            report = swapper.swap_video(
                target,
                output,
                asked.swap_options(),
                asked.video_options(work_folder=folder),
                asked.output_options(),
                sources=source,
                progress=note,
                should_stop=should_stop,
            )
        except InterruptedByUserError:
            if cut:
                raise LimitError(
                    f"The video has more than {most} frames, as many as are taken. Cut it."
                ) from None
            raise
        self._store.note(job.id, report.tally.num_frames, report.tally.num_frames, round(report.fps, 2))
        said = report.to_json()
        return output.name, {name: said[name] for name in said if name not in {"target", "output"}}

    def _images(self, job: Job) -> tuple[str, dict[str, Any]]:
        asked, swapper, source, targets = self._begin(job)
        options, output, began = asked.swap_options(), asked.output_options(), time.monotonic()
        folder = self._store.folder(job.id)
        reports: list[dict[str, Any]] = []
        results: list[Path] = []
        for place, target in enumerate(targets):
            if self._stopping.is_set() or not self._store.is_wanted(job.id):
                raise _CancelledError
            made = sorted(folder.glob(f"image-{place:04d}.*"))  # before a kill: written whole or not at all
            if made:
                results.append(made[0])
                reports.append({"index": place, "file": made[0].name, "problem": None})
                continue
            try:
                photo = read_photo(target.read_bytes(), "target", self._limits.megapixels)
                swapped = swapper.swap(photo, options, output, sources=source)
                format = "PNG" if photo.format == "BMP" else photo.format
                results.append(swapped.save(folder / f"image-{place:04d}{suffix_for(format)}"))
                reports.append({"index": place, "file": results[-1].name, "problem": None})
                self._metrics.images.labels("swapped").inc()
            except (HififaceError, FieldError) as error:
                reports.append({"index": place, "file": None, "problem": str(error)})
                self._metrics.images.labels("failed").inc()
            self._store.note(
                job.id, place + 1, len(targets), round((place + 1) / (time.monotonic() - began), 2)
            )
        if not results:
            raise ImageError(
                f"None of the {len(targets)} images could be swapped; the first: {reports[0]['problem']}"
            )
        with atomic_path(folder / "result.zip") as temporary, zipfile.ZipFile(temporary, "w") as packed:
            for path in results:
                packed.writestr(
                    zipfile.ZipInfo(path.name), path.read_bytes()
                )  # of no date: the same bytes again
        return "result.zip", {"images": reports}
