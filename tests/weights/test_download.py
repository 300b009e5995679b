"""A real server on this machine, which misbehaves in the ways real ones do."""

from __future__ import annotations

import bz2
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hififace.errors import WeightsError
from hififace.weights.download import download

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """What it serves by path, how it fails, and what it was asked."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.statuses: dict[str, list[int]] = {}
        self.cuts: dict[str, list[int]] = {}
        self.resumes = True
        self.asked: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return self.address + path


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            statuses = state.statuses.get(self.path, [])
            status = statuses.pop(0) if statuses else 200
            content = state.files.get(self.path)
            if status != 200 or content is None:
                self.send_error(status if status != 200 else 404)
                return
            start = 0
            if wanted and state.resumes:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            cuts = state.cuts.get(self.path, [])
            end = cuts.pop(0) if cuts else len(content)
            self.wfile.write(content[start:end])
            self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"http://127.0.0.1:{httpd.server_address[1]}")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def fetch(urls: list[str], final: Path, sha256: str = SHA256) -> list[float]:
    waits: list[float] = []
    download(urls, final, sha256=sha256, sleep=waits.append)
    return waits


def test_a_plain_download_reports_progress_and_leaves_only_the_file(server: Server, tmp_path: Path):
    server.files["/a.bin"] = CONTENT
    seen: list[tuple[int, int | None]] = []
    final = tmp_path / "deep" / "a.bin"
    download(
        [server.url("/a.bin")], final, sha256=SHA256, progress=lambda have, total: seen.append((have, total))
    )
    assert final.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in final.parent.iterdir()] == ["a.bin"]


def test_a_dropped_connection_is_resumed_where_it_stopped(server: Server, tmp_path: Path):
    server.files["/a.bin"] = CONTENT
    server.cuts["/a.bin"] = [300_000, 700_000]
    waits = fetch([server.url("/a.bin")], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=300000-", "bytes=700000-"]
    assert waits == [1.0, 2.0]


def test_a_download_given_up_goes_on_next_time(server: Server, tmp_path: Path):
    server.files["/a.bin"] = CONTENT
    server.cuts["/a.bin"] = [100_000, 200_000, 300_000]
    with pytest.raises(WeightsError, match="cut after 300000 of 1048576 bytes"):
        fetch([server.url("/a.bin")], tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()
    fetch([server.url("/a.bin")], tmp_path / "a.bin")
    assert server.asked[-1][1] == "bytes=300000-"
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_that_cannot_resume_starts_again(server: Server, tmp_path: Path):
    server.files["/a.bin"] = CONTENT
    server.cuts["/a.bin"] = [300_000]
    server.resumes = False
    fetch([server.url("/a.bin")], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_missing_file_goes_to_the_next_mirror_at_once(server: Server, tmp_path: Path):
    server.files["/good/a.bin"] = CONTENT
    assert fetch([server.url("/gone/a.bin"), server.url("/good/a.bin")], tmp_path / "a.bin") == []
    assert [path for path, _ in server.asked] == ["/gone/a.bin", "/good/a.bin"]


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path):
    server.files["/a.bin"] = CONTENT
    server.statuses["/a.bin"] = [503, 429]
    assert fetch([server.url("/a.bin")], tmp_path / "a.bin") == [1.0, 2.0]


def test_wrong_content_never_takes_the_files_place(server: Server, tmp_path: Path):
    server.files["/a.bin"] = b"another file"
    final = tmp_path / "a.bin"
    final.write_bytes(b"old")
    with pytest.raises(
        WeightsError, match=rf"has SHA-256 {hashlib.sha256(b'another file').hexdigest()}, expected {SHA256}"
    ):
        fetch([server.url("/a.bin")], final)
    assert final.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [final]


def test_halves_of_two_versions_are_fetched_again_from_the_beginning(server: Server, tmp_path: Path):
    server.files["/a.bin"] = b"\xff" * 400_000
    server.cuts["/a.bin"] = [100_000, 100_000, 100_000]
    with pytest.raises(WeightsError):
        fetch([server.url("/a.bin")], tmp_path / "a.bin")
    server.files["/a.bin"] = CONTENT
    fetch([server.url("/a.bin")], tmp_path / "a.bin")
    assert server.asked[-2:] == [("/a.bin", "bytes=100000-"), ("/a.bin", None)]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path):
    server.files["/a.bin"] = b"\xff" * 2_000_000
    server.cuts["/a.bin"] = [1_500_000] * 3
    with pytest.raises(WeightsError):
        fetch([server.url("/a.bin")], tmp_path / "a.bin")
    server.files["/a.bin"] = CONTENT
    fetch([server.url("/a.bin")], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_when_every_mirror_fails_each_reason_is_told(server: Server, tmp_path: Path):
    server.files["/wrong"] = b"wrong"
    urls = [server.url("/gone"), server.url("/wrong"), "http://127.0.0.1:9/closed"]
    with pytest.raises(WeightsError) as failure:
        fetch(urls, tmp_path / "a.bin")
    message = str(failure.value)
    for words in ("3 mirrors", "HTTP 404", "expected " + SHA256, "refused", str(tmp_path / "a.bin")):
        assert words in message


def packed(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "whl":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("package/a.bin", CONTENT)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            info = tarfile.TarInfo("package/a.bin")
            info.size = len(CONTENT)
            tar.addfile(info, io.BytesIO(CONTENT))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["whl", "tar.gz", "tgz"])
def test_a_member_of_an_archive(server: Server, tmp_path: Path, kind: str):
    server.files[f"/p.{kind}"] = packed(kind)
    fetch([server.url(f"/p.{kind}#package/a.bin")], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("kind", ["whl", "tar.gz"])
def test_a_member_that_is_not_there_and_an_archive_that_is_none(server: Server, tmp_path: Path, kind: str):
    server.files[f"/p.{kind}"] = packed(kind)
    server.files[f"/q.{kind}"] = b"no archive"
    with pytest.raises(WeightsError, match="cannot be unpacked") as failure:
        fetch([server.url(f"/p.{kind}#other"), server.url(f"/q.{kind}#other")], tmp_path / "a.bin")
    assert str(failure.value).count("cannot be unpacked") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_bz2_file_is_unpacked(server: Server, tmp_path: Path):
    server.files["/a.dat.bz2"] = bz2.compress(CONTENT)
    fetch([server.url("/a.dat.bz2")], tmp_path / "a.dat")
    assert (tmp_path / "a.dat").read_bytes() == CONTENT


def test_what_a_killed_run_left_is_swept_and_two_at_once_are_refused(server: Server, tmp_path: Path):
    server.files["/f.bin"] = CONTENT
    final = tmp_path / "f.bin"
    (tmp_path / ".f.bin.4711.new").write_bytes(b"half")
    (tmp_path / ".other.bin.4711.new").write_bytes(b"of another file")

    def again(_have: int, _total: int | None) -> None:
        with pytest.raises(WeightsError, match="being fetched by another program"):
            download([server.url("/f.bin")], final, sha256=SHA256)

    download([server.url("/f.bin")], final, sha256=SHA256, progress=again)
    assert final.read_bytes() == CONTENT
    assert {path.name for path in tmp_path.iterdir()} == {"f.bin", ".other.bin.4711.new"}
