"""The attacks that reach a page on this machine, each against the gate alone: no web server, no network."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from hififace.app.gate import FREE_ATTEMPTS, Gate
from hififace.app.limits import Limits
from hififace.hosting.disk import disk_use
from hififace.hosting.strangers import counted_address


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """Stands for the web server behind the gate: counts what reaches it, and knows one password."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.bytes = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope["path"])
        body = b""
        while scope["method"] == "POST":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.bytes += len(message.get("body", b""))
            body = message.get("body", b"")
            if not message.get("more_body"):
                break
        status = 400 if scope["path"].endswith("/login") and body != b"right" else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Server:
    return Server()


def make(server: Server, tmp_path: Path, clock: Clock, **changes: Any) -> Gate:
    settings: dict[str, Any] = {"host": "127.0.0.1", "names": (), "limits": Limits()}
    settings |= changes
    return Gate(server, root=tmp_path, headers={"X-Mark": "yes"}, clock=clock, **settings)


def ask(
    gate: Gate, path: str = "/", method: str = "GET", *, body: tuple[bytes, ...] = (b"",), **more: Any
) -> Any:
    """(status, text, headers) of one request; `more` may hold headers, and client."""
    headers = {"host": "127.0.0.1:7860"} | more.get("headers", {})
    scope = {
        "type": "http", "method": method, "path": path, "client": (more.get("client", "1.2.3.4"), 5),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value is not None],
    }  # fmt: skip
    pieces = list(body)
    sent: list[Any] = []

    async def receive() -> Any:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(gate(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], sent[1]["body"].decode(), dict(sent[0]["headers"])


def test_the_page_answers_under_its_own_names(server: Server, tmp_path: Path, clock: Clock):
    gate = make(server, tmp_path, clock)
    for host in ("127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860", "192.168.0.7:7860"):
        status, _, headers = ask(gate, headers={"host": host})
        assert (status, headers[b"x-mark"]) == (200, b"yes"), host


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "[", "a b"]
)
def test_another_name_is_dns_rebinding(server: Server, tmp_path: Path, clock: Clock, host: str):
    status, text, _ = ask(make(server, tmp_path, clock), headers={"host": host})
    assert status == 421
    assert "--allow-host" in json.loads(text)["error"]
    assert server.reached == []


def test_no_host_at_all_is_refused(server: Server, tmp_path: Path, clock: Clock):
    assert ask(make(server, tmp_path, clock), headers={"host": None})[0] == 421


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://localhost:3000", "http://127.0.0.1:7861", "null", "file://", "http://[",
     "http://127.0.0.1:7860.evil.example"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_page_may_ask_nothing(server: Server, tmp_path: Path, clock: Clock, origin: str, method: str):
    status, *_ = ask(make(server, tmp_path, clock), "/upload", method, headers={"origin": origin})
    assert status == 403
    assert server.reached == []


def test_a_websocket_from_elsewhere_is_closed(server: Server, tmp_path: Path, clock: Clock):
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": "/",
        "headers": [(b"host", b"localhost"), (b"origin", b"https://evil")],
    }
    asyncio.run(make(server, tmp_path, clock)(scope, None, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_the_page_itself_and_a_named_proxy_may_ask(server: Server, tmp_path: Path, clock: Clock):
    gate = make(server, tmp_path, clock, names=("faces.example",))
    same = {"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:7860"}
    proxied = {"host": "faces.example", "origin": "https://faces.example"}
    rewritten = {"host": "127.0.0.1:7860", "origin": "https://faces.example"}
    for headers in (same, proxied, rewritten):
        assert ask(gate, "/upload", "POST", headers=headers)[0] == 200


def test_uploads_are_counted_before_they_are_read(server: Server, tmp_path: Path, clock: Clock):
    gate = make(server, tmp_path, clock, limits=Limits(requests_per_minute=2))
    statuses = [ask(gate, "/gradio_api/upload", "POST", body=(b"x" * 10,))[0] for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert server.bytes == 20
    assert ask(gate, "/gradio_api/upload", "POST", client="5.6.7.8")[0] == 200
    clock.now += 61
    assert ask(gate, "/gradio_api/upload", "POST")[0] == 200


def test_a_full_page_takes_no_upload(server: Server, tmp_path: Path, clock: Clock):
    gate = make(server, tmp_path, clock, limits=Limits(disk_mb=1.0))
    (tmp_path / "kept").write_bytes(bytes(900_000))
    length = {"content-length": "200000"}
    status, text, _ = ask(gate, "/upload", "POST", headers=length)
    assert status == 429
    assert "Try again later" in text
    (tmp_path / "kept").unlink()
    assert ask(gate, "/upload", "POST", headers=length)[0] == 200


def test_a_file_with_two_names_takes_its_room_once(tmp_path: Path):
    (tmp_path / "a").write_bytes(bytes(1000))
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert disk_use(tmp_path) == 1000


@pytest.mark.parametrize("announced", ["99999999999", "-1", "²", "1e9", ""])
def test_too_much_is_refused_by_its_announcement(
    server: Server, tmp_path: Path, clock: Clock, announced: str
):
    gate = make(server, tmp_path, clock)
    assert (
        ask(gate, "/upload", "POST", headers={"content-length": announced.encode().decode("latin-1")})[0]
        == 413
    )
    assert server.reached == []


@pytest.mark.parametrize("path", ["/upload", "/gradio_api/queue/join"])
def test_too_much_is_refused_though_it_was_not_announced(
    server: Server, tmp_path: Path, clock: Clock, path: str
):
    gate = make(server, tmp_path, clock, limits=Limits(video_mb=2.0, photos=1, upload_mb=1.0))
    status, *_ = ask(gate, path, "POST", body=(bytes(1_000_000),) * 20)
    assert status == 413
    assert server.bytes <= 4_000_000


def test_wrong_passwords_cost_time_and_right_ones_do_not(server: Server, tmp_path: Path, clock: Clock):
    gate = make(server, tmp_path, clock)

    def log_in(password: bytes, client: str = "1.2.3.4") -> int:
        return int(ask(gate, "/login", "POST", body=(password,), client=client)[0])

    assert [log_in(b"wrong") for _ in range(FREE_ATTEMPTS)] == [400] * FREE_ATTEMPTS
    reached = len(server.reached)
    status, _, headers = ask(gate, "/login", "POST", body=(b"right",))
    assert status == 429  # not even looked at
    assert int(headers[b"retry-after"]) >= 2
    assert len(server.reached) == reached
    assert log_in(b"right", "5.6.7.8") == 200  # others are not kept waiting
    waits = []
    for _ in range(4):
        began = clock.now
        while log_in(b"wrong") == 429:
            clock.now += 1
        waits.append(clock.now - began)
    assert waits == sorted(waits)
    assert waits[-1] >= 8
    clock.now += 400
    assert log_in(b"right") == 200
    assert log_in(b"wrong") == 400  # counted from the beginning


def test_an_ipv6_household_is_one_address():
    assert counted_address("2001:db8:1:2:aaaa::1") == counted_address("2001:db8:1:2:bbbb::9")
    assert counted_address("2001:db8:1:3::1") != counted_address("2001:db8:1:2::1")
    assert counted_address("::ffff:1.2.3.4") == counted_address("1.2.3.4")
    assert counted_address("testclient") == "testclient"
