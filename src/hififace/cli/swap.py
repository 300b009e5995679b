"""`hififace swap SOURCE TARGET... -o OUT`: put the face of one photo into images or a video."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from hififace.cli.option_flags import Flags, Text, takes_options
from hififace.cli.running import commercial_option, providers_option, threads_option
from hififace.cli.video import parse_rate, parse_seconds, swap_video_job, video_sentence
from hififace.errors import HififaceError, InterruptedByUserError, OptionError
from hififace.swap.jobs import Job, plan_jobs
from hififace.swap.options import OutputOptions, SwapOptions, parse_selection
from hififace.swap.source_map import notes_of
from hififace.swap.sources import FaceChoice
from hififace.video.options import VideoOptions

if TYPE_CHECKING:
    from hififace.swapper import FaceSwapper

AllOptions: TypeAlias = tuple[SwapOptions, VideoOptions, OutputOptions]

LOGGER = logging.getLogger(__name__)

_FACES, _BLENDING, _RUNNING = "Which faces", "How", "Running and reporting"
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
                "id_rate",
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
            help="A photo of the person to put in, then what to put them into: images, videos, folders, patterns. "
            "With --map alone, SOURCE may be left out.",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="The file to write; for several targets a folder.")
    ],
    source: Annotated[
        list[str] | None, typer.Option("--source", "-s", help="Another photo of the same person; repeatable.")
    ] = None,
    source_face: Annotated[
        str,
        typer.Option(help="Face of a source photo: main, largest, or its number.", rich_help_panel=_FACES),
    ] = "main",
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="REFERENCE=SOURCE",
            help="Who is put in for one person of the targets: a photo of that person (or the number of a face) = a "
            "photo of who is put in; repeatable.",
            rich_help_panel=_FACES,
        ),
    ] = None,
    options: SwapOptions,
    output_options: OutputOptions,
    quality: Annotated[
        int | None, typer.Option(help="1 to 100, for lossy formats.", rich_help_panel=_BLENDING)
    ] = None,
    video_options: VideoOptions,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name or folder of a bundle.", rich_help_panel=_RUNNING)
    ] = "mini",
    providers: Annotated[str | None, providers_option(_RUNNING)] = None,
    threads: Annotated[int | None, threads_option(_RUNNING)] = None,
    commercial: Annotated[bool, commercial_option(_RUNNING)] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="One JSON object per target: faces, timings by stage.", rich_help_panel=_RUNNING
        ),
    ] = False,
) -> None:
    """Put the face of one photo into images or a video.

    hififace swap me.jpg holiday.jpg -o out.jpg

    A file that cannot be swapped is told about and the others go on; the exit code is then 1.
    """
    sources, targets = _split(photos, source or [], mapped=bool(mapping))
    face, pairs = _parse_face(source_face), [_parse_pair(text) for text in mapping or []]
    jobs = plan_jobs(targets, output, _read_files(sources, pairs, options))

    from hififace.swapper import FaceSwapper

    swapper = FaceSwapper.load(
        model,
        providers=[name.strip() for name in providers.split(",")] if providers else None,
        threads=threads,
        commercial=commercial,
    )
    if commercial and any(job.kind == "video" for job in jobs):
        typer.echo(f"hififace: {ENCODERS_NOTE}", err=True)
    if sources:
        swapper.set_source(sources, face=face, rotated=options.rotated)
    for reference, photo in pairs:
        swapper.map_source(reference, photo, face=face, rotated=options.rotated)
    for note in notes_of(swapper.source_map.sources):
        typer.echo(f"hififace: note: {note}.", err=True)
    failed = _run(swapper, jobs, (options, video_options, output_options), quality=quality, as_json=as_json)
    raise typer.Exit(1 if failed else 0)


def _run(
    swapper: FaceSwapper,
    jobs: list[Job],
    options: AllOptions,
    *,
    quality: int | None,
    as_json: bool,
) -> int:
    """Do all jobs; returns how many failed. A single job that fails speaks for itself."""
    done = failed = 0
    try:
        for job in _with_progress(jobs):
            try:
                report = _do(swapper, job, options, quality)
            except InterruptedByUserError:
                raise
            except Exception as found:
                error = found if isinstance(found, HififaceError) else _unexpected(job, found)
                if len(jobs) == 1 and not as_json:
                    raise error from found
                failed += 1
                if as_json:
                    typer.echo(json.dumps({"target": str(job.target), "error": str(error)}))
                else:
                    # Most sentences name the file themselves.
                    named = "" if str(job.target) in str(error) else f"{job.target}: "
                    typer.echo(f"hififace: {named}{error}", err=True)
                continue
            done += 1
            told = video_sentence if job.kind == "video" else _sentence
            typer.echo(json.dumps(report) if as_json else told(report))
    except KeyboardInterrupt:
        raise InterruptedByUserError(
            f"stopped after {done} of {len(jobs)}; what was finished is kept."
        ) from None
    if failed and not as_json and len(jobs) > 1:
        typer.echo(f"hififace: {failed} of {len(jobs)} could not be swapped.", err=True)
    return failed


def _unexpected(job: Job, error: Exception) -> HififaceError:
    """A fault of ours, as the sentence of the one target that it concerns; the details are in the log."""
    LOGGER.info("%s", job.target, exc_info=error)
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return HififaceError(
        f"{job.target} could not be swapped for a reason that was not foreseen ({what}). Run the command with "
        "--verbose before its name to see where, and report it, if you can with the file."
    )


def _do(swapper: FaceSwapper, job: Job, options: AllOptions, quality: int | None) -> dict[str, Any]:
    """One target into one file; what `--json` prints."""
    swap_options, video_options, output_options = options
    if job.kind == "video":
        return swap_video_job(swapper, job, swap_options, video_options, output_options)
    where = {"target": str(job.target), "output": str(job.output)}
    result = swapper.swap(job.target, swap_options, output_options)
    result.save(job.output, quality=quality)
    return {**where, **result.to_json(), "provider": swapper.provider}


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
