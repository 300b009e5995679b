"""What is drawn late: a preview takes a while, and a video may end, or other settings be chosen, meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from hififace import SwapOptions
from hififace.app.asking import SwapRequest
from hififace.app.handlers import Studio
from hififace.app.sessions import Sessions
from hififace.app.ui_people import SETTINGS
from hififace.app.ui_video import VideoTab
from hififace.app.video_handlers import VideoStudio
from hififace.app.video_jobs import VideoJobs
from hififace.option_fields import options_of
from tests.support.face_videos import face_video, head, put, room

ASKED = SwapRequest(model="double", consent=True)
ON_THE_PAGE: list[Any] = [
    "double",
    False,
    "same",
    95,
    *(options_of(SwapOptions)[name].default for name in SETTINGS),
]
WAIT_S = 120


@pytest.fixture
def videos(studio: Studio, sessions: Sessions, upload: Callable[[str], Path]) -> Iterator[VideoStudio]:
    jobs = VideoJobs(at_once=1, waiting=3)
    videos = VideoStudio(studio, jobs)
    studio.add_source("v", upload("me.png"), "me.png", "double")
    place = sessions.root / "upload-video"
    place.mkdir()
    videos.set_video(
        "v",
        face_video(place / "video.mp4", lambda _: put(room(), head(), 160, 120), 8),
        "video.mp4",
        "double",
    )
    yield videos
    jobs.stop()


@pytest.fixture
def tab(studio: Studio, videos: VideoStudio) -> VideoTab:
    tab = object.__new__(VideoTab)
    tab._desk = SimpleNamespace(studio=studio, videos=videos, key=lambda _: "v")  # type: ignore[assignment]
    return tab


def during_the_preview(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    monkeypatch.setattr("hififace.app.video_handlers.preview", lambda *_: act() and [])


def test_a_preview_that_ends_behind_its_video_shows_it_as_done(
    tab: VideoTab, videos: VideoStudio, monkeypatch: pytest.MonkeyPatch
):
    job = videos.start("v", ASKED)
    during_the_preview(monkeypatch, lambda: job.wait(WAIT_S))
    _, preview, whole, download = tab.draw(gr.Request(), True, *ON_THE_PAGE)
    assert job.standing.file is not None
    assert (preview.interactive, whole.interactive) == (True, True)
    assert (download.label, download.interactive) == ("Download", True)


def test_what_was_drawn_for_earlier_settings_is_not_shown(
    tab: VideoTab, videos: VideoStudio, monkeypatch: pytest.MonkeyPatch
):
    later = replace(ASKED, swap=SwapOptions(id_rate=0.5))
    during_the_preview(monkeypatch, lambda: setattr(videos.look("v"), "asked", later) or True)
    assert tab.draw(gr.Request(), True, *ON_THE_PAGE) == [gr.skip()] * 4


def test_a_video_is_out_of_date_when_it_ends_if_other_settings_were_chosen_meanwhile(
    tab: VideoTab, videos: VideoStudio
):
    assert videos.start("v", ASKED).wait(WAIT_S)
    *_, download = tab.draw(gr.Request(), True, *ON_THE_PAGE)
    assert download.interactive
    without_statement = [False, *ON_THE_PAGE]
    *_, download = tab.draw(gr.Request(), *without_statement)
    assert download.interactive  # taking it back changes no result
    on_other = [*ON_THE_PAGE]
    on_other[4] = 0.5
    tab.draw(gr.Request(), True, *on_other)
    download = tab._show_made("v")[5]
    assert (download.label, download.interactive) == ("Out of date: swap again", False)
    assert [one.is_video for one in videos._studio.look("v").kept] == [True]
    assert videos._studio.look("v").kept[0].thumbnail.startswith("data:image/jpeg")
