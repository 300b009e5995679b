"""Nothing is reported to anybody: by the files that telemetry leaves, and by the system calls of a swap."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "officer.jpg", ROOT / "examples" / "astronaut.jpg"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every place where a library may keep something for a user is below this folder."""
    for name, place in {"HOME": "home", "TMPDIR": "tmp", "HIFIFACE_HOME": "data"}.items():
        (tmp_path / place).mkdir()
        monkeypatch.setenv(name, str(tmp_path / place))
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "ORT_DISABLE_TELEMETRY", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import hififace; import onnxruntime",
        "from hififace.weights.sessions import available_providers; available_providers()",
        "import hififace.cli.main, hififace.app.launch; import onnxruntime",
    ],
)
def test_onnx_runtime_keeps_no_device_id_and_no_queue(environment: Path, code: str):
    run(sys.executable, "-c", code)
    assert files(environment) == set()


needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="needs OpenVINO")


@needs_openvino
def test_openvino_keeps_no_id_and_connects_to_nobody(environment: Path):
    code = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('a connection was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from hififace.weights.openvino_graph import why_not\n"
        "assert 'not installed' not in str(why_not())\n"
        "import sys, time; time.sleep(1)\n"  # it reports in a thread or process of its own
        "assert 'openvino_telemetry' not in sys.modules"
    )
    run(sys.executable, "-c", code)
    assert files(environment) == set()


@needs_openvino
def test_openvino_alone_may_keep_an_id(environment: Path, monkeypatch: pytest.MonkeyPatch):
    """So that the test above can fail."""
    for name in ("CI", "TF_BUILD", "JENKINS_URL"):  # in which it reports nothing
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):  # here it reaches nobody
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    run(sys.executable, "-c", "import openvino")
    found = files(environment)
    if not found:
        pytest.skip("this OpenVINO reports nothing")
    assert any("openvino" in name for name in found)


def test_onnx_runtime_alone_may_keep_both(environment: Path):
    """So that the test above can fail; a build without telemetry, as for other systems, has nothing to show."""
    run(sys.executable, "-c", "import onnxruntime")
    found = files(environment)
    if not found:
        pytest.skip("this build of ONNX Runtime reports nothing")
    assert any(name.endswith("deviceid") for name in found)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_swap_asks_no_name_and_connects_to_nobody(environment: Path):
    trace, result = environment / "trace", environment / "out.jpg"
    words = ["swap", *map(str, PHOTOS), "-o", str(result), "--similarity"]
    run(
        "strace", "-f", "-qq", "-e", "trace=connect,sendto,openat", "-o", str(trace),
        sys.executable, "-m", "hififace", *words,
    )  # fmt: skip
    assert result.is_file()
    calls = trace.read_text(errors="replace")
    assert "officer.jpg" in calls  # it was traced
    assert not re.findall(r"(?:connect|sendto)\(.*AF_INET.*|.*resolv\.conf.*", calls)
    assert files(environment) <= {"out.jpg", "trace", "data/signer/signer.pem"}
