"""A kill at the worst moment of every command that writes: what was there stays, nothing half is ever there, and the
same command then works as if nothing had been.

The worst moments are those at which a file is made durable and takes its name. A child counts them and kills itself
with SIGKILL at the n-th, which no handler hears. Videos, preparation and training, which go on where they were, have
tests of their own (`tests/video/test_job.py`, `tests/preparation/test_build.py`, `tests/training/test_loop.py`).
"""

from __future__ import annotations

import hashlib
import http.server
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.bundle_doubles import write_mesh_bundle

from hififace.media.image import read_image
from hififace.provenance.verify import check_file

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
