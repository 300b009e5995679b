"""`hififace weights list | show | verify | fetch`: the files that networks need."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from hififace.errors import HififaceError, OptionError, WeightsError
from hififace.weights.places import model_dir
from hififace.weights.registry import PURPOSES, Card, all_cards, cards_for, find_card
from hififace.weights.store import Finding, expected_path, fetch, verify

weights = typer.Typer(no_args_is_help=True)

Commercial = Annotated[
    bool, typer.Option("--commercial", help="Leave out files whose licence forbids commercial use.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")]


@weights.command("list")
def list_cards(commercial: Commercial = False, as_json: AsJson = False) -> None:
    """List every file with its size, licence and use, and whether it is on this machine."""
    cards = [card for card in all_cards() if card.commercial or not commercial]
    if as_json:
        for card in cards:
            typer.echo(json.dumps(_described(card)))
        return
    for kind, heading in (
        ("embedded", "Part of this installation"),
        ("fetchable", "Downloaded with `hififace weights fetch NAME`"),
        ("user-supplied", f"User-supplied (see `hififace weights show NAME`), below {model_dir()}"),
    ):
        typer.echo(f"\n{heading}")
        for card in (card for card in cards if card.kind == kind):
            here = "present" if expected_path(card).is_file() else "missing"
            typer.echo(f"  {card.name:<27} {_size(card):>9}  {here}  {card.licence}")
            typer.echo(f"  {'':<27} {'':>9}           for {card.used_by}")


@weights.command("show")
def show(name: Annotated[str, typer.Argument(help="Name of a file, from `hififace weights list`.")]) -> None:
    """Show everything about one file, and how to get it."""
    for key, value in _described(find_card(name)).items():
        if value not in (None, "", []):
            typer.echo(
                f"{key:<13} {value if not isinstance(value, list) else (chr(10) + ' ' * 14).join(value)}"
            )


@weights.command("verify")
def verify_files(
    names: Annotated[list[str] | None, typer.Argument(help="Names of files; default: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check the SHA-256 of files. Fails if one is altered, or missing although it is embedded or was named."""
    findings = [verify(card) for card in _chosen(names)]
    bad = [finding for finding in findings if not finding.usable and (names or _must_be_there(finding))]
    for finding in findings:
        if as_json:
            typer.echo(
                json.dumps(
                    {
                        "name": finding.card.name,
                        "state": finding.state,
                        "path": str(finding.path),
                        "detail": finding.detail,
                    }
                )
            )
        elif names or finding.state != "missing" or _must_be_there(finding):
            typer.echo(f"{finding.state:<8} {finding.card.name:<27} {finding.detail}")
    if bad:
        raise WeightsError(f"{len(bad)} of {len(findings)} files are missing or altered.")


@weights.command("fetch")
def fetch_files(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of files, or a purpose: evaluation, literature, training, conversion, paper."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Download every file that can be.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not use the network.")] = False,
    commercial: Commercial = False,
) -> None:
    """Download and verify files; an interrupted download resumes where it stopped."""
    if bool(names) == everything:
        raise OptionError(
            f"Name the files to fetch, a purpose ({', '.join(PURPOSES)}), or say --all. `hififace weights list` shows "
            "the files."
        )
    cards = [card for card in all_cards() if card.kind == "fetchable"] if everything else _wanted(names or [])
    failures: list[HififaceError] = []
    for card in cards:
        if (
            card.kind == "user-supplied"
            and card.name not in (names or [])
            and not expected_path(card).is_file()
        ):
            # Part of a purpose: what can be fetched is, and this is said.
            typer.echo(f"{card.name}: user-supplied; see `hififace weights show {card.name}`", err=True)
            continue
        try:
            path = fetch(
                card, no_network=offline or None, commercial=commercial, progress=_Meter(card.filename)
            )
        except WeightsError as error:
            failures.append(error)
            typer.echo(f"{card.name}: {error}", err=True)
        else:
            typer.echo(f"{card.name}: {path}")
    if failures:
        raise WeightsError(f"{len(failures)} of {len(cards)} files could not be downloaded.")


def _wanted(names: list[str]) -> list[Card]:
    """Cards by name, and all of a purpose; each once."""
    found = [card for name in names for card in (cards_for(name) if name in PURPOSES else [find_card(name)])]
    return list(dict.fromkeys(found))


def _chosen(names: list[str] | None) -> list[Card]:
    return [find_card(name) for name in names] if names else list(all_cards())


def _must_be_there(finding: Finding) -> bool:
    return finding.card.kind == "embedded" or finding.state == "altered"


def _size(card: Card) -> str:
    return f"{card.size_bytes / 1e6:.1f} MB" if card.size_bytes is not None else "?"


def _described(card: Card) -> dict[str, Any]:
    return {
        "name": card.name,
        "kind": card.kind,
        "file": card.filename,
        "path": str(expected_path(card)),
        "here": expected_path(card).is_file(),
        "size_bytes": card.size_bytes,
        "sha256": card.sha256,
        "licence": card.licence,
        "commercial": card.commercial,
        "origin": card.origin,
        "used_by": card.used_by,
        "urls": list(card.urls),
        "instructions": card.instructions,
    }


class _Meter:
    """One line on a terminal that says how far the download is; silent where nobody watches."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shown = -1

    def __call__(self, have: int, total: int | None) -> None:
        megabytes = have // 1_000_000
        if not sys.stderr.isatty() or megabytes == self.shown:
            return
        self.shown = megabytes
        of = f" of {total / 1e6:.0f}" if total else ""
        end = "\n" if total and have >= total else ""
        sys.stderr.write(f"\r{self.name}: {megabytes}{of} MB{end}")
        sys.stderr.flush()
