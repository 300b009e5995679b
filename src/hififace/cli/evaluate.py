"""`hififace evaluate BUNDLE...`: measure bundles on a fixed protocol, side by side and beside the baselines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from hififace.cli.option_flags import Flags, takes_options
from hififace.errors import OptionError, RuntimeUnavailableError
from hififace.swap.options import SwapOptions

MOST_WORKERS: Final = 8
"""Each holds every network and PyTorch, about a gigabyte."""

_BLENDING: Final = "How faces are put back"


@takes_options(options=Flags(SwapOptions, {_BLENDING: ("match_colour", "detail")}))
def evaluate(
    *,
    data: Annotated[
        Path,
        typer.Option(
            "--data", help="Folder of identities-val-*.tar and photos-val-*.tar (or portraits-val-*.tar)."
        ),
    ],
    bundles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BUNDLE]...", help="Names or folders; none measures the baselines alone."),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(help="Which pairs are measured: open, or portraits, which asks what large photos show."),
    ] = "open",
    people: Annotated[
        Path | None,
        typer.Option(
            help="Folder of large photos PERSON_WHAT.jpg, at least two of each person: more sources and targets for "
            "portraits."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the report; else it is only printed.")
    ] = None,
    video: Annotated[
        list[Path] | None,
        typer.Option(
            help="A video: each bundle swaps its beginning, for flicker and likeness over time. May be repeated."
        ),
    ] = None,
    video_s: Annotated[float, typer.Option("--video-seconds", help="How much of each video.")] = 4.0,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="First pairs of each part only (of small parts of portraits, fewer): a quick look, said so in the "
            "report.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes; they change the time and nothing else.",
            show_default=f"one for each core, {MOST_WORKERS} at most",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where what is known of the photos is kept; the user's data folder by default."),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Measure copy and paste too.")
    ] = True,
    options: SwapOptions,
    commercial: Annotated[
        bool,
        typer.Option(
            "--commercial",
            help="Refuse models and parts that may not be used commercially.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Measure bundles on a fixed protocol, in one table with the baselines.

    A training run is exported first: hififace export RUN -o BUNDLE --licence ...
    """
    try:
        import torch  # noqa: F401 - the recogniser that training never sees runs on it
    except ImportError as error:
        raise RuntimeUnavailableError(
            "Evaluating needs PyTorch, which is not installed: pip install '.[train]'."
        ) from error
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

    from hififace.evaluation.report import to_markdown, write_report
    from hififace.evaluation.run import Settings
    from hififace.evaluation.run import evaluate as measure

    if output is not None and output.is_file():
        raise OptionError(f"--output {output} is a file; a folder for the report was expected.")
    if commercial:
        _refuse_non_commercial(bundles or [])
    workers = workers or min(_num_cores(), MOST_WORKERS)
    settings = Settings(
        data, protocol, pairs, workers, cache, baselines, options, people, tuple(video or ()), video_s
    )
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, num_done: int, num: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=num)
            bars.update(tasks[what], completed=num_done)

        found = measure(bundles or [], settings, tell)
    if output is None:
        typer.echo(to_markdown(found), nl=False)
        return
    for path in write_report(found, output):
        typer.echo(path)


def _refuse_non_commercial(bundles: list[str]) -> None:
    from hififace.evaluation.description import PARTS
    from hififace.weights.bundle import load_bundle
    from hififace.weights.registry import find_card
    from hififace.weights.store import refuse_non_commercial

    for name in bundles:
        load_bundle(name, commercial=True)
    for part in (*PARTS, "efficientnet_lite0"):
        refuse_non_commercial(find_card(part), True)


def _num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
