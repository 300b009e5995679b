"""Who is asking: browser tabs that survive a reload, programs, addresses; and errors as sentences.

A tab makes itself a secret name, which it keeps over reloads and forgets when it is closed. Whoever names it is that
visitor again. A page that was left without coming back within a while takes its visitor's files with it.
"""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import gradio as gr

from hififace.app.sessions import Sessions
from hififace.app.words import for_visitors
from hififace.errors import HififaceError
from hififace.hosting.meter import LimitError
from hififace.hosting.strangers import counted_address

Returned = TypeVar("Returned")

TAB_NAME: Final = """() => {
  let name = sessionStorage.getItem("hififace-tab");
  if (!name) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    name = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem("hififace-tab", name);
  }
  return [name];
}"""
"""JavaScript: the tab's secret name, 128 random bits. Session storage is one tab's own and ends with it."""

READY: Final = '() => { document.body.dataset.ready = "yes"; }'
"""JavaScript: from now on the server knows whose clicks these are; before, `HEAD_STYLE` lets none through."""

TOLD_S: Final = 12.0
"""How long an error stays in the page's corner."""

_LATEST_S: Final = 3600.0
"""No request of a closed page is at work for longer."""

_SECRET: Final = re.compile(r"[0-9a-f]{32}")


_CLICKS: Final = threading.BoundedSemaphore(4)
_DRAWINGS: Final = threading.BoundedSemaphore(2)
_PATIENCE_S: Final = 25.0
"""Less than the page waits for an answer (`PATIENCE_MS` of events.js)."""


class Visits:
    """Which loaded page belongs to which visitor. Threads may share one."""

    def __init__(
        self, sessions: Sessions, return_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sessions, self._return_s, self._clock = sessions, return_s, clock
        self._keys: dict[str, str] = {}
        """Page -> visitor."""
        self._closed: dict[str, float] = {}
        """Page -> when it was closed; remembered for a while, since what it asked for may still be at work."""
        self._left: dict[str, float] = {}
        """Visitor without a page -> since when."""
        self._lock = threading.Lock()

    def arrive(self, page: str, tab: str, user: str = "") -> str:
        """A page was loaded in a tab; the visitor's key comes back.

        Args:
            page: the random name of this loading of the page.
            tab: the tab's secret; anything else than one makes a visitor of the page alone.
            user: who logged in, if asked: nobody else is found by the same secret.
        """
        key = f"tab {user} {tab}" if _SECRET.fullmatch(tab) else page
        with self._lock:
            self._keys[page] = key
            self._closed.pop(page, None)
            self._left.pop(key, None)
        return key

    def key(self, page: str) -> str:
        """The visitor that a loaded page belongs to."""
        with self._lock:
            if page in self._closed:
                self._note_if_left(page)
            return self._keys.get(page, page)

    def leave(self, page: str) -> None:
        """A page was closed or is about to be reloaded."""
        with self._lock:
            self._closed[page] = self._clock()
            self._note_if_left(page)

    def _note_if_left(self, page: str) -> None:
        key = self._keys.get(page, page)
        if not any(one == key and other not in self._closed for other, one in self._keys.items()):
            self._left[key] = self._clock()

    def sweep(self) -> None:
        """Forget visitors who left and did not come back."""
        now = self._clock()
        with self._lock:
            gone = [key for key, at in self._left.items() if now - at >= self._return_s]
            for key in gone:
                del self._left[key]
            for page in [page for page, at in self._closed.items() if now - at >= _LATEST_S]:
                del self._closed[page]
                self._keys.pop(page, None)
        for key in gone:
            self._sessions.close(key)


def spoken(handler: Callable[..., Returned]) -> Callable[..., Returned]:
    """Say every error of the library as a sentence in the page, without a stack trace."""

    @functools.wraps(handler)
    def speaking(*args: Any, **kwargs: Any) -> Returned:
        try:
            return handler(*args, **kwargs)
        except HififaceError as error:
            said = for_visitors(str(error))
            raise gr.Error(said, duration=TOLD_S, title="Not done", print_exception=False) from None

    return speaking


def quick(handler: Callable[..., Returned]) -> Callable[..., Returned]:
    """`spoken`, for clicks of `QUICK`: a few at the same time, whoever clicked; the others wait for their turn."""
    return spoken(_in_turn(handler, _CLICKS))


def redraw(handler: Callable[..., Returned]) -> Callable[..., Returned]:
    """`spoken`, for events of `DRAWING`. They have turns of their own: no click waits behind previews."""
    return spoken(_in_turn(handler, _DRAWINGS))


def _in_turn(handler: Callable[..., Returned], turns: threading.Semaphore) -> Callable[..., Returned]:
    @functools.wraps(handler)
    def waiting(*args: Any, **kwargs: Any) -> Returned:
        if not turns.acquire(timeout=_PATIENCE_S):
            raise LimitError(
                f"Others are using this page, and there was no turn within {_PATIENCE_S:.0f} seconds. Try it again."
            )
        try:
            return handler(*args, **kwargs)
        finally:
            turns.release()

    return waiting


def page_of(request: gr.Request) -> str:
    """What tells loaded pages and programs apart: a random name."""
    return str(request.session_hash)


def client(request: gr.Request) -> str:
    """Who requests are counted for: the address, and the user where a password is asked."""
    host = request.client.host if request.client else ""
    return f"{counted_address(host)} {request.username or ''}".rstrip()
