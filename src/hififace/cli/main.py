"""`hififace`: the table of commands, and what is the same for all of them.

Only the module of the command that was asked for is imported; the others stand in the help by their line in
the table. So a light command stays quick, and a command whose extra is not installed harms no other.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from hififace import __version__
from hififace.errors import HififaceError

if TYPE_CHECKING:
    import typer


@dataclass(frozen=True, slots=True)
class Command:
    """One row: `hififace NAME` is the function (or typer app) NAME of the module hififace.cli.NAME."""

    name: str
    panel: str
    help: str

    @property
    def module(self) -> str:
        """Where it lives."""
        return f"hififace.cli.{self.name}"


COMMANDS: Final = (
    Command("swap", "Swap", "Put the face of one photo into images or a video."),
    Command("faces", "Swap", "Find and describe the faces of images; draw them or print JSON."),
    Command("verify", "Swap", "Say whether files carry the mark of a face swap, and what it proves."),
    Command("app", "Swap", "Open the web page on this machine."),
    Command("prepare", "Train", "Turn folders or shards of photos into a training set."),
    Command("pack", "Train", "Pack a prepared set into small files."),
    Command("train", "Train", "Train a network, or go on with a run."),
    Command("export", "Train", "Turn a trained network into a bundle for swapping."),
    Command("evaluate", "Train", "Measure a bundle on a fixed protocol."),
    Command("flicker", "Train", "Say how much a swapped video flickers."),
    Command("convert", "Train", "Turn the published checkpoints into a bundle."),
    Command("doctor", "This installation", "Say what works on this machine, and why not."),
    Command("weights", "This installation", "List, check and fetch the files that networks need."),
)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code: 0 done, 1 failed, 2 wrong options, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"]):
        sys.stdout.write(f"hififace {__version__}\n")
        sys.exit(0)
    try:
        build_app(arguments)(args=arguments, prog_name="hififace")
    except HififaceError as error:
        sys.stderr.write(f"hififace: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("hififace: stopped.\n")
        sys.exit(130)
    sys.exit(0)


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """The app with the one command that `arguments` ask for, and a line of help for every other."""
    import typer

    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Swap faces in photographs and video, and train the network that does it.",
    )

    @app.callback()
    def common_options(
        verbose: bool = typer.Option(False, "--verbose", "-v", help="Say what is done, and why."),
        version: bool = typer.Option(
            False, "--version", "-V", is_eager=True, callback=_say_version, help="Print the version and stop."
        ),
    ) -> None:
        set_up_logging(verbose)

    asked = next((word for word in arguments if not word.startswith("-")), None)
    # Shell completion asks for the options of any command, so there everything is imported.
    completing = "_HIFIFACE_COMPLETE" in os.environ
    for command in COMMANDS:
        if importlib.util.find_spec(command.module) is None:
            continue
        if command.name == asked or completing:
            found = getattr(importlib.import_module(command.module), command.name)
        else:
            found = _placeholder
        _register(app, command, found)
    return app


def _register(app: typer.Typer, command: Command, found: Callable[..., Any] | typer.Typer) -> None:
    import typer

    if isinstance(found, typer.Typer):
        app.add_typer(found, name=command.name, help=command.help, rich_help_panel=command.panel)
    elif found is _placeholder:
        app.command(command.name, help=command.help, rich_help_panel=command.panel)(found)
    else:
        app.command(command.name, rich_help_panel=command.panel)(found)


def _placeholder() -> None:
    """Stands for a command in the help; never runs."""
    raise AssertionError("a command that was not asked for")


def _say_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"hififace {__version__}\n")
        sys.exit(0)


def set_up_logging(verbose: bool) -> None:
    """Once per process, here and nowhere else: a library does not touch logging."""
    logging.basicConfig(
        level=logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s" if verbose else "%(levelname)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("hififace").setLevel(logging.INFO if verbose else logging.WARNING)
    # Odd notes in a camera's EXIF are no news to a user; damaged pixels raise.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
