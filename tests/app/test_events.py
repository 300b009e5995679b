"""Which way the page's events go, and that a crowd of them is refused in a sentence."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from hififace.app import visits
from hififace.app.desk import Desk
from hififace.app.handlers import Studio
from hififace.app.limits import Limits
from hififace.app.live import Lives
from hififace.app.sessions import Sessions
from hififace.app.ui import build_page
from hififace.app.video_handlers import VideoStudio
from hififace.app.video_jobs import VideoJobs
from hififace.app.visits import Visits, quick
from hififace.hosting.bundles import Bundles


@pytest.fixture
def page(tmp_path: Path, bundles: Bundles) -> Iterator[Any]:
    sessions, jobs = Sessions(Limits(), root=tmp_path), VideoJobs(at_once=1, waiting=3)
    studio = Studio(bundles, sessions, Limits())
    yield build_page(Desk(studio, VideoStudio(studio, jobs), Visits(sessions, 60.0), Lives(studio)))
    jobs.stop()
    sessions.stop()


def test_only_swaps_of_photos_wait_in_the_web_server_s_queue(page: Any):
    queued = {one.name for one in page.fns.values() if one.fn is not None and one.queue is not False}
    # The server itself tells that a page was left.
    assert queued == {"_swap", "swap", "swap_video", "_leave"}


def test_more_clicks_than_the_page_answers_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(visits, "_CLICKS", threading.BoundedSemaphore(1))
    monkeypatch.setattr(visits, "_PATIENCE_S", 0.05)
    begun, end = threading.Event(), threading.Event()

    def long() -> None:
        begun.set()
        end.wait(60)

    first = threading.Thread(target=quick(long))
    first.start()
    assert begun.wait(60)
    with pytest.raises(gr.Error, match="Others are using this page"):
        quick(list)()
    end.set()
    first.join()
    assert quick(list)() == []
