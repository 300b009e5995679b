"""Signals that end a process are Ctrl-C to every command: what was begun is tidied up, and the exit code says which."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from tests.support.interrupts import hear_interrupts

CODE = """
import time
from hififace.cli import main as cli

def work(**_):
    try:
        print("begun", flush=True)
        time.sleep(600)
    finally:
        print("tidying", flush=True)
        time.sleep(0.5)
        print("tidied", flush=True)

cli.build_app = lambda arguments: work
cli.main(["swap"])
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def begin(code: str = CODE) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, preexec_fn=hear_interrupts
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_command_tidies_up_and_says_what_ended_it(number: int, exit_code: int):
    process = begin()
    process.send_signal(number)
    out, _ = process.communicate()
    assert (out, process.returncode) == ("tidying\ntidied\n", exit_code)


def test_a_second_signal_does_not_interrupt_the_tidying():
    process = begin()
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "tidying\n"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate()
    assert (out, process.returncode) == ("tidied\n", 143)


def test_nohup_stays_in_force():
    process = begin("import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + CODE)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143


def test_the_handlers_are_put_back(capsys: pytest.CaptureFixture[str]):
    from hififace.cli import main as cli

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert signal.getsignal(signal.SIGTERM) is before
