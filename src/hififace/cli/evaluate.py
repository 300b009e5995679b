"""`hififace evaluate BUNDLE...`: measure bundles on a fixed protocol, side by side and beside the baselines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hififace.cli.option_flags import Flags, takes_options
from hififace.cli.running import commercial_option, needs
from hififace.errors import OptionError
from hififace.processes import usable_cores
from hififace.swap.options import SwapOptions

if TYPE_CHECKING:
    from hififace.evaluation.papers.run import PaperSettings
    from hififace.evaluation.run import Settings

MOST_WORKERS: Final = 8
"""Each holds every network and PyTorch, about a gigabyte."""

_BLENDING: Final = "How to swap"


@takes_options(
    options=Flags(
        SwapOptions, {_BLENDING: ("warp_shape", "keep_glasses", "refine", "match_colour", "detail")}
    )
)
def evaluate(
    *,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="Data of the protocol. open: folder of identities-val-*.tar and photos-val-*.tar; portraits: of "
            "portraits-val-*.tar; ff++: root of FaceForensics++; celeba-hq, ffhq: folder of the photos.",
        ),
    ],
    bundles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BUNDLE]...",
            help="Names or folders of bundles; without any, only the baselines are measured.",
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="Protocol: open; portraits (large photos); ff++, celeba-hq or ffhq, with the networks of the "
            "literature (hififace weights fetch literature)."
        ),
    ] = "open",
    people: Annotated[
        Path | None,
        typer.Option(
            help="portraits: folder of further large photos PERSON_WHAT.jpg, at least two of each person."
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            help="ff++, celeba-hq, ffhq: results of another method, files TARGET_SOURCE.mp4 (.png); repeatable.",
        ),
    ] = None,
    pair_list: Annotated[
        Path | None,
        typer.Option(
            help="ff++: list of pairs, as JSON of its splits or lines TARGET_SOURCE; default: found in the set."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the report; default: only print the table."),
    ] = None,
    video: Annotated[
        list[Path] | None,
        typer.Option(
            help="Video whose beginning each bundle swaps, to measure flicker and similarity over time; repeatable."
        ),
    ] = None,
    video_s: Annotated[float, typer.Option("--video-seconds", help="Seconds of each video to swap.")] = 4.0,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Only the first N pairs of each part, for a quick look; the report says so.",
        ),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure only this part of open or portraits, such as swap; repeatable; the report says so."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Worker processes; the figures do not depend on them.",
            show_default=f"one for each core, {MOST_WORKERS} at most",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder that caches the analysed photos; default: the user's data folder."),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Also measure the baselines copy and paste.")
    ] = True,
    options: SwapOptions,
    commercial: Annotated[bool, commercial_option(None)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Hide the progress bars.")] = False,
) -> None:
    """Measure bundles on a fixed protocol, in one table with the baselines.

    Export a training run first: hififace export RUN -o BUNDLE --licence ...
    """
    with needs("train", "Evaluating", "PyTorch"):
        import torch  # noqa: F401 - the recogniser that training never sees runs on it
    if output is not None and output.is_file():
        raise OptionError(f"--output {output} is a file; a folder for the report was expected.")
    of_papers = _check_kinds(protocol, method, pair_list, video, people, part)
    if commercial:
        _refuse_non_commercial(bundles or [], of_papers=of_papers)
    run: _Run
    if of_papers:
        from hififace.evaluation.papers.run import PaperSettings

        methods = _methods(method or [])
        run = partial(
            _of_papers, PaperSettings(data, protocol, pair_list, methods, pairs, cache, baselines, options)
        )
    else:
        from hififace.evaluation.run import Settings

        workers = workers or min(usable_cores(), MOST_WORKERS)
        videos = tuple(video or ())
        run = partial(
            _of_photos,
            Settings(
                data,
                protocol,
                pairs,
                workers,
                cache,
                baselines,
                options,
                people,
                videos,
                video_s,
                tuple(part or ()),
            ),
        )
    table, write = _with_bars(partial(run, bundles or []), quiet)
    if output is None:
        typer.echo(table, nl=False)
        return
    for path in write(output):
        typer.echo(path)


_Progress = Callable[[str, int, int], None]
_Report = tuple[str, Callable[[Path], list[Path]]]
"""The table, and what writes the whole report into a folder."""
_Run = Callable[[list[str], _Progress], _Report]


def _of_photos(settings: Settings, bundles: list[str], tell: _Progress) -> _Report:
    from hififace.evaluation.report import to_markdown, write_report
    from hififace.evaluation.run import evaluate as measure

    found = measure(bundles, settings, tell)
    return to_markdown(found), partial(write_report, found)


def _of_papers(settings: PaperSettings, bundles: list[str], tell: _Progress) -> _Report:
    from hififace.evaluation.papers.report import to_markdown, write_paper_report
    from hififace.evaluation.papers.run import evaluate_papers

    found = evaluate_papers(bundles, settings, tell)
    return to_markdown(found), partial(write_paper_report, found)


def _with_bars(run: Callable[[_Progress], _Report], quiet: bool) -> _Report:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, num_done: int, num: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=num)
            bars.update(tasks[what], completed=num_done)

        return run(tell)


def _check_kinds(
    protocol: str,
    method: list[str] | None,
    pair_list: Path | None,
    video: list[Path] | None,
    people: Path | None,
    part: list[str] | None,
) -> bool:
    """Whether the protocol is one of the literature's; options of the other kind are refused."""
    from hififace.evaluation.papers.pairs import PROTOCOLS

    of_papers = protocol in PROTOCOLS
    if not of_papers and (method or pair_list is not None):
        raise OptionError(
            f"--method and --pair-list are for {', '.join(PROTOCOLS)}; the protocol is {protocol}."
        )
    if of_papers and (video or people is not None or part):
        raise OptionError(
            f"--video, --people and --part are for open and portraits; the protocol is {protocol}."
        )
    return of_papers


def _methods(given: list[str]) -> dict[str, Path]:
    """NAME=FOLDER, or a name below `manipulated_sequences` alone."""
    methods: dict[str, Path] = {}
    for one in given:
        name, _, folder = one.partition("=")
        if not name or name in methods:
            raise OptionError(f"--method {one}: NAME=FOLDER was expected, each name once.")
        methods[name] = Path(folder or name)
    return methods


def _refuse_non_commercial(bundles: list[str], *, of_papers: bool) -> None:
    from hififace.evaluation.description import PARTS
    from hififace.weights.bundle import load_bundle
    from hififace.weights.registry import PURPOSES, find_card
    from hififace.weights.store import refuse_non_commercial

    for name in bundles:
        load_bundle(name, commercial=True)
    for part in PURPOSES["literature"] if of_papers else (*PARTS, "efficientnet_lite0"):
        refuse_non_commercial(find_card(part), True)
