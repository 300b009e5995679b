"""`hififace flicker FILM RESULT...`: how much a swapped film flickers, beside the film itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hififace.cli.film import parse_seconds

if TYPE_CHECKING:
    from hififace.evaluation.temporal import FilmFlicker


def flicker(
    film: Annotated[Path, typer.Argument(help="The film that was swapped.")],
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT...", help="What it became, such as with --smooth and with --no-smooth."
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            "-s",
            help="A photo of who was put in; without it, each face is compared with its own mean.",
        ),
    ] = None,
    start: Annotated[str | None, typer.Option(help="The --start that the results were swapped with.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All numbers, track by track.")] = False,
) -> None:
    """Say how much a swapped film flickers.

    hififace flicker film.mp4 smooth.mp4 raw.mp4 --source me.jpg

    The film's own row is the floor: less than that is not to be had.
    """
    from hififace.evaluation.film import identity_of_photo, measure_flicker

    identity = None if source is None else identity_of_photo(source)
    rows = measure_flicker(film, results, source=identity, start_s=parse_seconds(start, "--start"))
    if as_json:
        typer.echo(json.dumps([_to_json(row) for row in rows], indent=2))
    else:
        typer.echo(table(rows))


def table(rows: list[FilmFlicker]) -> str:
    """One line for each film; variance and flicker of the similarity in millionths."""
    lines = [
        f"{'film':<28} {'faces':>6} {'similarity':>11} {'variance':>10} {'flicker':>9} {'warping error':>14}"
    ]
    for row in rows:
        numbers = [
            _told(row.similarity, 11, ".3f"),
            _told(row.similarity_variance, 10, ".0f", 1e6),
            _told(row.similarity_flicker, 9, ".0f", 1e6),
            _told(row.warping_error, 14, ".2f"),
        ]
        lines.append(f"{row.film.name:<28} {row.num_frames:>6} {' '.join(numbers)}")
    return "\n".join(lines)


def _told(value: float | None, width: int, form: str, unit: float = 1.0) -> str:
    return f"{'-' if value is None else format(value * unit, form):>{width}}"


def _to_json(row: FilmFlicker) -> dict[str, Any]:
    return {
        "film": str(row.film),
        "num_frames": row.num_frames,
        "similarity": row.similarity,
        "similarity_variance": row.similarity_variance,
        "similarity_flicker": row.similarity_flicker,
        "warping_error": row.warping_error,
        "tracks": [asdict(track) for track in row.tracks],
    }
