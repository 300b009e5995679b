"""`hififace verify FILE...`: check the marks of swapped images and videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hififace.errors import HififaceError


def verify(
    files: Annotated[list[Path], typer.Argument(help="Images and videos to check.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Check whether files carry the mark of a face swap, and what it proves.

    The exit code is 0 only if every file carries a mark and nothing contradicts it.
    """
    from hififace.provenance.claim import printable
    from hififace.provenance.verify import check_file
    from hififace.swap.output import identity_folder

    unmarked = 0
    for path in files:
        try:
            verdict = check_file(path, identity_folder())
        except HififaceError as error:
            unmarked += 1
            typer.echo(json.dumps({"path": str(path), "error": str(error)}) if as_json else str(error))
            continue
        unmarked += not verdict.marked
        if as_json:
            claim = verdict.claim.model_dump(mode="json") if verdict.claim is not None else None
            row = {
                "path": str(path),
                "marked": verdict.marked,
                "credentials": verdict.credentials,
                "metadata": verdict.metadata,
                "signer": verdict.signer,
                "claim": claim,
                "detail": verdict.detail,
            }
            typer.echo(json.dumps(row))
        else:
            typer.echo(f"{printable(str(path))}: {verdict.sentence()}")
    raise typer.Exit(1 if unmarked else 0)
