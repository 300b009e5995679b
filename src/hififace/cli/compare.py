"""`hififace compare BUNDLE... --pairs PAIRS -o FOLDER`: several models side by side on the same photos."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hififace.cli.running import named_providers, providers_option, threads_option
from hififace.errors import OptionError

if TYPE_CHECKING:
    from hififace.evaluation.compare import Comparison


def compare(
    bundles: Annotated[list[str], typer.Argument(metavar="BUNDLE...", help="Names or folders of bundles.")],
    pairs: Annotated[
        Path,
        typer.Option(
            help="File with a source and a target on each line, or folder with sources/ and targets/."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the image sheet, the table and the JSON.")
    ],
    providers: Annotated[
        str | None,
        providers_option(None),
    ] = None,
    threads: Annotated[int | None, threads_option(None)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Hide the progress bar.")] = False,
) -> None:
    """Swap the same pairs of photos with several models, side by side.

    hififace compare bundles/standard bundles/gaze --pairs pairs.csv -o side-by-side
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from hififace.evaluation.compare import compare as swap_all
    from hififace.evaluation.compare import read_pairs, sheet, to_markdown
    from hififace.media.atomic import atomic_write
    from hififace.media.image import LoadedImage
    from hififace.provenance.claim import Claim
    from hififace.swap.output import save_image

    if output.is_file():
        raise OptionError(f"--output {output} is a file; a folder was expected.")
    chosen = read_pairs(pairs)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bars:
        task = bars.add_task("pairs", total=len(chosen))
        found = swap_all(
            bundles,
            chosen,
            providers=named_providers(providers),
            threads=threads,
            progress=lambda done, _: bars.update(task, completed=done),
        )
    shown = sheet(found)
    table = to_markdown(found)
    atomic_write(output / "compare.md", table.encode())
    atomic_write(output / "compare.json", (json.dumps(_to_json(found), indent=2) + "\n").encode())
    claim = Claim(model=" + ".join(found.names))
    save_image(shown, LoadedImage.from_pixels(shown), output / "compare.jpg", claim)
    typer.echo(table, nl=False)
    for name in ("compare.jpg", "compare.md", "compare.json"):
        typer.echo(output / name)


def _to_json(found: Comparison) -> dict[str, Any]:
    return {
        "bundles": list(found.names),
        "refusals": found.refusals,
        "pairs": [
            {
                "source": str(pair.source),
                "target": str(pair.target),
                **{
                    name: [None if math.isnan(value) else round(float(value), 6) for value in values[number]]
                    for name, values in found.values.items()
                },
            }
            for number, pair in enumerate(found.pairs)
        ],
    }
