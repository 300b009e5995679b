"""What all parts of the page share: who is asking, the handlers behind it, and how errors are said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gradio as gr

from hififace.app.handlers import Studio
from hififace.app.video_handlers import VideoStudio
from hififace.app.visits import Visits, page_of
from hififace.errors import HififaceError

PRIVATE: Final[dict[str, Any]] = {"api_visibility": "private"}
"""Clicks of the page are no part of the API: its functions are those of `api.py`."""

QUICK: Final[dict[str, Any]] = {**PRIVATE, "concurrency_id": "quick", "concurrency_limit": 4}
"""Clicks that only look and choose; they do not wait behind swaps."""

RAW: Final[dict[str, Any]] = {**QUICK, "preprocess": False}
"""Uploads come as the server received them: opening them is the library's task, which says what is wrong."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The handlers behind the page, and its visitors."""

    studio: Studio
    videos: VideoStudio
    visits: Visits

    def key(self, request: gr.Request) -> str:
        """The visitor."""
        return self.visits.key(page_of(request))


@contextmanager
def warned() -> Iterator[None]:
    """Say an error as a sentence and go on, for clicks after which the page must show how things stand now."""
    try:
        yield
    except HififaceError as error:
        gr.Warning(str(error), duration=None, title="Not done")


def upload_of(file: Any) -> tuple[Path, str]:
    """Where the web server put an upload, and what the visitor's file was called."""
    path = Path(str(file["path"]))
    return path, Path(str(file.get("orig_name") or path.name)).name
