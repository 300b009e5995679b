from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hififace.app.asking import SwapRequest
from hififace.app.handlers import Studio
from hififace.app.limits import Limits
from hififace.app.live import Lives
from hififace.app.live_route import MOST_BYTES, LiveRoute
from hififace.app.sessions import Sessions
from hififace.hosting.bundles import Bundles


@pytest.fixture
def lives(bundles: Bundles, sessions: Sessions, upload: Callable[[str], Path]) -> Iterator[Lives]:
    studio = Studio(bundles, sessions, Limits(cameras=1))
    studio.add_source("v", upload("me.png"), "me.png", "double")
    lives = Lives(studio)
    yield lives
    lives.stop()


def asked(
    lives: Lives, path: str, secret: str, *parts: bytes, method: str = "POST"
) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request: status, headers, body; status 299 where the page behind answered."""
    sent: list[Any] = []
    left = list(parts)

    async def receive() -> Any:
        body = left.pop(0) if left else b""
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"x-camera", secret.encode())]}
    asyncio.run(LiveRoute(page, lives, cameras=1)(scope, receive, send))
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


def test_a_frame_comes_back_labelled_under_every_path(lives: Lives, album: Path):
    secret = lives.begin("v", SwapRequest(model="double", consent=True))
    jpeg = (album / "target.jpg").read_bytes()
    for path in ("/live-frame", "/page/live-frame"):
        status, headers, body = asked(lives, path, secret, jpeg[:1000], jpeg[1000:])
        assert (status, headers[b"content-type"], headers[b"cache-control"]) == (
            200,
            b"image/jpeg",
            b"no-store",
        )
        assert body[:2] == b"\xff\xd8"
        assert b"face swap" in body or b"faceSwap" in body  # the plain mark
        assert headers[b"x-swapped"] in {b"0", b"1"}


def test_without_the_secret_of_a_camera_at_work_no_frame_is_taken(lives: Lives, album: Path):
    jpeg = (album / "target.jpg").read_bytes()
    assert asked(lives, "/live-frame", "", jpeg)[0] == 410
    secret = lives.begin("v", SwapRequest(model="double", consent=True))
    assert asked(lives, "/live-frame", secret[:-1], jpeg)[0] == 410
    lives.end("v")
    assert asked(lives, "/live-frame", secret, jpeg)[0] == 410


def test_what_is_no_frame_is_refused_in_a_sentence(lives: Lives):
    secret = lives.begin("v", SwapRequest(model="double", consent=True))
    status, _, body = asked(lives, "/live-frame", secret, b"no image")
    assert status == 400
    assert b"1280 x 720" in body
    assert asked(lives, "/live-frame", secret, bytes(MOST_BYTES), b"1")[0] == 413
    assert asked(lives, "/live-frame", secret, method="GET")[0] == 405


def test_everything_else_is_the_pages(lives: Lives):
    assert asked(lives, "/live-frames", "")[0] == 299
    assert asked(lives, "/gradio_api/upload", "")[0] == 299
