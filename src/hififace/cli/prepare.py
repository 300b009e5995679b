"""`hififace prepare`: turn folders, shards or archives of photos into a training set."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer

from hififace.cli.option_flags import Flags, takes_options
from hififace.preparation.build import PrepareOptions, Progress, Workers, prepare_set
from hififace.preparation.quality import QualityOptions

_LINE_EVERY_S = 10.0


@takes_options(
    settings=Flags(
        PrepareOptions,
        {None: ("template", "resolution", "family", "min_age", "layout", "photos_per_shard")},
        whole=False,
    ),
    quality=Flags(
        QualityOptions,
        {None: ("max_yaw_deg", "max_pitch_deg", "min_relative_sharpness")},
        names={"min_relative_sharpness": "--min-sharpness"},
    ),
)
def prepare(
    *,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders (one per person, or flat), tar shards, or a compressed archive with its landmark list.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the prepared set.", show_default=False)
    ],
    settings: dict[str, Any],
    landmarks: Annotated[
        Path | None,
        typer.Option(
            help='Landmark list of an archive, with lines of "path label x y ...".', show_default=False
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Worker processes on this machine.")] = 1,
    ray: Annotated[
        bool,
        typer.Option("--ray", help="Distribute the work with Ray, over the cluster at RAY_ADDRESS if set."),
    ] = False,
    quality: QualityOptions,
) -> None:
    """Find, align, describe and filter photos; write shards, an index, a report and a contact sheet.

    To resume an interrupted preparation, run the same command again.
    """
    with ProgressLine() as line:
        card = prepare_set(
            inputs,
            output,
            PrepareOptions(**settings, quality=quality),
            landmarks=landmarks,
            workers=Workers(workers, ray),
            progress=line.show,
        )
    typer.echo(
        f"{card.num_photos} photos ({card.num_identities} people with a name) in {card.num_shards} shards: {output}. "
        f"What was left out and why: {output / 'report.md'}"
    )


class ProgressLine:
    """A bar with rate and time left on a terminal; a line every ten seconds in a log."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._live = sys.stderr.isatty()
        self._bar = Bar(
            TextColumn("preparing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f} photos/s, {task.fields[kept]} kept"),
            TimeRemainingColumn(),
            disable=not self._live,
        )
        self._task = self._bar.add_task("photos", total=None, rate=0.0, kept=0)
        self._start = self._last = time.monotonic()

    def show(self, progress: Progress) -> None:
        """Show how far the work is. The rate is that of this run: blocks of an earlier one cost nothing."""
        now = time.monotonic()
        rate = (progress.done - progress.resumed) / max(now - self._start, 1e-6)
        self._bar.update(
            self._task, completed=progress.done, total=progress.total, rate=rate, kept=progress.kept
        )
        if not self._live and (now - self._last >= _LINE_EVERY_S or progress.done == progress.total):
            self._last = now
            total = "?" if progress.total is None else str(progress.total)
            left = (
                "" if progress.total is None or rate == 0 else _left((progress.total - progress.done) / rate)
            )
            sys.stderr.write(
                f"{progress.done} of {total} photos, {progress.kept} kept, {rate:.1f} photos/s{left}\n"
            )
            sys.stderr.flush()

    def __enter__(self) -> ProgressLine:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def _left(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f", {minutes} min {rest:02d} s left"
