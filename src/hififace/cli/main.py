"""`hififace`: the table of commands, and what is the same for all of them.

Only the module of the command that was asked for is imported; the others stand in the help by their line in
the table. So a light command stays quick, and a command whose extra is not installed harms no other.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
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
    Command("swap", "Swap", "Swap a source face into images and videos."),
    Command("faces", "Swap", "Find and describe the faces of images; draw them or print JSON."),
    Command("verify", "Swap", "Check whether files carry the mark of a face swap, and what it proves."),
    Command("app", "Swap", "Open the web page on this machine."),
    Command("serve", "Swap", "Run the HTTP service for programs: images at once, videos as jobs."),
    Command("prepare", "Train", "Turn folders or shards of photos into a training set."),
    Command("pack", "Train", "Pack a prepared set into compact files."),
    Command("train", "Train", "Train a network, or resume a run."),
    Command("export", "Train", "Turn a trained network into a bundle for swapping."),
    Command("quantise", "Train", "Add an int8 graph to a bundle, for faster videos."),
    Command("evaluate", "Train", "Measure bundles on a fixed protocol."),
    Command("compare", "Train", "Swap the same pairs of photos with several models, side by side."),
    Command("flicker", "Train", "Measure how much a swapped video flickers."),
    Command("convert", "Train", "Convert a published checkpoint into a bundle."),
    Command("doctor", "This installation", "Check this installation: providers, codecs, files."),
    Command("weights", "This installation", "List, check and download the weights that networks need."),
)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code: 0 done, 1 failed, 2 wrong options, 130 interrupted,
    143 and 129 ended by SIGTERM and SIGHUP.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Read when numpy is first imported, which no command has done yet. Threads of OpenBLAS wait for their next product
    # by spinning: the small matrices of every frame kept a core busy for nothing, and took half of a video's time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with ending_signals() as ended:
        if arguments in (["--version"], ["-V"]):
            sys.stdout.write(f"hififace {__version__}\n")
            sys.exit(0)
        try:
            build_app(arguments)(args=arguments, prog_name="hififace")
        except HififaceError as error:
            sys.stderr.write(f"hififace: {error}\n")
            sys.exit(ended.exit_code or error.exit_code)
        except BrokenPipeError:  # whoever read our output has gone, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(ended.exit_code or 141)
        except OSError as error:
            # A full disk, a folder that may not be read, ...: no fault of the program, and no news in its lines.
            logging.getLogger(__name__).debug("the system refused", exc_info=True)
            where = f"{error.filename}: " if error.filename else ""
            sys.stderr.write(f"hififace: {where}{error.strerror or error}.\n")
            sys.exit(ended.exit_code or 1)
        except MemoryError:
            sys.stderr.write(
                "hififace: out of memory. Make the image or video smaller, or use fewer --workers.\n"
            )
            sys.exit(ended.exit_code or 1)
        except KeyboardInterrupt:
            sys.stderr.write("hififace: stopped.\n")
            sys.exit(ended.exit_code or 130)
        except SystemExit as error:
            sys.exit(ended.exit_code or error.code)
    sys.exit(0)


class Ending:
    """Turns the signals that end a process into Ctrl-C, once: what was begun is then removed or kept as after it.

    `docker stop` and systemd send SIGTERM, a closed terminal SIGHUP; without a handler Python ends at once and leaves
    visitors' photos, half-written files and locks behind.

    Attributes:
        exit_code: 128 and the signal's number, as shells have it; 0 while none came.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self._process = os.getpid()

    def __call__(self, number: int, _frame: object) -> None:
        """Handle a signal."""
        if os.getpid() != self._process:  # a worker that inherited the handler: nothing of its own to tidy up
            os._exit(128 + number)
        self.exit_code = 128 + number
        for other in _ENDING_SIGNALS:  # tidying up is not interrupted
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt


_ENDING_SIGNALS: Final = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
]


@contextlib.contextmanager
def ending_signals() -> Iterator[Ending]:
    """Handle the signals that end a process; one that is ignored, as under `nohup`, stays so."""
    ending = Ending()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, ending)
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
        verbose: bool = typer.Option(False, "--verbose", "-v", help="Log what is done, and why."),
        version: bool = typer.Option(
            False, "--version", "-V", is_eager=True, callback=_say_version, help="Print the version and exit."
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
