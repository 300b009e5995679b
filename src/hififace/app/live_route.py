"""The way of a camera's frames: JPEG in, labelled JPEG out, beside Gradio's own routes.

A click of the page passes Gradio's queue, sessions and JSON, which take longer than swapping a frame. So frames are
plain requests of their own, `POST live-frame`, whose body is the JPEG and whose answer is one; the browser keeps the
connection open. Nothing else reaches a frame: the camera's secret, 128 random bits, was told to its visitor alone, after
the consent and behind the login, and the gate has looked at `Host`, `Origin` and size before.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias

from hififace.app.live import LiveFrame, Lives
from hififace.errors import HififaceError

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH: Final = "/live-frame"
MOST_BYTES: Final = 1_500_000
"""Of a frame: a JPEG of 1280 x 720 pixels has far less."""
_LANES: Final = 2
"""Frames of one camera that the browser has on the way at a time."""


class LiveRoute:
    """An ASGI application around another one, which answers frames itself.

    Args:
        inner: the web server.
        lives: the cameras.
        cameras: most that are at work at the same time.
    """

    def __init__(self, inner: App, lives: Lives, *, cameras: int) -> None:
        self._inner, self._lives = inner, lives
        # Threads of their own: behind the clicks of the page, frames would wait for swaps.
        self._threads = ThreadPoolExecutor(max(cameras, 1) * _LANES, thread_name_prefix="hififace-frame")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a frame, or hand on."""
        if scope["type"] != "http" or not str(scope["path"]).endswith(PATH):
            await self._inner(scope, receive, send)
            return
        if scope["method"] != "POST":
            await _answer(send, 405, "A frame is sent by POST.")
            return
        secret = dict(scope["headers"]).get(b"x-camera", b"").decode("latin-1")
        body = await _body(receive)
        if body is None:
            await _answer(send, 413, f"A frame has at most {MOST_BYTES / 1e6:.1f} MB.")
            return
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        try:
            frame = await loop.run_in_executor(self._threads, self._lives.frame, secret, body)
        except HififaceError as error:
            await _answer(send, 400, str(error))
            return
        if frame is None:
            await _answer(send, 410, "The camera is not at work any more.")
            return
        await _send_frame(send, frame, 1e3 * (time.perf_counter() - began))


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it is too large."""
    parts, came, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        parts.append(message.get("body", b""))
        came += len(parts[-1])
        if came > MOST_BYTES:
            return None
        more = bool(message.get("more_body", False))
    return b"".join(parts)


async def _send_frame(send: Send, frame: LiveFrame, spent_ms: float) -> None:
    headers = [
        (b"content-type", b"image/jpeg"),
        (b"content-length", str(len(frame.jpeg)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-swapped", b"1" if frame.swapped else b"0"),
        (b"server-timing", f"frame;dur={spent_ms:.1f}".encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": frame.jpeg})


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
