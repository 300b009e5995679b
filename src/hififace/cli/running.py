"""Options that several commands share: on what networks run, and under which terms.

Functions, because the panel of `--help` that an option stands in is the command's own.
"""

from __future__ import annotations

from typing import Any

import typer


def providers_option(panel: str | None) -> Any:
    """`--providers`, or HIFIFACE_PROVIDERS."""
    return typer.Option(
        envvar="HIFIFACE_PROVIDERS",
        help="Execution providers, best first, such as cuda,cpu.",
        rich_help_panel=panel,
    )


def named_providers(text: str | None) -> tuple[str, ...] | None:
    """What `--providers` names; None leaves the choice to the library."""
    return tuple(name.strip() for name in text.split(",")) if text else None


def threads_option(panel: str | None) -> Any:
    """`--threads`."""
    return typer.Option(help="CPU threads of one network run.", rich_help_panel=panel)


def commercial_option(panel: str | None) -> Any:
    """`--commercial`, without its negation."""
    return typer.Option(
        "--commercial",
        help="Refuse models and parts whose licence forbids commercial use.",
        rich_help_panel=panel,
    )
