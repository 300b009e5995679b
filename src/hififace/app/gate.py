"""What stands before the page's web server: whom it answers, on whose behalf, how often, and how much it takes in.

Three attacks reach a page that listens on this machine alone. A web site that the user visits may send requests to it
(its `Origin` is another one); may let its own name point to 127.0.0.1, so that the browser takes the page for a part
of that site (DNS rebinding: the `Host` is another one); and whoever reaches it may fill the disk with uploads that
nobody takes, or try passwords. All are refused here, before the web server reads a byte of the request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from hififace.app.limits import Limits
from hififace.hosting.disk import disk_use
from hififace.hosting.meter import LimitError, RequestMeter
from hififace.hosting.strangers import Strangers, counted_address

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

FREE_ATTEMPTS: Final = 3
"""Wrong passwords of one address before it has to wait."""
LONGEST_WAIT_S: Final = 300.0
_OTHER_BODY_BYTES: Final = 4_000_000
"""Most that a request other than an upload holds: a click with its settings has a few kilobytes."""
_FORM_BYTES: Final = 1_000_000
"""What the form around uploaded files takes at most."""


class _BodyTooLargeError(Exception):
    """More came than was announced or allowed."""


@dataclass(slots=True)
class _Tries:
    """Passwords tried from one address."""

    wrong: int = 0
    until: float = 0.0
    """When the next one is looked at."""
    last: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Gate:
    """An ASGI application around another one.

    Args:
        inner: the web server.
        host: the address it listens on.
        names: further names by which people reach the page, such as that of a proxy.
        limits: see `Limits`.
        root: the folder that uploads arrive in.
        headers: put into every answer.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        inner: App,
        *,
        host: str,
        names: Iterable[str],
        limits: Limits,
        root: Path,
        headers: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner, self._limits, self._root, self._clock = inner, limits, root, clock
        self._strangers = Strangers(host, names)
        self._uploads = RequestMeter(limits.requests_per_minute, clock=clock)
        self._tries: dict[str, _Tries] = {}
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._inner(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._strangers.refusal(headers)
        if refusal is not None:
            await self._answer(scope, send, *refusal)
            return
        if scope["type"] == "websocket":
            await self._inner(scope, receive, send)
            return
        method, path = scope["method"], str(scope["path"]).rstrip("/")
        with_headers = self._with_headers(send)
        if method == "POST" and path.endswith("/login"):
            await self._login(scope, receive, with_headers)
        elif method in {"GET", "HEAD", "OPTIONS"}:
            await self._inner(scope, receive, with_headers)
        else:
            await self._take_in(scope, receive, with_headers, headers, upload=path.endswith("/upload"))

    # -------------------------------------------------------------------------------------------------------
    # How much

    async def _take_in(
        self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str], *, upload: bool
    ) -> None:
        most = self._limits.body_bytes + _FORM_BYTES if upload else _OTHER_BODY_BYTES
        announced = headers.get("content-length", "0")
        size = int(announced) if announced.isascii() and announced.isdigit() else most + 1
        if size > most:
            await self._answer(scope, send, 413, f"At most {most / 1e6:.0f} MB are taken at a time.")
            return
        if upload:
            try:
                self._uploads.count(address_of(scope))
                self._check_disk(size)
            except LimitError as error:
                await self._answer(scope, send, 429, str(error))
                return
        came, begun, refused = 0, False, False

        async def counted() -> Message:
            nonlocal came, refused
            message = await receive()
            came += len(message.get("body", b""))
            if came > most:
                if not begun:
                    refused = True
                    await self._answer(scope, send, 413, f"At most {most / 1e6:.0f} MB are taken at a time.")
                raise _BodyTooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            if not refused:  # else the web server reports its own surprise
                await send(message)

        with contextlib.suppress(_BodyTooLargeError):
            await self._inner(scope, counted, noted)

    def _check_disk(self, more: int) -> None:
        used = disk_use(self._root)
        if used + more > self._limits.disk_mb * 1e6:
            raise LimitError(
                f"The files of all visitors take {used / 1e6:.0f} MB, nearly as much as this page keeps "
                f"({self._limits.disk_mb:g} MB). Try again later."
            )

    # -------------------------------------------------------------------------------------------------------
    # Passwords

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One password at a time from each address, with a wait that doubles with each wrong one."""
        self._forget_tries()
        tries = self._tries.setdefault(address_of(scope), _Tries(last=self._clock()))
        async with tries.lock:
            wait_s = tries.until - self._clock()
            if wait_s > 0:
                text = f"Several passwords were wrong. Try again in {wait_s:.0f} seconds."
                await self._answer(scope, send, 429, text, retry_after_s=wait_s)
                return
            status = 500

            async def watched(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = int(message["status"])
                await send(message)

            await self._inner(scope, _bounded(receive, _FORM_BYTES), watched)
            tries.last = self._clock()
            if status in {400, 401, 403}:
                tries.wrong += 1
                if tries.wrong >= FREE_ATTEMPTS:
                    wait_s = min(2.0 ** (tries.wrong - FREE_ATTEMPTS + 1), LONGEST_WAIT_S)
                    tries.until = self._clock() + wait_s
            elif status < 400:
                tries.wrong, tries.until = 0, 0.0

    def _forget_tries(self) -> None:
        oldest = self._clock() - 2 * LONGEST_WAIT_S
        for address in [a for a, t in self._tries.items() if t.last < oldest and not t.lock.locked()]:
            del self._tries[address]

    # -------------------------------------------------------------------------------------------------------

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *self._headers]}
            await send(message)

        return sending

    async def _answer(
        self, scope: Scope, send: Send, status: int, text: str, *, retry_after_s: float | None = None
    ) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        body = json.dumps({"error": text, "detail": text}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if retry_after_s is not None:
            headers.append((b"retry-after", str(int(retry_after_s) + 1).encode()))
        # The rest of a body that is not read would be taken for the next request.
        headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def address_of(scope: Scope) -> str:
    """Who a request is counted for: the address; of IPv6 the half that a household has to itself."""
    client = scope.get("client")
    return counted_address(str(client[0])) if client else ""


def _bounded(receive: Receive, most: int) -> Receive:
    came = 0

    async def counted() -> Message:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        return {"type": "http.disconnect"} if came > most else message

    return counted
