"""What stands before every route: whom it answers, on whose behalf, how often, how much and how slowly it takes in.

Each request gets an id, one line in the log and its place in the metrics here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from hififace.hosting.meter import LimitError, RequestMeter
from hififace.hosting.strangers import Strangers, counted_address
from hififace.server.keys import ANYBODY, bearer_of
from hififace.server.logs import LOGGER, begin_request
from hififace.server.metrics import Metrics
from hififace.server.problems import ProblemError, answer, of_exception, of_plain_text
from hififace.server.settings import ServiceOptions

Scope: TypeAlias = "MutableMapping[str, Any]"
Message: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[Message]]"
Send: TypeAlias = "Callable[[Message], Awaitable[None]]"
App: TypeAlias = "Callable[[Scope, Receive, Send], Awaitable[None]]"

OPEN: Final = frozenset({"/healthz", "/readyz"})
"""What is answered without a key: that the service is there."""

_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)

_KEPT: Final = ("content-range", "allow")
"""Headers of an error in plain text that its problem document keeps."""


class Door:
    """An ASGI application around the routes."""

    def __init__(
        self,
        inner: App,
        options: ServiceOptions,
        metrics: Metrics,
        meter: RequestMeter,
        *,
        aside: tuple[str, ...] = (),
    ) -> None:
        self._inner, self._options, self._metrics, self._meter = inner, options, metrics, meter
        self._strangers = Strangers(options.host, options.names)
        self._aside = aside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        path = str(scope.get("path", ""))
        if scope["type"] == "lifespan" or any(
            path == one or path.startswith(f"{one}/") for one in self._aside
        ):
            await self._inner(scope, receive, send)  # the page has a gate of its own
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        name = begin_request(headers.get("x-request-id"))
        began, owner = time.monotonic(), None
        sending = _Sending(scope, receive, send, name)
        try:
            try:
                owner = self._check(scope, headers, path)
                receive = self._measured(receive, self._check_size(headers, path))
            except (ProblemError, LimitError) as error:
                told = of_exception(error)
                # The rest of a body that is not read would be taken for the next request.
                closing = {**(told.headers or {}), "Connection": "close"}
                await answer(told.status, told.detail, told.errors, closing)(scope, receive, sending)
                return
            scope.setdefault("state", {})["owner"] = owner
            try:
                await self._inner(scope, receive, sending)
            except Exception as error:  # logged there
                told = of_exception(error)
                if sending.status:  # half of an answer is out: the connection has to break
                    raise
                await answer(told.status, told.detail, told.errors, told.headers)(scope, receive, sending)
        finally:
            spent = time.monotonic() - began
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if route != "other" else "any"
            self._metrics.requests.labels(route, method, sending.status).inc()
            self._metrics.request_seconds.labels(route).observe(spent)
            fields = {
                "method": scope["method"],
                "route": route,
                "status": sending.status,
                "seconds": round(spent, 4),
                "owner": owner,
            }
            LOGGER.info("request", extra={"fields": fields})

    def _check(self, scope: Scope, headers: dict[str, str], path: str) -> str:
        """Whose request it is.

        Raises:
            ProblemError: a stranger's, or its key is missing or wrong.
            LimitError: too many came.
        """
        refusal = self._strangers.refusal(headers)
        if refusal is not None:
            raise ProblemError(*refusal)
        client = scope.get("client")
        address = counted_address(str(client[0])) if client else ""
        if path in OPEN:
            return ANYBODY
        if not self._options.keys:
            self._meter.count(address)
            return ANYBODY
        key = bearer_of(scope["headers"])
        owner = None if key is None else self._options.keys.owner(key)
        if owner is None:
            self._meter.count(f"address {address}")  # whoever tries keys is slowed down
            why = "This API key is not known" if key is not None else "An API key is needed"
            raise ProblemError(
                401, f"{why}. Send it as `Authorization: Bearer KEY`.", headers={"WWW-Authenticate": "Bearer"}
            )
        self._meter.count(f"key {owner}")
        return owner

    def _check_size(self, headers: dict[str, str], path: str) -> int:
        """Most bytes that the body may have.

        Raises:
            ProblemError: it announces more.
        """
        limits = self._options.limits
        most = limits.job_body_bytes if path.rstrip("/") == "/v1/jobs" else limits.image_body_bytes
        announced = headers.get("content-length", "0")
        if not (announced.isascii() and announced.isdigit() and len(announced) < 16):
            raise ProblemError(400, "Content-Length is no number of bytes.")
        if int(announced) > most:
            raise _too_large(most)
        return most

    def _measured(self, receive: Receive, most: int) -> Receive:
        limits, began, came, whole = self._options.limits, time.monotonic(), 0, False

        async def measured() -> Message:
            nonlocal came, whole
            if whole:  # waits for the end of the connection, as long as that takes
                return await receive()
            left = began + limits.body_seconds + came / (limits.slowest_kb_per_s * 1e3) - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.0))
            except (asyncio.TimeoutError, TimeoutError):
                raise ProblemError(
                    408,
                    f"The request's body came too slowly: {limits.slowest_kb_per_s:g} KB a second were expected.",
                    headers={"Connection": "close"},
                ) from None
            came += len(message.get("body", b""))
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            if came > most:
                raise _too_large(most)
            return message

        return measured


class _Sending:
    """Hands an answer on with the headers of all answers; an error in plain text becomes a problem document.

    Attributes:
        status: of the answer; 0 before its first message.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, name: str) -> None:
        self._scope, self._receive, self._send, self._name = scope, receive, send, name
        self.status, self._is_replaced = 0, False

    async def __call__(self, message: Message) -> None:
        """Send, or send another in its place."""
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            given = dict(message.get("headers", []))
            self._is_replaced = self.status >= 400 and given.get(b"content-type", b"").startswith(b"text/")
            if self._is_replaced:
                told = of_plain_text(self.status)
                headers = {name: given[name.encode()].decode() for name in _KEPT if name.encode() in given}
                await answer(told.status, told.detail, headers=headers)(self._scope, self._receive, self._out)
        if not self._is_replaced:
            await self._out(message)

    async def _out(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            extra = [*_HEADERS, (b"x-request-id", self._name.encode())]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await self._send(message)


def _too_large(most: int) -> ProblemError:
    return ProblemError(
        413, f"At most {most / 1e6:.0f} MB are taken at a time. Send less.", headers={"Connection": "close"}
    )
