"""Options that several commands share: on what networks run, and under which terms.

Functions, because the panel of `--help` that an option stands in is the command's own.
"""

from __future__ import annotations

from typing import Any

import typer


def providers_option(panel: str) -> Any:
    """`--providers`, or HIFIFACE_PROVIDERS."""
    return typer.Option(
        envvar="HIFIFACE_PROVIDERS",
        help="What to run on, best first, such as cuda,cpu.",
        rich_help_panel=panel,
    )


def threads_option(panel: str) -> Any:
    """`--threads`."""
    return typer.Option(help="Threads of one run of a network.", rich_help_panel=panel)


def commercial_option(panel: str) -> Any:
    """`--commercial`, without its negation."""
    return typer.Option(
        "--commercial",
        help="Refuse models and parts that may not be used commercially.",
        rich_help_panel=panel,
    )
