from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hififace.server.keys import Keys, new_key
from hififace.server.logs import JsonLines
from hififace.server.settings import ServiceLimits
from tests.support.services import running

ANNA, ANNAS_LINE = new_key("anna")
BEN, BENS_LINE = new_key("ben")
LIMITS = ServiceLimits(upload_mb=0.2, photos=2, video_mb=1, requests_per_minute=40)


@pytest.fixture(scope="module")
def guarded(mesh_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    keys = Keys.parse(f"{ANNAS_LINE},{BENS_LINE}", "test")
    with running(mesh_bundle, tmp_path_factory.mktemp("service"), keys=keys, limits=LIMITS) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/jobs", "/metrics", "/openapi.json", "/nothing"])
def test_without_a_key_there_is_nothing(guarded: httpx.Client, path: str):
    answer = guarded.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert guarded.get(path, headers=bearer("hf_wrong")).status_code == 401
    assert guarded.get(path, headers=bearer(BEN)).status_code == (404 if path == "/nothing" else 200)


def test_health_needs_no_key(guarded: httpx.Client):
    assert guarded.get("/healthz").json()["status"] == "ok"
    assert guarded.get("/readyz").status_code in {200, 503}


def test_each_key_has_its_own_minute(mesh_bundle: Path, tmp_path: Path):
    keys = Keys.parse(f"{ANNAS_LINE},{BENS_LINE}", "test")
    with running(mesh_bundle, tmp_path, keys=keys, limits=ServiceLimits(requests_per_minute=3)) as client:
        statuses = [client.get("/v1/models", headers=bearer(ANNA)).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        refused = client.get("/v1/models", headers=bearer(ANNA))
        assert 1 <= int(refused.headers["retry-after"]) <= 61
        assert client.get("/v1/models", headers=bearer(BEN)).status_code == 200
        assert [client.get("/v1/models").status_code for _ in range(4)] == [
            401,
            401,
            401,
            429,
        ]  # who tries keys


def test_web_sites_may_not_ask(client: httpx.Client):
    for name, value, status in (("Host", "evil.example", 421), ("Origin", "https://evil.example", 403)):
        answer = client.post("/v1/swap", headers={name: value})
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


def test_too_much_is_refused_before_it_is_read(guarded: httpx.Client):
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 100_000

    whole = guarded.post("/v1/swap", content=b"x" * 4_000_000, headers=bearer(ANNA))
    assert whole.status_code == 413
    headers = {**bearer(ANNA), "Content-Type": "application/json"}
    # Else the answer was sent, and the connection closed, while we were still sending.
    with contextlib.suppress(httpx.TransportError):
        assert guarded.post("/v1/swap", content=pieces(), headers=headers).status_code == 413
    photo = {"image": ("x", b"x" * 300_000)}
    answer = guarded.post("/v1/faces", files=photo, headers=bearer(ANNA))
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["field"] == "image"


def test_slow_bodies_are_ended(mesh_bundle: Path, tmp_path: Path):
    keys = Keys.parse(f"{ANNAS_LINE},{BENS_LINE}", "test")
    # A service of its own: half a second is too little for honest bodies on a busy machine.
    impatient = dataclasses.replace(LIMITS, body_seconds=0.5)
    with (
        running(mesh_bundle, tmp_path, keys=keys, limits=impatient) as client,
        socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=30) as sender,
    ):
        sender.sendall(
            b"POST /v1/faces HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + ANNA.encode()
            + b"\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        )  # fmt: skip
        assert sender.recv(1000).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("method", "path", "status", "title", "sentence"),
    [
        ("GET", "/nothing", 404, "Not Found", "Nothing is at this path"),
        ("PUT", "/v1/swap", 405, "Method Not Allowed", "does not take this method"),
        ("GET", "/v1/jobs/none", 404, "Not Found", "There is no such job of yours"),
    ],
)
def test_errors_are_problem_documents_with_the_titles_of_http(
    client: httpx.Client, method: str, path: str, status: int, title: str, sentence: str
):
    answer = client.request(method, path)
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["type"], told["title"], told["status"]) == ("about:blank", title, status)
    assert sentence in told["detail"]
    assert answer.status_code == status
    assert answer.headers["x-request-id"] == told["request_id"]


@pytest.mark.parametrize("request_id", ["mine-1", "a b", "x" * 65])
def test_request_ids_are_ours_or_good(client: httpx.Client, request_id: str):
    given = client.get("/healthz", headers={"X-Request-ID": request_id}).headers["x-request-id"]
    assert (given == request_id) == (request_id == "mine-1")


def requests_logged(caplog: pytest.LogCaptureFixture, route: str) -> list[logging.LogRecord]:
    """The lines about requests to a route.

    Each is written after its answer was sent: one is waited for, and that of an earlier test may come now.
    """
    until = time.monotonic() + 30
    while True:
        lines = [one for one in caplog.records if one.getMessage() == "request"]
        found = [one for one in lines if json.loads(JsonLines().format(one))["route"] == route]
        if found or time.monotonic() > until:
            return found
        time.sleep(0.02)


def test_logs_say_who_and_how_long_and_no_names(
    client: httpx.Client, album: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "hififace.server")
    files = {
        name: (f"secret-{name}.jpg", (album / "broken.jpg").read_bytes()) for name in ("source", "target")
    }
    client.post("/v1/swap?secret=1", files=files, data={"consent": "true"}, headers={"X-Request-ID": "r1"})
    (record,) = requests_logged(caplog, "/v1/swap")
    line = json.loads(JsonLines().format(record))
    assert (line["method"], line["route"], line["status"], line["owner"]) == (
        "POST",
        "/v1/swap",
        422,
        "anybody",
    )
    assert line["seconds"] > 0
    assert "secret" not in caplog.text + json.dumps(line)
    figures = client.get("/metrics").text
    assert 'hififace_requests_total{method="POST",route="/v1/swap",status="422"}' in figures
    assert "secret" not in figures


def test_what_nobody_foresaw_is_a_problem_and_tells_nothing(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def fail(_: object) -> None:
        raise ZeroDivisionError("/secret/place")

    monkeypatch.setattr(client.service.store, "of", fail)  # type: ignore[attr-defined]
    answer = client.get("/v1/jobs", headers={"X-Request-ID": "r2"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "r2"
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text
