"""One job from its folder to its result: in a thread of the service, or on another machine that sees the folder.

Everything that a job needs lies there: `source-N`, `target-N`, unfinished work, and the result.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from hififace.errors import HififaceError, ImageError, InterruptedByUserError
from hififace.hosting.bundles import Bundles
from hififace.hosting.meter import LimitError
from hififace.media.atomic import atomic_path
from hififace.media.image import suffix_for
from hififace.server.line import read_photo
from hififace.server.problems import FieldError, of_exception
from hififace.server.schemas import JobAsked
from hififace.server.settings import ServiceLimits
from hififace.swap.source_map import Source
from hififace.swapper import FaceSwapper
from hififace.video.report import VideoProgress

_ASK_EVERY_S: Final = 0.2

Note: TypeAlias = "Callable[[int, int | None, float], None]"
"""Told frames or images finished, how many there will be about, and how many a second."""

ShouldStop: TypeAlias = "Callable[[], bool]"
"""Whether the owner, or the end of the service, stops the job; may cost something, so it is not asked often."""


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What is to be done; goes to other machines."""

    id: str
    kind: str
    """`video` or `images`."""
    folder: Path
    asked: dict[str, Any]
    """`JobAsked`, as JSON has it."""
    model: str
    """Where the job names none."""
    limits: ServiceLimits


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What became of it."""

    state: Literal["done", "failed", "stopped"]
    result: str = ""
    """Name of the result in the job's folder."""
    report: dict[str, Any] | None = None
    problem: str = ""
    """The sentence that says why it failed."""


class _StoppedError(Exception):
    """The owner, or the end of the service, stopped the job."""


def work_on(order: JobOrder, bundles: Bundles, note: Note, should_stop: ShouldStop) -> JobOutcome:
    """Do a job, or go on with it; whatever happens becomes its outcome."""
    run = _JobRun(order, bundles, note, should_stop)
    try:
        result, report = run.video() if order.kind == "video" else run.images()
        return JobOutcome("done", result, report)
    except (_StoppedError, InterruptedByUserError):
        return JobOutcome("stopped")
    except Exception as error:  # noqa: BLE001  # becomes the job's standing, and is logged
        told = of_exception(error)
        return JobOutcome("failed", problem=told.detail.replace(str(order.folder), "the job"))


class _JobRun:
    def __init__(self, order: JobOrder, bundles: Bundles, note: Note, should_stop: ShouldStop) -> None:
        self._order, self._bundles, self._note, self._should_stop = order, bundles, note, should_stop
        self._asked = JobAsked.model_validate(order.asked)
        self._asked_at, self._stopped = 0.0, False

    def _begin(self) -> tuple[FaceSwapper, Source, list[Path]]:
        swapper = self._bundles.swapper(self._asked.model or self._order.model)
        folder, most = self._order.folder, self._order.limits.megapixels
        photos = [read_photo(path.read_bytes(), "source", most) for path in sorted(folder.glob("source-*"))]
        try:
            source = swapper.read_source(photos, face=self._asked.source_face)
        except HififaceError as error:
            raise FieldError("source", error) from error
        return swapper, source, sorted(folder.glob("target-*"))

    def _is_stopped(self) -> bool:
        if time.monotonic() - self._asked_at >= _ASK_EVERY_S:
            self._asked_at, self._stopped = time.monotonic(), self._stopped or self._should_stop()
        return self._stopped

    def video(self) -> tuple[str, dict[str, Any]]:
        swapper, source, (target,) = self._begin()
        folder, most = self._order.folder, self._order.limits.video_frames
        output = folder / f"result{target.suffix}"
        told_at, is_cut = 0.0, False

        def note(progress: VideoProgress) -> None:
            nonlocal told_at, is_cut
            is_cut = progress.done > most
            if time.monotonic() - told_at >= _ASK_EVERY_S or progress.done == progress.expected:
                told_at = time.monotonic()
                self._note(progress.done, progress.expected, round(progress.fps, 2))

        try:
            report = swapper.swap_video(
                target,
                output,
                self._asked.swap_options(),
                self._asked.video_options(work_folder=folder),
                self._asked.output_options(),
                sources=source,
                progress=note,
                should_stop=lambda: is_cut or self._is_stopped(),
            )
        except InterruptedByUserError:
            if is_cut:
                raise LimitError(
                    f"The video has more than {most} frames, as many as are taken. Cut it."
                ) from None
            raise
        self._note(report.tally.num_frames, report.tally.num_frames, round(report.fps, 2))
        said = report.to_json()
        return output.name, {name: said[name] for name in said if name not in {"target", "output"}}

    def images(self) -> tuple[str, dict[str, Any]]:
        swapper, source, targets = self._begin()
        options, output = self._asked.swap_options(), self._asked.output_options()
        began = time.monotonic()
        folder = self._order.folder
        reports: list[dict[str, Any]] = []
        results: list[Path] = []
        for place, target in enumerate(targets):
            if self._is_stopped():
                raise _StoppedError
            made = sorted(folder.glob(f"image-{place:04d}.*"))  # before a kill: written whole or not at all
            if made:
                results.append(made[0])
                reports.append({"index": place, "file": made[0].name, "problem": None})
                continue
            try:
                photo = read_photo(target.read_bytes(), "target", self._order.limits.megapixels)
                swapped = swapper.swap(photo, options, output, sources=source)
                format = "PNG" if photo.format == "BMP" else photo.format
                results.append(swapped.save(folder / f"image-{place:04d}{suffix_for(format)}"))
                reports.append({"index": place, "file": results[-1].name, "problem": None})
            except (HififaceError, FieldError) as error:
                reports.append({"index": place, "file": None, "problem": str(error)})
            self._note(place + 1, len(targets), round((place + 1) / (time.monotonic() - began), 2))
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
