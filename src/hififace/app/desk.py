"""What all parts of the page share: who is asking, the handlers behind it, and how errors are said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gradio as gr

from hififace.app.examples import find_example
from hififace.app.handlers import Studio
from hififace.app.live import Lives
from hififace.app.video_handlers import VideoStudio
from hififace.app.visits import Visits, client, page_of
from hififace.app.words import for_visitors
from hififace.errors import HififaceError
from hififace.hosting.strangers import counted_address

PRIVATE: Final[dict[str, Any]] = {"api_visibility": "private"}
"""Clicks of the page are no part of the API: its functions are those of `api.py`."""

QUICK: Final[dict[str, Any]] = {**PRIVATE, "queue": False}
"""Clicks that only look and choose; they do not wait behind swaps. Each is answered by its own response: Gradio's queue
answers through a stream that it closes whenever nobody waits, and an event that arrives meanwhile is never answered."""

DRAWING: Final[dict[str, Any]] = {**QUICK, "trigger_mode": "always_last", "show_progress": "hidden"}
"""Drawing what stands anew; a preview may be made for it. Of many in a row the last one is drawn."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The handlers behind the page, and its visitors."""

    studio: Studio
    videos: VideoStudio
    visits: Visits
    lives: Lives

    def key(self, request: gr.Request) -> str:
        """The visitor.

        Raises:
            LimitError: too many visitors at the same time.
        """
        return self._arrived(self.visits.key(page_of(request)), request)

    def arrive(self, tab: str, request: gr.Request) -> str:
        """The visitor of a page that was just loaded in a tab with this secret name.

        Raises:
            LimitError: too many visitors at the same time.
        """
        return self._arrived(self.visits.arrive(page_of(request), tab, request.username or ""), request)

    def is_new(self, key: str) -> bool:
        """Whether the visitor has done nothing yet: the page as it was loaded shows all there is."""
        with self.studio.sessions.visit(key) as session:
            return not session.state

    def _arrived(self, key: str, request: gr.Request) -> str:
        host = request.client.host if request.client else ""
        self.studio.sessions.arrive(key, counted_address(host))
        return key

    def take_example(
        self, name: object, take: Callable[..., None], model: str | None, request: gr.Request
    ) -> list[str]:
        """Let a handler take a copy of an example as if the visitor had uploaded it; why it was refused, if it was.

        Args:
            name: what the page asked for; there may be no such example.
            take: `Studio.add_source`, `Studio.set_target`, `VideoStudio.set_video`.
            model: the model chosen.
            request: whose it is.
        """
        key, example = self.key(request), find_example(str(name))
        with problems_of() as problems:
            if example is not None:
                upload = example.copy_to(self.studio.sessions.arriving())
                take(key, upload, example.name, model, client(request))
        return problems


@contextmanager
def problems_of() -> Iterator[list[str]]:
    """Collect an error as a sentence and go on, for clicks after which the page must show how things stand now."""
    problems: list[str] = []
    try:
        yield problems
    except HififaceError as error:
        problems.append(for_visitors(str(error)))


def upload_of(file: Any) -> tuple[Path, str]:
    """Where the web server put an upload, and what the visitor's file was called."""
    path = Path(str(file["path"]))
    return path, Path(str(file.get("orig_name") or path.name)).name
