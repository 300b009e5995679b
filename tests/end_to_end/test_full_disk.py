"""Commands on a disk that is full: a sentence, exit code 1, the old result stays, and nothing half is left.

A limit on the size of files stands for the disk: the system then refuses to write as a full disk does.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no limits of that kind")
ROOT = Path(__file__).parents[2]
OFFICER, ASTRONAUT = ROOT / "examples" / "officer.jpg", ROOT / "examples" / "astronaut.jpg"

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))
from hififace.cli.main import main
main(sys.argv[1:])
"""


def run(*words: object) -> str:
    done = subprocess.run([sys.executable, "-c", LIMITED, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path / "home"))


def test_swap(tmp_path: Path):
    output = tmp_path / "out.jpg"
    output.write_bytes(b"old")
    assert "cannot be written" in run("swap", OFFICER, ASTRONAUT, "-o", output)
    assert output.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out.jpg"]


def test_faces(tmp_path: Path):
    assert "cannot be written" in run("faces", ASTRONAUT, "-o", tmp_path / "drawn.png")
    assert not (tmp_path / "drawn.png").exists()


def test_prepare(tmp_path: Path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, photo in enumerate((OFFICER, ASTRONAUT)):
        (photos / f"{number}.jpg").write_bytes(photo.read_bytes())
    said = run("prepare", photos, "-o", tmp_path / "set", "--layout", "flat", "--workers", "1")
    assert said.strip().splitlines()[-1].startswith("hififace: ")
    assert not (tmp_path / "set" / "set.json").exists()
