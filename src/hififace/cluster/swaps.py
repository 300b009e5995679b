"""Targets of `hififace swap`, one by one on this machine or spread over a cluster: a task for each video, and for each
few images.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from hififace.cluster.tasks import Cluster, Rarely, Say, ShouldStop
from hififace.errors import HififaceError, InterruptedByUserError
from hififace.swap.jobs import Job
from hififace.swap.options import OutputOptions, SwapOptions
from hififace.swap.precision import WantedPrecision
from hififace.swap.source_map import SourceMap
from hififace.swapper import FaceSwapper
from hififace.video.options import VideoOptions
from hififace.video.report import VideoProgress

IMAGES_PER_TASK: Final = 16
"""At most: a task costs some milliseconds, and a lost machine the images of its task."""

_TASKS_EACH: Final = 4
"""Tasks for each place where one can run, at least: else the last ones would leave places empty."""


@dataclass(frozen=True, slots=True)
class SwapHow:
    """What all targets of one command have in common."""

    model: str
    providers: tuple[str, ...] | None
    threads: int | None
    commercial: bool
    options: SwapOptions
    video_options: VideoOptions
    output_options: OutputOptions
    quality: int | None = None

    @property
    def image_precision(self) -> WantedPrecision:
        """Arithmetic of the generator for images: as asked; measuring takes longer than an image."""
        asked = self.video_options.precision
        return "float32" if asked == "auto" else asked


@dataclass(frozen=True, slots=True)
class SwapOrder:
    """One task: a video, or some images."""

    how: SwapHow
    sources: SourceMap
    jobs: tuple[tuple[int, Job], ...]
    """Places in the command, and what is to be done; paths are absolute."""


@dataclass(frozen=True, slots=True)
class SwapProgress:
    """How far a task is."""

    images: int
    frames: int


Told = tuple[int, "dict[str, Any] | HififaceError"]
"""Place of a job, and its report or the error that says why there is none."""


def swap_job(
    swapper: FaceSwapper,
    job: Job,
    how: SwapHow,
    *,
    sources: SourceMap | None = None,
    progress: Callable[[VideoProgress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> dict[str, Any]:
    """One target into one file; what `--json` prints.

    Raises:
        HififaceError: it cannot be swapped.
    """
    if job.kind == "video":
        report = swapper.swap_video(
            job.target,
            job.output,
            how.options,
            how.video_options,
            how.output_options,
            sources=sources,
            progress=progress,
            should_stop=should_stop,
        )
        return report.to_json()
    result = swapper.swap(job.target, how.options, how.output_options, sources=sources)
    result.save(job.output, quality=how.quality)
    where = {"target": str(job.target), "output": str(job.output)}
    return {**where, **result.to_json(), "provider": swapper.provider}


def swap_over_cluster(
    cluster: Cluster,
    jobs: Sequence[Job],
    how: SwapHow,
    sources: SourceMap,
    say: Callable[[int, int, float], None] = lambda images, frames, seconds: None,
) -> Iterator[Told]:
    """Do all jobs; what became of each, as they end.

    Args:
        cluster: where; its machines see every file under the same path.
        jobs: targets and results.
        how: likewise for all.
        sources: who becomes whom.
        say: told how many images and frames are finished, after how many seconds.

    Raises:
        InterruptedByUserError: Ctrl-C.
    """
    # A mapping proxy cannot be sent.
    sources = replace(sources, by_index=dict(sources.by_index))
    orders = [SwapOrder(how, sources, part) for part in _parts(jobs, cluster.num_tasks)]
    done: dict[int, SwapProgress] = {}
    began = time.perf_counter()

    def note(place: int, said: SwapProgress) -> None:
        done[place] = said
        told = done.values()
        say(sum(one.images for one in told), sum(one.frames for one in told), time.perf_counter() - began)

    for place, outcome in cluster.run_many(work_on_swaps, orders, note):
        if isinstance(outcome, HififaceError):
            for number, _ in orders[place].jobs:
                yield number, outcome
            continue
        told, progress = outcome
        note(place, progress)
        for number, report in told:
            job = jobs[number]
            if isinstance(report, dict):  # paths as people wrote them
                yield number, {**report, "target": str(job.target), "output": str(job.output)}
            else:
                yield number, report


def work_on_swaps(order: SwapOrder, say: Say, should_stop: ShouldStop) -> tuple[list[Told], SwapProgress]:
    """Do the jobs of one task; what cannot be swapped is told, and the others go on."""
    how = order.how
    swapper = _swapper(how.model, how.providers, how.threads, how.image_precision, how.commercial)
    told: list[Told] = []
    images = frames = 0
    ask = _asked_rarely(should_stop)
    time_to_say = Rarely()

    def note(progress: VideoProgress) -> None:
        nonlocal frames
        frames = progress.done
        if time_to_say():
            say(SwapProgress(images, frames))

    for number, job in order.jobs:
        if ask():
            raise InterruptedByUserError("stopped; finished results are kept.")
        try:
            report = swap_job(swapper, job, how, sources=order.sources, progress=note, should_stop=ask)
            told.append((number, report))
            images += job.kind == "image"
        except InterruptedByUserError:
            raise
        except HififaceError as error:
            told.append((number, HififaceError(str(error))))
        except Exception as error:  # noqa: BLE001  # the others of this task go on
            told.append((number, unexpected(job, error)))
        if time_to_say():
            say(SwapProgress(images, frames))
    return told, SwapProgress(images, frames)


def unexpected(job: Job, error: Exception) -> HififaceError:
    """A fault of ours, as the sentence of the one target that it concerns."""
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return HififaceError(
        f"{job.target} could not be swapped for a reason that was not foreseen ({what}). Run the command with "
        "--verbose before its name to see where, and report it, if you can with the file."
    )


def _parts(jobs: Sequence[Job], num_places: int) -> Iterator[tuple[tuple[int, Job], ...]]:
    """Videos alone and first, the longest before all, so that none of them ends last; then images, some at a time."""
    numbered = [(place, Job(_absolute(job.target), _absolute(job.output))) for place, job in enumerate(jobs)]
    videos = [one for one in numbered if one[1].kind == "video"]
    for one in sorted(videos, key=lambda one: -_size(one[1].target)):
        yield (one,)
    images = [one for one in numbered if one[1].kind == "image"]
    size = min(max(len(images) // (_TASKS_EACH * num_places), 1), IMAGES_PER_TASK)
    for start in range(0, len(images), size):
        yield tuple(images[start : start + size])


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  # links stay: the machines may have others behind them


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _asked_rarely(should_stop: ShouldStop) -> ShouldStop:
    stopped, is_time = False, Rarely()

    def ask() -> bool:
        nonlocal stopped
        if not stopped and is_time():
            stopped = should_stop()
        return stopped

    return ask


@cache
def _swapper(
    model: str,
    providers: tuple[str, ...] | None,
    threads: int | None,
    precision: WantedPrecision,
    commercial: bool,
) -> FaceSwapper:
    """Kept between the tasks of a worker."""
    return FaceSwapper.load(
        model, providers=providers, threads=threads, precision=precision, commercial=commercial
    )
