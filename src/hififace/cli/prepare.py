"""`hififace prepare`: turn folders, shards or archives of photos into a training set."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hififace.errors import OptionError

if TYPE_CHECKING:
    from hififace.preparation.build import Progress

_LINE_EVERY_S = 10.0


def prepare(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders (one per person, or flat), tar shards, or a compressed archive with its landmark list.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the set.", show_default=False)],
    template: Annotated[str, typer.Option(help="Alignment template.")] = "mini_128",
    resolution: Annotated[int, typer.Option(help="Side of the crops, in pixels.")] = 128,
    family: Annotated[
        str, typer.Option(help="Frozen parts: mesh (embedded), or basel (you bring the files).")
    ] = "mesh",
    min_age: Annotated[int, typer.Option(help="Leave out photos whose given age is below.")] = 18,
    layout: Annotated[str, typer.Option(help="Of folders: people, flat, or auto.")] = "auto",
    landmarks: Annotated[
        Path | None, typer.Option(help='List of "path label x y ..." for an archive.', show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    ray: Annotated[
        bool, typer.Option("--ray", help="Spread the work with Ray, over RAY_ADDRESS if set.")
    ] = False,
    photos_per_shard: Annotated[int, typer.Option(help="Photos per tar shard.")] = 4096,
    max_yaw: Annotated[float, typer.Option(help="Largest turn of the head, in degrees.")] = 65.0,
    max_pitch: Annotated[float, typer.Option(help="Largest nod of the head, in degrees.")] = 45.0,
    min_sharpness: Annotated[
        float, typer.Option(help="Smallest sharpness, as a share of the set's median.")
    ] = 0.12,
) -> None:
    """Find, align, describe and filter photos; write shards, an index, a report and a contact sheet.

    Killed at any moment: run the same command again, it goes on where it was.
    """
    from hififace.preparation.build import PrepareOptions, Workers, prepare_set
    from hififace.preparation.quality import QualityOptions

    options = PrepareOptions(
        family=family,
        template=template,
        resolution=resolution,
        min_age=min_age,
        layout=_layout(layout),
        photos_per_shard=photos_per_shard,
        quality=QualityOptions(
            max_yaw_deg=max_yaw, max_pitch_deg=max_pitch, min_relative_sharpness=min_sharpness
        ),
    )
    with ProgressLine() as line:
        card = prepare_set(
            inputs,
            output,
            options,
            landmarks=landmarks,
            workers=Workers(workers, ray),
            progress=line.show,
        )
    typer.echo(
        f"{card.num_photos} photos ({card.num_identities} people with a name) in {card.num_shards} shards: {output}. "
        f"What was left out and why: {output / 'report.md'}"
    )


def _layout(text: str) -> Any:
    if text not in {"auto", "people", "flat"}:
        raise OptionError(f"--layout is {text!r}; auto, people or flat was expected.")
    return text


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
        self._first: int | None = None

    def show(self, progress: Progress) -> None:
        """Show how far the work is. The rate counts from the first report, since resumed blocks cost nothing."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._start = progress.done, now
        rate = (progress.done - self._first) / max(now - self._start, 1e-6)
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
