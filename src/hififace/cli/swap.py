"""`hififace swap SOURCE TARGET... -o OUT`: swap a source face into images and videos."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from hififace.cli.option_flags import Flags, Text, takes_options
from hififace.cli.running import commercial_option, named_providers, providers_option, threads_option
from hififace.cli.video import parse_rate, parse_seconds, video_bar, video_sentence
from hififace.errors import HififaceError, InterruptedByUserError, OptionError
from hififace.swap.jobs import Job, plan_jobs
from hififace.swap.options import OutputOptions, SwapOptions, parse_selection
from hififace.swap.source_map import notes_of
from hififace.swap.sources import FaceChoice
from hififace.video.options import VideoOptions

if TYPE_CHECKING:
    from hififace.cluster.swaps import SwapHow
    from hififace.swapper import FaceSwapper

LOGGER = logging.getLogger(__name__)

_Ended: TypeAlias = "tuple[Job, dict[str, Any] | HififaceError]"
"""A job, and its report or why there is none."""

_FACES, _BLENDING, _RUNNING = "Which faces", "How to swap", "Running and reporting"
_VIDEOS = "Videos"
_SECONDS: Final = Text("90|10s|1:30", parse_seconds)

ENCODERS_NOTE: Final = (
    "H.264 and HEVC are encoded by x264 and x265 (GPL-2.0). Their licence allows commercial use of what they make; it "
    "binds whoever passes the programs on, and patents on both formats may ask for a licence of their own. "
    "--codec av1 and --codec vp9 need neither (docs/licences.md)."
)


@takes_options(
    options=Flags(
        SwapOptions,
        {
            _FACES: (
                "select",
                "same_person",
                "detection_threshold",
                "smallest_face_px",
                "largest_turn_deg",
                "rotated",
            ),
            _BLENDING: (
                "shape_rate",
                "warp_shape",
                "keep_glasses",
                "id_rate",
                "refine",
                "passes",
                "mask_erosion",
                "mask_feather_px",
                "match_colour",
                "detail",
            ),
            _RUNNING: ("batch_size",),
        },
        texts={"select": Text("WHICH", lambda text, _: parse_selection(text))},
    ),
    output_options=Flags(
        OutputOptions,
        {_BLENDING: ("compare",), _RUNNING: ("consent_confirmed", "similarity")},
        names={"consent_confirmed": "--consent"},
    ),
    video_options=Flags(
        VideoOptions,
        {
            _VIDEOS: (
                "start_s",
                "end_s",
                "preview_s",
                "fps",
                "tone_map",
                "codec",
                "crf",
                "preset",
                "encoder",
                "precision",
                "smooth",
                "detect_every",
            )
        },
        texts={
            "start_s": _SECONDS,
            "end_s": _SECONDS,
            "preview_s": _SECONDS,
            "fps": Text("24|29.97|30000/1001", lambda text, _: parse_rate(text)),
        },
    ),
)
def swap(
    *,
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE TARGET...",
            help="A photo of the source face, then the targets: images, videos, folders, patterns. "
            "With --map and a single target, SOURCE may be left out.",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="File to write; for several targets, a folder.")
    ],
    source: Annotated[
        list[str] | None,
        typer.Option("--source", "-s", help="Another photo of the source person; repeatable."),
    ] = None,
    source_face: Annotated[
        str,
        typer.Option(
            help="Face of the source photos: main, largest, or its number from the left, counted from 0.",
            rich_help_panel=_FACES,
        ),
    ] = "main",
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="REFERENCE=SOURCE",
            help="Source of one person in the targets: a photo of that person (or the number of a face) = a photo of "
            "the source face; repeatable.",
            rich_help_panel=_FACES,
        ),
    ] = None,
    options: SwapOptions,
    output_options: OutputOptions,
    quality: Annotated[
        int | None, typer.Option(help="Quality of lossy image formats, 1 to 100.", rich_help_panel=_BLENDING)
    ] = None,
    video_options: VideoOptions,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name or folder of a model bundle.", rich_help_panel=_RUNNING)
    ] = "mini",
    providers: Annotated[str | None, providers_option(_RUNNING)] = None,
    threads: Annotated[int | None, threads_option(_RUNNING)] = None,
    commercial: Annotated[bool, commercial_option(_RUNNING)] = False,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Distribute images and videos with Ray, over the cluster at RAY_ADDRESS if set.",
            rich_help_panel=_RUNNING,
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object per target: faces, timings of the stages.",
            rich_help_panel=_RUNNING,
        ),
    ] = False,
) -> None:
    """Swap a source face into images and videos.

    hififace swap me.jpg holiday.jpg -o out.jpg

    A target that fails is reported, the others are still swapped, and the exit code is 1.
    """
    sources, targets = _split(photos, source or [], mapped=bool(mapping))
    face, pairs = _parse_face(source_face), [_parse_pair(text) for text in mapping or []]
    jobs = plan_jobs(targets, output, _read_files(sources, pairs, options))

    from hififace.cluster.swaps import SwapHow
    from hififace.swapper import FaceSwapper

    named = named_providers(providers)
    # On a cluster each core has a task of its own.
    threads = 1 if ray and threads is None else threads
    how = SwapHow(model, named, threads, commercial, options, video_options, output_options, quality)
    swapper = FaceSwapper.load(
        model, providers=named, threads=threads, precision=how.image_precision, commercial=commercial
    )
    if commercial and any(job.kind == "video" for job in jobs):
        typer.echo(f"hififace: {ENCODERS_NOTE}", err=True)
    if sources:
        swapper.set_source(sources, face=face, rotated=options.rotated)
    for reference, photo in pairs:
        swapper.map_source(reference, photo, face=face, rotated=options.rotated)
    for note in notes_of(swapper.source_map.sources):
        typer.echo(f"hififace: note: {note}.", err=True)
    ended = _over_cluster(swapper, jobs, how) if ray else _one_after_another(swapper, jobs, how)
    failed = _tell(ended, len(jobs), as_json=as_json)
    raise typer.Exit(1 if failed else 0)


def _tell(ended: Iterator[_Ended], num_jobs: int, *, as_json: bool) -> int:
    """Say what became of each job; returns how many failed. A single job that fails speaks for itself."""
    done = failed = 0
    results = sys.stdout  # for what was asked; Ray, which prints there too, is sent to the other stream below
    try:
        for job, report in ended:
            if isinstance(report, HififaceError):
                if num_jobs == 1 and not as_json:
                    raise report
                failed += 1
                if as_json:
                    typer.echo(json.dumps({"target": str(job.target), "error": str(report)}), file=results)
                else:
                    # Most sentences name the file themselves.
                    named = "" if str(job.target) in str(report) else f"{job.target}: "
                    typer.echo(f"hififace: {named}{report}", err=True)
                continue
            done += 1
            told = video_sentence if job.kind == "video" else _sentence
            typer.echo(json.dumps(report) if as_json else told(report), file=results)
    except KeyboardInterrupt:
        raise InterruptedByUserError(
            f"stopped after {done} of {num_jobs} targets; finished results are kept."
        ) from None
    if failed and not as_json and num_jobs > 1:
        typer.echo(f"hififace: {failed} of {num_jobs} could not be swapped.", err=True)
    return failed


def _one_after_another(swapper: FaceSwapper, jobs: list[Job], how: SwapHow) -> Iterator[_Ended]:
    """On this machine."""
    from hififace.cluster.swaps import swap_job, unexpected

    for job in _with_progress(jobs):
        ended: dict[str, Any] | HififaceError
        try:
            with video_bar(job.target.name, shown=job.kind == "video") as advance:
                ended = swap_job(swapper, job, how, progress=advance)
        except InterruptedByUserError:
            raise
        except HififaceError as error:
            ended = error
        except Exception as error:  # the others go on
            LOGGER.info("%s", job.target, exc_info=error)
            ended = unexpected(job, error)
        yield job, ended


def _over_cluster(swapper: FaceSwapper, jobs: list[Job], how: SwapHow) -> Iterator[_Ended]:
    """On the machines of a cluster; at the end, how fast they were."""
    from hififace.cluster.swaps import swap_over_cluster
    from hififace.cluster.tasks import Cluster

    images = frames = 0
    began = time.perf_counter()
    with (
        redirect_stdout(sys.stderr),
        Cluster(cores_per_task=how.threads or 1, use_gpus=how.providers != ("cpu",)) as cluster,
        _cluster_bar(len(jobs)) as bar,
    ):

        def say(num_images: int, num_frames: int, seconds: float) -> None:
            nonlocal images, frames
            images, frames = num_images, num_frames
            bar(told=cluster_words(images, frames, seconds))

        for place, report in swap_over_cluster(cluster, jobs, how, swapper.source_map, say):
            bar(advance=1)
            yield jobs[place], report
        machines = cluster.num_machines
    seconds = time.perf_counter() - began
    where = "1 machine" if machines == 1 else f"{machines} machines"
    typer.echo(f"hififace: {cluster_words(images, frames, seconds)}, in {seconds:.1f} s on {where}", err=True)


def cluster_words(images: int, frames: int, seconds: float) -> str:
    """For example "12 images and 480 frames (14.9 a second)"."""
    told = [f"{number} {what}" for number, what in ((images, "images"), (frames, "frames")) if number]
    rate = (images + frames) / seconds if seconds > 0 else 0.0
    return f"{' and '.join(told) or 'nothing yet'} ({rate:.1f} a second)"


@contextmanager
def _cluster_bar(num_jobs: int) -> Iterator[Any]:
    """A bar of all targets; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda **_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("swapping"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("swapping", total=num_jobs, told="")
        yield lambda **changes: bar.update(task, **changes)


def _sentence(report: dict[str, Any]) -> str:
    faces = report["faces"]
    left = "; ".join(f"face {face['index']}: {face['reason']}" for face in faces if not face["swapped"])
    told = f"{report['output']}: {report['num_swapped']} of {len(faces)} faces swapped"
    for face in faces:
        if face["similarity_source"] is not None:
            told += (
                f", similarity to the source {face['similarity_source']:.2f}"
                f" and to the target {face['similarity_target']:.2f}"
            )
    told += f" in {report['timings_ms']['total'] / 1e3:.2f} s" + (f" ({left})" if left else "")
    warnings = [f"face {face['index']}: {face['warning']}" for face in faces if face["warning"]]
    return "; ".join([told, *warnings, *report["notes"]])


def _with_progress(jobs: list[Job]) -> Iterator[Job]:
    """The jobs one after the other, with a bar on a terminal where there are several."""
    if len(jobs) < 2 or not sys.stderr.isatty():
        yield from jobs
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("swapping", total=len(jobs))
        for job in jobs:
            bar.update(task, description=job.target.name)
            yield job
            bar.advance(task)


def _split(photos: list[str], more: Iterable[str], *, mapped: bool) -> tuple[list[str], list[str]]:
    """Photos of the source, and targets."""
    if len(photos) == 1:
        if not mapped:
            raise OptionError(
                f"Only {photos[0]} was given; a source and at least one target were expected: "
                "hififace swap me.jpg holiday.jpg -o out.jpg"
            )
        return list(more), photos
    return [photos[0], *more], photos[1:]


def _parse_face(text: str) -> FaceChoice:
    words: dict[str, FaceChoice] = {"main": "main", "largest": "largest"}
    if text in words:
        return words[text]
    if text.isdecimal() and len(text) < 10:
        return int(text)
    raise OptionError(f"--source-face is {text!r}; main, largest or a number from 0 was expected.")


def _parse_pair(text: str) -> tuple[str | int, str]:
    """REFERENCE=SOURCE; of several "=", as in the names of files, the one that parts two files that are there."""
    parts = text.split("=")
    pairs = [("=".join(parts[:at]), "=".join(parts[at:])) for at in range(1, len(parts))]
    pairs = [(reference, photo) for reference, photo in pairs if reference and photo]
    if not pairs:
        raise OptionError(
            f"--map is {text!r}; REFERENCE=SOURCE was expected, such as anna.jpg=me.jpg or 0=me.jpg."
        )
    there = [pair for pair in pairs if _is_reference(pair[0]) and Path(pair[1]).is_file()]
    if len(there) > 1:
        raise OptionError(f"--map is {text!r}, which can be read in several ways; rename a file without =.")
    reference, photo = (there or pairs)[0]
    return (int(reference) if _is_number(reference) else reference), photo


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 10


def _is_reference(text: str) -> bool:
    return _is_number(text) or Path(text).is_file()


def _read_files(
    sources: Iterable[str], pairs: Iterable[tuple[str | int, str]], options: SwapOptions
) -> list[str | Path]:
    """Every photo that the command reads beside its targets."""
    read: list[str | Path] = list(sources)
    for reference, photo in pairs:
        read += [photo] if isinstance(reference, int) else [reference, photo]
    if isinstance(options.reference, Path):
        read.append(options.reference)
    return read
