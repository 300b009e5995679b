from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hififace.errors import HififaceError
from hififace.media.lock import folder_lock

REFUSAL = HififaceError("somebody is at it")


def test_one_at_a_time_and_nothing_is_left(tmp_path: Path):
    folder = tmp_path / "work" / "here"
    with folder_lock(folder, REFUSAL):
        with pytest.raises(HififaceError, match="somebody"), folder_lock(folder, REFUSAL):
            raise AssertionError("two at once")
        assert folder.is_dir()
    assert not folder.exists()
    with folder_lock(folder, REFUSAL):
        (folder / "kept").write_bytes(b"work")
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_an_error_inside_ends_the_hold(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), folder_lock(tmp_path / "a", REFUSAL):
        raise KeyboardInterrupt
    with folder_lock(tmp_path / "a", REFUSAL):
        pass


def test_threads_exclude_each_other_too(tmp_path: Path):
    heard: list[str] = []

    def try_it() -> None:
        try:
            with folder_lock(tmp_path / "a", REFUSAL):
                heard.append("held")
        except HififaceError as error:
            heard.append(str(error))

    with folder_lock(tmp_path / "a", REFUSAL):
        other = threading.Thread(target=try_it)
        other.start()
        other.join()
    assert heard == ["somebody is at it"]


CHILD = """
import sys, time
from pathlib import Path
from hififace.errors import HififaceError
from hififace.media.lock import folder_lock
with folder_lock(Path(sys.argv[1]), HififaceError("no")):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_killed_process_holds_nothing(tmp_path: Path):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "a")], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(HififaceError, match="somebody"), folder_lock(tmp_path / "a", REFUSAL):
            raise AssertionError("two at once")
        child.send_signal(signal.SIGKILL)
        child.wait()
    with folder_lock(tmp_path / "a", REFUSAL):
        pass


def test_a_place_that_cannot_be_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(HififaceError, match="cannot be worked in"),
        folder_lock(tmp_path / "file" / "a", REFUSAL),
    ):
        raise AssertionError("worked in a file")
