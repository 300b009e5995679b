"""A kill at the worst moment of every command that writes: what was there stays, nothing half is ever there, and the
same command then works as if nothing had been.

The worst moments are those at which a file is made durable and takes its name. A child counts them and kills itself
with SIGKILL at the n-th, which no handler hears. The run after the last kill leaves nothing beside its result. Videos,
preparation and training, which go on where they were, have tests of their own (`tests/video/test_job.py`,
`tests/preparation/test_build.py`, `tests/training/test_loop.py`).
"""

from __future__ import annotations

import hashlib
import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import save_file
from tests.support.bundle_doubles import write_mesh_bundle
from tests.support.set_doubles import make_set

from hififace.data.packed import PackedSet
from hififace.media.image import read_image
from hififace.models.create import create_generator
from hififace.models.params import tiny, to_json
from hififace.provenance.verify import check_file
from hififace.training.checkpoint import SCHEMA_VERSION
from hififace.weights.bundle import load_bundle

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
ROOT = Path(__file__).parents[2]
OFFICER, ASTRONAUT = ROOT / "examples" / "officer.jpg", ROOT / "examples" / "astronaut.jpg"

KILLING = """
import os, pathlib, signal, sys
at, seen = int(sys.argv.pop(1)), 0

def counted(inner):
    def outer(*arguments, **named):
        global seen
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*arguments, **named)
    return outer

os.fsync, os.link, os.replace, os.rename = map(counted, (os.fsync, os.link, os.replace, os.rename))
pathlib.Path.replace, pathlib.Path.rename = counted(pathlib.Path.replace), counted(pathlib.Path.rename)
"""
COMMAND = KILLING + "from hififace.cli.main import main\nmain(sys.argv[1:])\n"


def killed(code: str, at: int, *words: object) -> bool:
    """Run; whether it was killed at its `at`-th moment (else it had fewer, and ended well)."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(at), *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode != 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_swap_leaves_the_old_result_or_the_new_one(tmp_path: Path):
    output = tmp_path / "out.jpg"
    output.write_bytes(b"old")
    moments = 0
    while killed(COMMAND, moments + 1, "swap", OFFICER, ASTRONAUT, "-o", output):
        moments += 1
        content = output.read_bytes()
        assert content == b"old" or check_file(output).marked
        assert moments < 10
    assert moments >= 3  # the key's link, the image's fsync and its new name
    assert check_file(output).marked
    assert names(tmp_path) == ["home", "out.jpg"]
    assert read_image(output).size == read_image(ASTRONAUT).size


def test_faces_leaves_the_old_drawing_or_the_new_one(tmp_path: Path):
    output = tmp_path / "drawn.png"
    output.write_bytes(b"old")
    moments = 0
    while killed(COMMAND, moments + 1, "faces", ASTRONAUT, "-o", output):
        moments += 1
        assert output.read_bytes() == b"old"
        assert moments < 10
    assert moments >= 2
    assert read_image(output).size == read_image(ASTRONAUT).size
    assert names(tmp_path) == ["drawn.png"]


PACK = (
    KILLING
    + """
from hififace.preparation.pack import PackOptions, pack_set
pack_set(sys.argv[1], sys.argv[2], PackOptions())
"""
)


def test_a_packed_set_is_whole_or_absent(tmp_path: Path):
    make_set(tmp_path / "set", ["a", "a", "b"])
    output = tmp_path / "packed" / "some.hfpack"
    moments = 0
    while killed(PACK, moments + 1, tmp_path / "set", output):
        moments += 1
        assert not output.exists()
        assert moments < 10
    assert moments >= 2
    assert len(PackedSet.open([output])) == 3
    assert names(output.parent) == ["some.hfpack"]


REPORT = (
    KILLING
    + """
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from hififace.evaluation import report
report.to_json, report.to_markdown = lambda _: {"new": 1}, lambda _: "new"
report._pair_lines = lambda *_: ["new"]
report.contact_sheets = lambda *_: {".png": np.zeros((8, 8, 3), np.uint8)}
model = SimpleNamespace(entry=SimpleNamespace(name="a", version="1"))
report.write_report(SimpleNamespace(results=[model]), Path(sys.argv[1]))
"""
)


def test_a_report_consists_of_old_and_new_files_never_of_halves(tmp_path: Path):
    """What `evaluate -o` writes, of an evaluation that is made up."""
    folder = tmp_path / "report"
    folder.mkdir()
    files = ["contact-a.png", "pairs-a.jsonl", "report.json", "report.md"]
    for name in files:
        (folder / name).write_bytes(b"old")
    moments = 0
    while killed(REPORT, moments + 1, folder):
        moments += 1
        texts = {name: (folder / name).read_bytes() for name in files}
        assert texts["contact-a.png"] == b"old" or check_file(folder / "contact-a.png").marked
        assert texts["pairs-a.jsonl"] in {b"old", b"new"}
        assert texts["report.json"] in {b"old", b'{\n  "new": 1\n}\n'}
        assert texts["report.md"] in {b"old", b"new"}
        assert moments < 20
    assert moments >= 8
    assert check_file(folder / "contact-a.png").marked
    assert names(folder) == files


WRITE_BUNDLE = (
    KILLING
    + """
