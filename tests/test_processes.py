"""Nothing outlives a process that was killed: its workers end, and its temporary files are swept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from hififace.preparation.pack import PackOptions, pack_set
from hififace.processes import OLD_S, is_left_behind, process_mark, scratch_folder
from tests.support.set_doubles import make_set

EVALUATION = """
from hififace.evaluation.work import Worker, Workforce
force = Workforce(2, Path(sys.argv[1]))
list(force.work_through(Worker.describe, [(), ()]))
"""
PREPARATION = """
from hififace.spread import over_processes
results = over_processes(abs, range(100), 2)
next(results)
"""
UNPACKING = """
from concurrent.futures import ProcessPoolExecutor
from hififace.data import unpacking
pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), unpacking._open, ([sys.argv[2]],))
list(pool.map(abs, range(2)))
"""
START = "import json, multiprocessing, sys, time\nfrom pathlib import Path\nif __name__ == '__main__':\n"
TELL = """
print(json.dumps([one.pid for one in multiprocessing.active_children()]), flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    "pool", [EVALUATION, PREPARATION, UNPACKING], ids=["evaluation", "preparation", "unpacking"]
)
def test_workers_end_with_the_process_that_started_them(tmp_path, pool):
    """Killed without a chance to clean up, as a terminal or a scheduler kills: nothing goes on working for nobody."""
    make_set(tmp_path / "set", ["a", "b"])
    (packed,) = pack_set(tmp_path / "set", tmp_path / "some.hfpack", PackOptions()).paths
    indented = "".join(f"    {line}\n" for line in (pool + TELL).splitlines())
    (tmp_path / "main.py").write_text(START + indented)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py"), str(tmp_path), str(packed)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    workers = json.loads(process.stdout.readline())
    assert workers
    assert all(_alive(worker) for worker in workers)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while any(_alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_alive(worker) for worker in workers)


def _alive(pid: int) -> bool:
    """Running, and not only waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.skipif(sys.platform == "win32", reason="asks POSIX whether a process is alive")
def test_what_a_dead_process_left_is_told_from_everybody_elses(tmp_path: Path, dead: int):
    own = process_mark()
    place, _, thread = own.split("-")
    elsewhere = f"{'0' * 8}-{dead}-{thread}"
    assert is_left_behind(f"{place}-{dead}-{thread}", tmp_path)
    assert not any(
        is_left_behind(mark, tmp_path) for mark in (own, f"{place}-1-1", elsewhere, "", f"{dead}-1")
    )
    week_ago = time.time() - 7 * OLD_S
    os.utime(tmp_path, (week_ago, week_ago))
    assert is_left_behind(elsewhere, tmp_path)
    assert not is_left_behind(own, tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="asks POSIX whether a process is alive")
def test_scratch_folders_of_the_dead_are_swept(tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"hififace-{process_mark().split('-')[0]}-{dead}-1.scratch-abc"
    (left / "inside").mkdir(parents=True)
    foreign = tmp_path / "hififace-page-of-somebody"
    foreign.mkdir()
    with scratch_folder() as first, scratch_folder() as second:
        assert sorted(tmp_path.iterdir()) == sorted([foreign, first, second])
    assert list(tmp_path.iterdir()) == [foreign]
