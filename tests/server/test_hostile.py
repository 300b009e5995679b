"""Uploads that mean harm: slow, endless, lying about themselves, or far larger inside than outside."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import socket
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from hififace.server.settings import ServiceLimits
from tests.support.services import running


def connected(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=60)


def answered(sender: socket.socket) -> bytes:
    """The first bytes of the answer; none where the connection was closed."""
    with contextlib.suppress(ConnectionError):
        return sender.recv(1000)
    return b""


def test_many_slow_senders_hold_nobody_up_and_are_ended(mesh_bundle: Path, album: Path, tmp_path: Path):
    impatient = ServiceLimits(body_seconds=4.0, slowest_kb_per_s=1000.0)
    with running(mesh_bundle, tmp_path, limits=impatient) as client, contextlib.ExitStack() as stack:
        senders = [stack.enter_context(connected(client)) for _ in range(60)]
        for sender in senders:
            sender.sendall(
                b"POST /v1/swap HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 1000000\r\n\r\n{"
            )
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.1):
                for sender in senders:
                    with contextlib.suppress(OSError):
                        sender.sendall(b" ")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            files = {name: ("x", (album / "me.png").read_bytes()) for name in ("source", "target")}
            assert client.post("/v1/swap", files=files, data={"consent": "true"}).status_code == 200
            assert client.get("/healthz").status_code == 200
            first = [answered(sender) for sender in senders]
        finally:
            stop.set()
            dripping.join()
        # Where bytes were under way when it was closed, the system throws the answer away.
        assert all(one == b"" or one.startswith(b"HTTP/1.1 408 ") for one in first)
        assert sum(one.startswith(b"HTTP/1.1 408 ") for one in first) > len(first) / 2
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/swap HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/swap HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/swap HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 500_000 + b"\r\n\r\n",
    ],
    ids=["tls", "version", "negative", "two-lengths", "chunks", "long-header"],
)
def test_what_is_no_request_is_refused_and_the_service_goes_on(client: httpx.Client, request_bytes: bytes):
    with connected(client) as sender:
        with contextlib.suppress(ConnectionError):
            sender.sendall(request_bytes)
        told = answered(sender)
    assert told == b"" or told[9:10] == b"4", told
    assert client.get("/healthz").status_code == 200


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> bytes:
    """A PNG of a few KB that would be 10 GB as pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("route", ["/v1/swap", "/v1/faces", "/v1/jobs"])
def test_an_image_that_is_far_larger_inside_is_refused(client: httpx.Client, album: Path, route: str):
    me = (album / "me.png").read_bytes()
    files: dict[str, Any] = {"image": ("x", bomb())}
    if route != "/v1/faces":
        files = {"source": ("x", me), "target": ("x", bomb())}
    answer = client.post(route, files=files, data={} if route == "/v1/faces" else {"consent": "true"})
    if route == "/v1/jobs":
        assert answer.status_code in {202, 422}
        if answer.status_code == 202:
            job = answer.json()["id"]
            while (told := client.get(f"/v1/jobs/{job}").json())["state"] not in {"done", "failed"}:
                time.sleep(0.05)
            assert told["state"] == "failed"
            assert "3600 megapixels" in told["problem"]
    else:
        assert answer.status_code == 422, answer.text
        assert "3600 megapixels" in answer.json()["detail"]


def test_names_of_files_lead_nowhere(client: httpx.Client, album: Path, tmp_path: Path):
    """A file's name is never part of a path, whatever it is."""
    data = client.service.options.data  # type: ignore[attr-defined]
    before = {path for path in data.parent.rglob("*") if data not in path.parents}
    for name in ("../../../escaped.png", "/tmp/escaped.png", "..\\escaped.png", "a\x00b.png", "x" * 4000):
        me = (album / "me.png").read_bytes()
        files = [("source", (name, me)), ("target", (name, me))]
        answer = client.post("/v1/jobs", files=files, data={"consent": "true"})
        assert answer.status_code in {202, 400}, answer.text
        if answer.status_code == 202:
            places = client.service.store.folder(answer.json()["id"])  # type: ignore[attr-defined]
            assert all(path.name[:6] in {"source", "target", "image-", "result"} or path.name[0] == "."
                       for path in places.iterdir())  # fmt: skip
    assert {path for path in data.parent.rglob("*") if data not in path.parents} == before
    assert not Path("/tmp/escaped.png").exists()


def test_forms_of_very_many_parts_are_refused(client: httpx.Client):
    many = client.post("/v1/swap", data={f"f{number}": "1" for number in range(500)}, files={"source": b""})
    assert many.status_code == 400
    several = client.post("/v1/swap", files=[("target", ("x", b"x"))] * 50, data={"consent": "true"})
    assert several.status_code in {400, 422}
    assert several.headers["content-type"] == "application/problem+json"


def test_a_sender_who_goes_away_in_the_middle_leaves_nothing(mesh_bundle: Path, tmp_path: Path):
    with running(mesh_bundle, tmp_path / "data") as client:
        with connected(client) as sender:
            sender.sendall(
                b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: form-data; "
                b'name="target"; filename="x"\r\n\r\n' + bytes(2_000_000)
            )
        until = time.monotonic() + 60
        while "hififace_requests_total" not in client.get("/metrics").text and time.monotonic() < until:
            time.sleep(0.05)
        assert client.get("/v1/jobs").json() == {"jobs": []}
        assert list((tmp_path / "data" / "files").iterdir()) == []


def test_a_photo_at_the_limit_is_taken_and_one_above_is_not(mesh_bundle: Path, album: Path, tmp_path: Path):
    exact = ServiceLimits(megapixels=230 * 230 / 1e6)
    with running(mesh_bundle, tmp_path, limits=exact) as client:
        with Image.open(album / "me.png") as photo:
            larger = photo.resize((231, 231))
        packed = io.BytesIO()
        larger.save(packed, "PNG")
        fits = client.post("/v1/faces", files={"image": ("x", (album / "me.png").read_bytes())})
        above = client.post("/v1/faces", files={"image": ("x", packed.getvalue())})
    assert (fits.status_code, above.status_code) == (200, 422)
    assert dataclasses.asdict(exact)["megapixels"] < 231 * 231 / 1e6
