"""`hififace app` as people end it: by SIGTERM (docker stop, systemd), SIGHUP (a closed terminal) and SIGKILL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.support.bundle_doubles import write_mesh_bundle
from tests.support.interrupts import hear_interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
PHOTO = Path(__file__).parents[2] / "examples" / "officer.jpg"


class App:
    """`hififace app` in a process, with everything that it keeps below one folder."""

    def __init__(self, place: Path) -> None:
        self.temporary = place / "tmp"
        self.temporary.mkdir(exist_ok=True)
        environment = os.environ | {
            "TMPDIR": str(self.temporary),
            "HIFIFACE_HOME": str(place / "home"),
            "HOME": str(place),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hififace", "app", "--bundles", str(place / "double"), "--threads", "1"],
            stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=hear_interrupts,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = next(word for word in self.process.stdout.readline().split() if word.startswith("http"))

    def upload(self, **headers: str) -> httpx.Response:
        """Send a photo as the page does."""
        with PHOTO.open("rb") as file:
            return httpx.post(
                f"{self.url}gradio_api/upload",
                files={"files": ("me.jpg", file)},
                headers=headers,
                trust_env=False,
            )

    @property
    def files(self) -> list[Path]:
        """Everything that lies there; Gradio makes an empty folder when it is imported."""
        return [path for path in self.temporary.rglob("*") if path.is_file()]

    @property
    def photos(self) -> list[Path]:
        """Uploads that lie on the disk."""
        return [path for path in self.files if path.suffix == ".jpg"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_mesh_bundle(tmp_path / "double")
    return tmp_path


def test_foreign_pages_and_names_reach_nothing(place: Path):
    app = App(place)
    try:
        assert app.upload().status_code == 200
        assert len(app.photos) == 1
        assert app.upload(origin="https://evil.example").status_code == 403
        assert app.upload(host="evil.example").status_code == 421
        assert httpx.get(app.url, headers={"host": "evil.example"}, trust_env=False).status_code == 421
        assert len(app.photos) == 1
    finally:
        app.process.send_signal(signal.SIGTERM)
    assert app.process.wait() == 143
    assert app.files == []


def test_a_closed_terminal_and_a_kill(place: Path):
    app = App(place)
    app.upload()
    app.process.kill()
    app.process.wait()
    assert len(app.photos) == 1  # nothing can be done at the moment itself
    again = App(place)
    assert again.photos == []  # but at the next start
    again.upload()
    again.process.send_signal(signal.SIGHUP)
    assert again.process.wait() == 129
    assert again.files == []
