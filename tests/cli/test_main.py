from __future__ import annotations

import logging
import os
import subprocess
import sys
import types

import pytest

from hififace import __version__
from hififace.cli import main as cli
from hififace.errors import ImageError, InterruptedByUserError, OptionError


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        cli.main(arguments)
    return int(leaving.value.code or 0)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """Put one function in the place of `hififace doctor`."""

    def install(function) -> None:
        module = types.ModuleType("hififace.cli.doctor")
        module.doctor = function
        module.__spec__ = types.SimpleNamespace()
        monkeypatch.setitem(sys.modules, "hififace.cli.doctor", module)

    return install


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["-v", "--version"]])
def test_version(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert run(*arguments) == 0
    assert capsys.readouterr().out == f"hififace {__version__}\n"


def test_version_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from hififace.cli.main import main\n"
        "try:\n    main(['--version'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'typer', 'rich', 'numpy', 'torch', 'onnxruntime', 'cv2', 'av', 'pydantic'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ImageError("The file is empty."), 1),
        (OptionError("No such option."), 2),
        (InterruptedByUserError("Stopped."), 130),
    ],
)
def test_a_users_error_is_a_sentence_on_stderr(command, capsys, error, code):
    def fail() -> None:
        raise error

    command(fail)
    assert run("doctor") == code
    captured = capsys.readouterr()
    assert captured.err == f"hififace: {error}\n"
    assert captured.out == ""


def test_an_interrupt_leaves_with_130(command):
    def interrupt() -> None:
        raise KeyboardInterrupt

    command(interrupt)
    assert run("doctor") == 130


def test_a_bug_keeps_its_trace(command):
    """Only what users cause is shortened to a sentence."""

    def broken() -> None:
        raise ZeroDivisionError("a bug")

    command(broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_an_unknown_command_and_an_unknown_option_give_2(command, capsys):
    command(lambda: None)
    assert run("dance") == 2
    assert run("doctor", "--nonsense") == 2
    assert "No such option" in capsys.readouterr().err


def test_help_lists_commands_without_importing_them(capsys, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(cli.importlib, "import_module", asked.append)
    assert run("--help") == 0
    listed = capsys.readouterr().out
    assert asked == []
    for row in cli.COMMANDS:
        if cli.importlib.util.find_spec(row.module) is not None:
            assert row.name in listed


def test_every_command_that_exists_shows_its_help(capsys):
    for row in cli.COMMANDS:
        if cli.importlib.util.find_spec(row.module) is not None:
            assert run(row.name, "--help") == 0
            assert f"hififace {row.name}" in capsys.readouterr().out


def test_a_missing_module_does_not_break_the_others(command, monkeypatch):
    monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, cli.Command("nowhere", "Swap", "Does not exist.")))
    command(lambda: None)
    assert run("doctor") == 0
    assert run("nowhere") == 2


def test_verbose_lets_the_projects_own_information_through(command):
    levels: list[int] = []
    command(lambda: levels.append(logging.getLogger("hififace").level))
    run("doctor")
    run("-v", "doctor")
    assert levels == [logging.WARNING, logging.INFO]
    logging.getLogger("hififace").setLevel(logging.NOTSET)


@pytest.mark.parametrize(("asked", "expected"), [(None, "1"), ("4", "4")])
def test_a_command_s_matrices_use_one_thread_unless_asked(asked: str | None, expected: str):
    """What reads the variable is numpy's import, so a command must not have imported it before."""
    code = (
        "import os, sys, hififace.cli.main as program\n"
        "assert 'numpy' not in sys.modules\n"
        "def found(arguments):\n"
        "    assert 'numpy' not in sys.modules\n"
        "    print(os.environ['OPENBLAS_NUM_THREADS'])\n"
        "    raise SystemExit\n"
        "program.build_app = found\n"
        "program.main(['swap'])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    if asked is not None:
        environment["OPENBLAS_NUM_THREADS"] = asked
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert ran.stdout.strip() == expected