from pathlib import Path
from tests.support.bundle_doubles import write_mesh_bundle
write_mesh_bundle(Path(sys.argv[1]))
"""
)


def test_a_bundle_is_the_old_one_the_new_one_or_set_aside(tmp_path: Path):
    """`convert` and `export` both end in `write_bundle`, whose two renames are the moments."""
    folder = tmp_path / "bundles" / "double"
    write_mesh_bundle(folder)
    old = sorted(path.name for path in folder.iterdir())
    moments = 0
    while killed(WRITE_BUNDLE, moments + 1, folder):
        moments += 1
        if not folder.exists():  # between the two renames: the old one lies beside it, whole
            (aside,) = folder.parent.glob(f".{folder.name}.*.old")
            assert sorted(path.name for path in aside.iterdir()) == old
        assert moments < 10
    assert moments >= 2
    assert sorted(path.name for path in folder.iterdir()) == old
    assert names(folder.parent) == ["double"]


CONVERT = (
    KILLING
    + """
from pathlib import Path
from hififace.export.checkpoint import export_published
from tests.support.published_doubles import small_published
export_published(small_published(), Path(sys.argv[2]))
"""
)
EXPORT = (
    KILLING
    + """
from pathlib import Path
from hififace.export.trained import export_trained
export_trained(Path(sys.argv[1]), Path(sys.argv[2]), {"licence": "MIT", "training_data": ""})
"""
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A checkpoint, as training writes it."""
    folder = tmp_path / "run" / "checkpoints" / "000000100"
    folder.mkdir(parents=True)
    for name in ("generator", "average"):
        save_file(create_generator(tiny()).state_dict(), folder / f"{name}.safetensors")
    config = {"family": "mesh", "generator": to_json(tiny())}
    state = {"schema_version": SCHEMA_VERSION, "progress": {"images": 100}, "config": config}
    (folder / "state.json").write_text(json.dumps(state))
    return tmp_path / "run"


@pytest.mark.slow
@pytest.mark.parametrize("code", [CONVERT, EXPORT], ids=["convert", "export"])
def test_a_converted_or_exported_bundle_leaves_nothing_behind(
    tmp_path: Path, run: Path, code: str, monkeypatch: pytest.MonkeyPatch
):
    scratch, folder = tmp_path / "scratch", tmp_path / "bundles" / "made"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    moments, was_whole = 0, False
    while killed(code, moments + 1, run, folder):
        moments += 1
        if folder.exists():
            load_bundle(folder)
            was_whole = True
        elif was_whole:  # between the two renames
            (aside,) = folder.parent.glob(".made.*.old")
            load_bundle(aside)
        assert moments < 10
    assert moments >= 1
    assert load_bundle(folder).name == "made"
    assert names(folder.parent) == ["made"]
    assert [name for name in names(scratch) if name.startswith("hififace-")] == []


@pytest.fixture
def mirror() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/weights.bin"
    server.shutdown()
    server.server_close()


CONTENT = bytes(range(256)) * 1000
FETCH = (
    KILLING
    + """
from pathlib import Path
from hififace.weights.download import download
download([sys.argv[1]], Path(sys.argv[2]), sha256=sys.argv[3])
"""
)


def test_a_fetched_file_is_whole_or_absent(tmp_path: Path, mirror: str):
    final = tmp_path / "models" / "weights.bin"
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    moments = 0
    while killed(FETCH, moments + 1, mirror, final, sha256):
        moments += 1
        assert not final.exists()
        assert moments < 10
    assert moments >= 2
    assert final.read_bytes() == CONTENT
