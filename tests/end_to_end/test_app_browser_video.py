"""The video tab in a real Chromium: `make test-browser`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.browser import (
    downloaded,
    faces,
    fill_video,
    give,
    opened,
    serious_findings,
    set_slider,
    standing,
    unfold,
)
from tests.support.pages import write_video

from hififace import FaceSwapper, SwapOptions
from hififace.app.launch import Served
from hififace.app.limits import Limits
from hififace.hosting.consent import CONSENT
from hififace.media.probe import probe
from hififace.media.video import VideoReader
from hififace.provenance.verify import check_file

pytestmark = pytest.mark.browser

NUM_FRAMES = 100


@pytest.fixture(scope="module")
def place(place: Path) -> Path:
    write_video(place / "album" / "long.mp4", 500)
    return place


@pytest.fixture(scope="module")
def limits() -> Limits:
    return Limits(video_minutes=0.5)


def start(page: Any, button: str) -> None:
    page.locator("#consent input").check()
    page.click(f"#{button}")


def test_a_face_is_picked_on_a_frame_and_the_video_is_the_librarys(page: Any, place: Path, tmp_path: Path):
    album = place / "album"
    fill_video(page, album)
    page.get_by_text(re.compile(r"320 x 240, 25.fps, 4\.0.s, sound")).wait_for()
    page.get_by_text("Everybody in the video becomes me.png.").wait_for()
    page.locator("#video-frame button.hf-box").first.click()
    page.get_by_text("Person 1 of the video becomes me.png.").wait_for()
    set_slider(page, "moment", "2")
    page.wait_for_selector("#video-faces [data-face='0'][aria-pressed=true]")
    start(page, "video-whole")
    page.wait_for_selector("#video-progress .hf-figures:has-text('left')")
    told = page.locator("#video-progress .hf-figures").inner_text()
    assert re.fullmatch(r"\d+%, \d+ of 100 frames, [\d.]+ frames per second, \d+:\d\d left", told), told
    assert page.locator("#video-whole").is_disabled()
    standing(page, "done")
    unfold(page, "video-details")
    page.wait_for_selector("#video-figures table")
    assert "became me.png" in page.locator("#video-figures").inner_text()
    unfold(page, "video-details")
    plays = "() => document.querySelector('#video-result .hf-result').readyState >= 2"
    page.wait_for_function(plays)
    line = page.get_by_role("slider", name="How much of the target is shown", exact=True)
    line.press("Home")
    for _ in range(5):
        line.press("PageUp")
    assert page.evaluate("document.querySelector('.hf-reel').style.getPropertyValue('--line')") == "50%"
    page.get_by_label("Position", exact=True).fill("2")
    page.wait_for_function(
        "['result', 'target'].every((one) => document.querySelector(`.hf-${one}`).currentTime === 2)"
    )
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("document.querySelector('.hf-target').currentTime > 2")
    assert page.locator("#video-result .hf-time").inner_text().endswith(" / 0:04")

    file = downloaded(page, "video-download", tmp_path)
    assert file.name == "video-swapped.mp4"
    assert probe(file).of_kind("audio")
    swapper = FaceSwapper.load("mini", threads=1)
    swapper.set_source(album / "me.png")
    swapper.swap_video(album / "video.mp4", tmp_path / "library.mp4", SwapOptions())
    pairs = zip(VideoReader(file), VideoReader(tmp_path / "library.mp4"), strict=True)
    for ours, library in pairs:
        np.testing.assert_array_equal(ours.rgb(), library.rgb())
    claim = check_file(file).claim
    assert claim is not None
    assert (claim.consent_confirmed, claim.consent_statement) == (True, CONSENT)


def test_a_format_that_is_chosen_before_the_upload_stays(page: Any, place: Path):
    page.get_by_role("tab", name="Video").click()
    unfold(page, "settings-box")
    own = page.locator("#video-format").get_by_label("As the target")
    own.check()
    fill_video(page, place / "album")
    page.get_by_text("Everybody in the video becomes me.png.").wait_for()
    assert own.is_checked()
    page.click("#video-file [data-do=clear]")
    page.wait_for_selector("#video-frame [data-kind=empty]")
    assert own.is_checked()


def test_a_preview_is_three_seconds_of_the_video(page: Any, place: Path, tmp_path: Path):
    fill_video(page, place / "album", "long.mp4")
    start(page, "video-preview")
    standing(page, "done")
    page.get_by_text("The preview is done: 75 frames").wait_for()
    file = downloaded(page, "video-download", tmp_path)
    assert file.name == "long-preview.mp4"
    assert sum(1 for _ in VideoReader(file)) == 75


def test_a_part_is_chosen_by_many_presses_of_a_key(page: Any, place: Path, tmp_path: Path):
    """Nothing waits for the server between the last press and the click: what the handles show is what is swapped."""
    fill_video(page, place / "album")
    handle = page.locator("#trim input[type=range]").first
    handle.focus()
    for _ in range(60):
        handle.press("ArrowRight")
    begin = float(handle.input_value())
    assert 0.5 < begin < 3.9
    start(page, "video-whole")
    standing(page, "done")
    assert float(handle.input_value()) == begin
    file = downloaded(page, "video-download", tmp_path)
    frames = sum(1 for _ in VideoReader(file))
    assert abs(frames - round((4.0 - begin) * 25)) <= 1


def test_a_reloaded_page_finds_its_video_and_cancel_cancels(page: Any, place: Path):
    fill_video(page, place / "album", "long.mp4")
    start(page, "video-whole")
    page.wait_for_selector("#video-progress [role=progressbar]:not([aria-valuenow='0'])")
    before = int(page.locator("#video-progress [role=progressbar]").get_attribute("aria-valuenow"))
    page.reload()
    standing(page, "working")
    page.wait_for_function(
        "(before) => Number(document.querySelector('#video-progress [role=progressbar]').ariaValueNow) > before",
        arg=before,
    )
    assert faces(page, "video-faces").count() == 1
    page.click("#video-cancel")
    standing(page, "cancelled")
    page.get_by_text(re.compile(r"Cancelled after \d+ frames")).wait_for()
    assert not page.locator("#video-download").is_visible()
    assert page.locator("#video-result video").count() == 0
    assert page.locator("#video-whole").is_enabled()


def test_two_browsers_wait_for_each_other_and_get_their_own(chromium: Any, served: Served, place: Path):
    with opened(chromium, served) as first, opened(chromium, served) as second:
        fill_video(first, place / "album", "long.mp4")
        fill_video(second, place / "album")
        start(first, "video-whole")
        standing(first, "working")
        start(second, "video-preview")
        standing(second, "waiting")
        second.get_by_text("The preview waits: 1 before it.").wait_for()
        first.click("#video-cancel")
        standing(first, "cancelled")
        standing(second, "done")
        assert first.locator("#video-result video").count() == 0
        second.wait_for_selector("#video-result video")


def test_refused_videos_are_sentences(page: Any, place: Path, tmp_path: Path):
    page.get_by_role("tab", name="Video").click()
    give(page, "video-file", place / "album" / "letter.mp4")
    page.get_by_text("letter.mp4 is not a video").first.wait_for()
    page.wait_for_selector("#video-file input[type=file]", state="attached")
    give(page, "video-file", write_video(tmp_path / "endless.mp4", 800))
    page.get_by_text("endless.mp4 lasts 0.5 minutes; this page takes videos of up to 0.5").first.wait_for()
    assert "Traceback" not in page.content()


def test_without_consent_no_video_is_begun(page: Any, place: Path):
    fill_video(page, place / "album")
    page.wait_for_selector("#video-whole:not([disabled])")
    page.click("#video-whole")
    page.get_by_text("not confirmed yet").first.wait_for()
    assert page.locator("#video-progress [data-status]").count() == 0


def test_it_fits_a_phone_in_the_dark_and_axe_finds_nothing_serious(
    chromium: Any, served: Served, place: Path
):
    viewport = {"width": 375, "height": 740}
    with opened(chromium, served, "?__theme=dark", viewport=viewport, color_scheme="dark") as page:
        fill_video(page, place / "album")
        page.locator("#video-frame button.hf-box").first.click()
        page.get_by_text("Person 1 of the video becomes me.png.").wait_for()
        start(page, "video-preview")
        standing(page, "working")
        found = serious_findings(page)
        standing(page, "done")
        page.wait_for_selector("#video-result video")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        page.locator("#video-progress").scroll_into_view_if_needed()
        found += serious_findings(page)
        assert not found, "\n".join(found)


def test_axe_finds_nothing_serious_in_the_light(page: Any, place: Path):
    fill_video(page, place / "album")
    page.locator("#video-frame button.hf-box").first.click()
    start(page, "video-preview")
    standing(page, "done")
    page.wait_for_selector("#video-result video")
    found = serious_findings(page)
    assert not found, "\n".join(found)
