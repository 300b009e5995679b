"""`hififace flicker VIDEO RESULT...`: how much swapped videos flicker, compared with the original."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hififace.cli.video import parse_seconds

if TYPE_CHECKING:
    from hififace.evaluation.temporal import VideoFlicker


def flicker(
    video: Annotated[Path, typer.Argument(help="The original video.")],
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT...", help="Swapped versions of it, such as with --smooth and with --no-smooth."
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            "-s",
            help="Photo of the source face; default: each face is compared with its own mean.",
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="The --start with which the results were swapped.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON, per track.")] = False,
) -> None:
    """Measure how much a swapped video flickers.

    hififace flicker video.mp4 smooth.mp4 raw.mp4 --source me.jpg

    The first row is the original video, a lower bound for its swapped versions.
    """
    from hififace.evaluation.video import identity_of_photo, measure_flicker

    identity = None if source is None else identity_of_photo(source)
    rows = measure_flicker(video, results, source=identity, start_s=parse_seconds(start, "--start"))
    if as_json:
        typer.echo(json.dumps([_to_json(row) for row in rows], indent=2))
    else:
        typer.echo(table(rows))


def table(rows: list[VideoFlicker]) -> str:
    """One line for each video; variance and flicker of the similarity in millionths."""
    lines = [
        f"{'video':<28} {'faces':>6} {'similarity':>11} {'variance':>10} {'flicker':>9} {'warping error':>14}"
    ]
    for row in rows:
        numbers = [
            _told(row.similarity, 11, ".3f"),
            _told(row.similarity_variance, 10, ".0f", 1e6),
            _told(row.similarity_flicker, 9, ".0f", 1e6),
            _told(row.warping_error, 14, ".2f"),
        ]
        lines.append(f"{row.video.name:<28} {row.num_frames:>6} {' '.join(numbers)}")
    return "\n".join(lines)


def _told(value: float | None, width: int, form: str, unit: float = 1.0) -> str:
    return f"{'-' if value is None else format(value * unit, form):>{width}}"


def _to_json(row: VideoFlicker) -> dict[str, Any]:
    return {
        "video": str(row.video),
        "num_frames": row.num_frames,
        "similarity": row.similarity,
        "similarity_variance": row.similarity_variance,
        "similarity_flicker": row.similarity_flicker,
        "warping_error": row.warping_error,
        "tracks": [asdict(track) for track in row.tracks],
    }
