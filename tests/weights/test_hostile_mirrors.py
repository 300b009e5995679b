"""Mirrors that lie, and folders that cannot be written: the next mirror is tried, or a sentence says why not."""

from __future__ import annotations

import bz2
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hififace.errors import WeightsError
from hififace.weights import download as downloading
from hififace.weights.download import download

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Each path is another lie; `/good` and `/good.bz2` are none."""

    def do_GET(self) -> None:
        body, length = CONTENT, None
        if self.path == "/length":
            length = "²"
        elif self.path == "/negative":
            length = "-5"
        elif self.path.endswith("/zip.zip"):
            body = b"PK\x03\x04" + bytes(60)
        elif self.path.endswith("/tar.tar"):
            body = b"\xff" * 1024
        elif self.path.endswith("/text.bz2"):
            body = b"no archive"
        elif self.path.endswith("/bomb.bz2"):
            body = bz2.compress(bytes(3_000_000))
        elif self.path.endswith("/good.bz2"):
            body = bz2.compress(CONTENT)
        elif self.path == "/endless":
            body = bytes(3_000_000)
        elif self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)) if length is None else length)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


LIES = [
    "/wrong#x", "/zip.zip#member", "/tar.tar#member", "/text.bz2", "/bomb.bz2", "/endless", "/elsewhere", ":x",
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_the_next_mirror_is_tried(mirror: str, tmp_path: Path, lie: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(downloading, "_MOST_BYTES", 1_000_000)
    download([mirror + lie, mirror + "/good"], tmp_path / "a.bin", sha256=SHA256, sleep=lambda _: None)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("odd", ["/length", "/negative", "/good", "/good.bz2"])
def test_a_length_that_is_none_is_no_reason(mirror: str, tmp_path: Path, odd: str):
    download([mirror + odd, mirror + "/good"], tmp_path / "a.bin", sha256=SHA256, sleep=lambda _: None)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_all_lie(mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(downloading, "_MOST_BYTES", 1_000_000)
    urls = [mirror + lie for lie in LIES[1:]]
    with pytest.raises(WeightsError, match="could not be fetched from any of 7 mirrors"):
        download(urls, tmp_path / "a.bin", sha256=SHA256, sleep=lambda _: None)
    assert not (tmp_path / "a.bin").exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(mirror: str, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be written"):
        download([mirror + "/good"], tmp_path / "file" / "a.bin", sha256=SHA256)


def test_a_full_disk_is_a_sentence(mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import errno
    import os

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WeightsError, match=r"cannot be written \(No space left"):
        download([mirror + "/good", mirror + "/good"], tmp_path / "a.bin", sha256=SHA256)
    assert not (tmp_path / "a.bin").exists()
