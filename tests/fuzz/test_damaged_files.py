"""Whatever a file holds, the answer is a result with its mark or a sentence: no traceback, no crash, no hang.

Few files by default; `make test-fuzz` (marker `fuzz`) takes 600 images and 120 videos. HIFIFACE_FUZZ_SEED chooses
others.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.damaged import images, videos

SEED = int(os.environ.get("HIFIFACE_FUZZ_SEED", "20261127"))
HANG_S = 300.0
"""No file here takes a second of a free core; a machine with twenty tasks a core is patient enough with this."""


class Worker:
    """A process that tries files, started again when one kills it."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def attempt(self, path: Path) -> dict[str, str]:
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        try:
            line = self._lines.get(timeout=HANG_S)
        except queue.Empty:
            self.stop()
            return {"traceback": f"no answer within {HANG_S:.0f} s"}
        if line:
            answer: dict[str, str] = json.loads(line)
            return answer
        code = process.wait()
        self.stop()
        return {"traceback": f"the process ended with {code}"}

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", str(self._results)],
            cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._lines = queue.Queue()
        threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True).start()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            shutil.rmtree(self._results)
            self._results.mkdir()


def _read(stream: Iterator[str], lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Callable[[Path], dict[str, str]]]:
    (tmp_path / "results").mkdir()
    worker = Worker(tmp_path / "results")
    yield worker.attempt
    worker.stop()


def check(
    kind: str, files: Iterator[tuple[str, bytes]], attempt: Callable[[Path], dict[str, str]], folder: Path
) -> None:
    said: list[str] = []
    wrong: list[str] = []
    for name, data in files:
        path = folder / f"{kind}-{name}"
        path.write_bytes(data)
        answer = attempt(path)
        said.append(f"{name}: {answer.get('said', '')}")
        if "said" not in answer:
            wrong.append(f"{name}\n{answer['traceback']}")
        path.unlink()
    if "HIFIFACE_FUZZ_LOG" in os.environ:
        with Path(os.environ["HIFIFACE_FUZZ_LOG"]).open("a", encoding="utf-8") as log:
            log.write("\n".join([*said, *wrong]) + "\n")
    assert not wrong, f"{len(wrong)} of {len(said)} (seed {SEED}):\n" + "\n".join(wrong[:5])
    assert any("swapped" in one for one in said)  # what they are made from can be swapped
    assert any("swap: " in one for one in said)


def test_some_images(tmp_path: Path, attempt: Callable[[Path], dict[str, str]]):
    check("image", images(SEED, 40), attempt, tmp_path)


def test_some_videos(tmp_path: Path, attempt: Callable[[Path], dict[str, str]]):
    check("video", videos(SEED, 10, tmp_path / "whole"), attempt, tmp_path)


@pytest.mark.fuzz
def test_many_images(tmp_path: Path, attempt: Callable[[Path], dict[str, str]]):
    check("image", images(SEED + 1, 600), attempt, tmp_path)


@pytest.mark.fuzz
def test_many_videos(tmp_path: Path, attempt: Callable[[Path], dict[str, str]]):
    check("video", videos(SEED + 1, 120, tmp_path / "whole"), attempt, tmp_path)
