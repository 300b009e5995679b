"""Options that several commands share: on what networks run, and under which terms.

Functions, because the panel of `--help` that an option stands in is the command's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from hififace.errors import RuntimeUnavailableError


@contextmanager
def needs(extra: str, doing: str, library: str) -> Iterator[None]:
    """Around imports of what only an extra installs.

    Raises:
        RuntimeUnavailableError: it is not installed; names the extra.
    """
    try:
        yield
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"{doing} needs {library}, which is not installed: pip install '.[{extra}]'."
        ) from error


def bundles_option() -> Any:
    """`--bundles`, of the page and the service."""
    return typer.Option(
        "--bundles",
        help="Bundle, or folder of bundles, to offer; repeatable.",
        rich_help_panel=SERVER,
    )


SERVER = "Address and devices"
"""Panel of `--help` of the page and the service."""


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


def precision_option(panel: str | None) -> Any:
    """`--precision`."""
    return typer.Option(
        help="Arithmetic of the generator for images; auto uses what was measured to be the fastest here. Videos "
        "always do.",
        rich_help_panel=panel,
    )


def commercial_option(panel: str | None) -> Any:
    """`--commercial`, without its negation."""
    return typer.Option(
        "--commercial",
        help="Refuse models and parts whose licence forbids commercial use.",
        rich_help_panel=panel,
    )
