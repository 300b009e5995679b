"""What is drawn late: a preview takes a while, and a video may end, or other settings be chosen, meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def test_of_two_drawings_at_the_same_time_the_later_one_is_shown(
    tab: VideoTab, videos: VideoStudio, monkeypatch: pytest.MonkeyPatch
):
    later: list[Any] = []

    def draw_again() -> bool:
        monkeypatch.setattr("hififace.app.video_handlers.preview", lambda *_: [])
        later.extend(tab.draw(gr.Request(), True, *ON_THE_PAGE))
        return True

    during_the_preview(monkeypatch, draw_again)
    assert tab.draw(gr.Request(), True, *ON_THE_PAGE) == [gr.skip()] * 4
    assert later[2].interactive


def test_a_click_swaps_the_part_that_its_handles_show_and_previews_the_moment_shown(
    tab: VideoTab, videos: VideoStudio, monkeypatch: pytest.MonkeyPatch
):
    """What the handles told before may still be on its way, and an answer to it comes too late to count."""
    videos.trim("v", 0.0, 0.32)
    client = SimpleNamespace(host="127.0.0.1")
    request: Any = SimpleNamespace(client=client, username=None)
    tab._start_whole(request, 0.12, 0.32, 0.0, "MP4", True, *ON_THE_PAGE)
    job = videos.look("v").job
    assert job is not None
    assert job.wait(WAIT_S)
    assert job.standing.report is not None
    assert job.standing.report.tally.num_frames == 5
    assert videos.look("v").start_s == 0.12
    monkeypatch.setattr("hififace.app.video_handlers.PREVIEW_S", 0.08)
    tab._start_preview(request, 0.0, 0.32, 0.16, "MP4", True, *ON_THE_PAGE)
    again = videos.look("v").job
    assert again is not None
    assert again.wait(WAIT_S)
    assert videos.look("v").start_s == 0.16


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
