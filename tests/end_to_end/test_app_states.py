"""Every state of the page, in four looks: axe finds nothing serious, nothing sticks out, a picture is kept if asked.

    KEEP_SCREENSHOTS=1 python -m pytest -m browser tests/end_to_end/test_app_states.py

Swaps are the embedded model's, of people of the examples, who agreed to be shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.browser import (
    assign,
    faces,
    fill_examples,
    give,
    opened,
    photograph,
    serious_findings,
    standing,
    swapped,
    unfold,
    with_camera,
)
from tests.support.pages import EXAMPLES

from hififace.app.launch import Served

pytestmark = pytest.mark.browser

LOOKS = {
    "light": ("light", {"width": 1440, "height": 900}),
    "dark": ("dark", {"width": 1440, "height": 900}),
    "phone": ("light", {"width": 390, "height": 844}),
    "phone-dark": ("dark", {"width": 390, "height": 844}),
}
LATER, SLOW = ("dark", "phone"), pytest.mark.slow
"""Looks that `.ci/run` leaves to `make test-browser`: the other two hold each width and each scheme once."""
KEPT = {
    "light": {"empty", "ready", "result", "details", "settings", "several", "error", "video", "video-working"}
    | {"video-result", "live-empty", "live"},
    "dark": {"result", "video-result", "live"},
    "phone": {"empty", "result", "video-result"},
    "phone-dark": {"result"},
}
"""Pictures that the documents show; of every other state the picture is left out."""


IN_VIEW = """() => {
  const box = document.querySelector("#result .hf-canvas").getBoundingClientRect();
  const still = Math.abs(box.top - (window.lastTop ?? -1e9)) < 1;
  window.lastTop = box.top;
  return still && box.top > -10 && box.bottom < innerHeight;
}"""
"""The image is whole on the screen, and does not glide any more. Frames of the animation lie between two looks."""


@pytest.fixture(scope="module")
def camera(chromium: Any, place: Path) -> Iterator[Any]:
    sees = with_camera(chromium, place / "states.mjpeg")
    yield sees
    sees.close()


@pytest.fixture(params=[pytest.param(look, marks=SLOW if look in LATER else ()) for look in LOOKS])
def look(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def visit(camera: Any, served: Served, look: str) -> Iterator[Any]:
    """A visitor of their own, in this look."""
    scheme, viewport = LOOKS[look]
    query = f"?__theme={scheme}"
    with opened(
        camera, served, query, viewport=viewport, color_scheme=scheme, permissions=["camera"]
    ) as page:
        yield page


def check(page: Any, look: str, state: str) -> None:
    """What holds in every state: no box waits, nothing sticks out, axe finds nothing serious."""
    page.wait_for_function("!document.querySelector('.hf-zone[data-busy]')")
    width = LOOKS[look][1]["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{state} sticks out"
    found = serious_findings(page)
    assert not found, f"{state}:\n" + "\n".join(found)
    if state in KEPT[look]:
        photograph(page, state if look == "light" else f"{state}-{look}")


def tab(page: Any, name: str) -> None:
    page.evaluate("window.scrollTo(0, 0)")
    page.get_by_role("tab", name=name).click()


def test_photos(visit: Any, look: str, place: Path):
    page = visit
    check(page, look, "empty")
    fill_examples(page)
    page.get_by_text("Confirm the statement to see a preview.").wait_for()
    check(page, look, "ready")
    swapped(page)
    if "phone" in look:
        page.wait_for_function(IN_VIEW)
    check(page, look, "result")
    unfold(page, "details")
    page.wait_for_selector("#figures table")
    page.locator("#details").scroll_into_view_if_needed()
    check(page, look, "details")
    unfold(page, "details")
    unfold(page, "settings-box")
    page.wait_for_selector("#card dd")
    page.locator("#card").scroll_into_view_if_needed()
    check(page, look, "settings")
    unfold(page, "settings-box")
    page.evaluate("window.scrollTo(0, 0)")
    give(page, "target-photo", place / "album" / "broken.jpg")
    page.get_by_text("broken.jpg is not an image").first.wait_for()
    check(page, look, "error")


def test_several_faces(visit: Any, look: str):
    page = visit
    page.click("#source-photo [data-name='portrait-143.jpg']")
    faces(page, "source-faces").first.wait_for()
    give(page, "source-photo", EXAMPLES / "portrait-124.jpg")
    faces(page, "source-faces").nth(1).wait_for()
    faces(page, "source-faces").nth(1).click()
    page.wait_for_selector("#source-faces [data-face='1'][aria-pressed=true]")
    page.click("#target-photo [data-name='two-people.jpg']")
    page.get_by_text("Face 1 of the target becomes portrait-124.jpg.").wait_for()
    faces(page, "target-faces").nth(
        1
    ).click()  # from here on, the main face follows the chosen source no more
    page.get_by_text("Face 2 of the target becomes portrait-124.jpg.").wait_for()
    assign(page, 1, 0, "portrait-143.jpg")
    page.get_by_text("Face 1 of the target becomes portrait-124.jpg.").wait_for()
    swapped(page)
    page.get_by_text("2 of 2 faces swapped").wait_for()
    check(page, look, "several")


def test_a_video(visit: Any, look: str):
    page = visit
    tab(page, "Video")
    page.locator("#video-frame .hf-pair").first.wait_for(
        state="visible" if "phone" not in look else "attached"
    )
    check(page, look, "video-empty")
    fill_examples(page, "moving-portrait.mp4", "video-file")
    page.locator("#consent input").check()
    page.wait_for_selector("#video-frame [data-kind=preview] .hf-patch", state="attached")
    box = page.locator("#video-whole").bounding_box()
    assert box["y"] + box["height"] <= LOOKS[look][1]["height"]  # in reach, however much the rail holds
    check(page, look, "video")
    page.click("#video-whole")
    page.wait_for_selector("#video-result .hf-atwork img")  # a frame is seen while the video is worked on
    page.evaluate("window.scrollTo(0, 0)")
    check(page, look, "video-working")
    standing(page, "done")
    page.wait_for_function("document.querySelector('#video-result .hf-result')?.readyState >= 3")
    page.locator("#video-result").scroll_into_view_if_needed()
    check(page, look, "video-result")


def test_live(visit: Any, look: str):
    page = visit
    tab(page, "Live")
    check(page, look, "live-empty")
    page.click("#source-photo [data-name='portrait-124.jpg']")
    page.wait_for_selector("#live-button:not([disabled])")
    page.locator("#consent input").check()
    page.click("#live-button")
    page.wait_for_selector("#camera[data-swapped=true], #camera [data-swapped=true]")
    check(page, look, "live")
    page.click("#live-button")
    page.wait_for_selector("#camera .hf-live:not([data-on])")


@pytest.mark.parametrize("look", ["phone", "phone-dark"], indirect=True)
def test_a_phone_has_the_tabs_on_top_the_button_below_and_the_result_in_view(visit: Any):
    page, height = visit, LOOKS["phone"][1]["height"]
    tabs = page.locator(".hf-tabs").bounding_box()
    assert tabs["y"] < 120
    assert tabs["width"] > 300
    fill_examples(page)
    for where in (0, 10_000):  # wherever one has scrolled to
        page.evaluate("(where) => window.scrollTo(0, where)", where)
        button = page.locator("#swap-button").bounding_box()
        assert height - 90 < button["y"]
        assert button["y"] + button["height"] <= height
    swapped(page)
    page.wait_for_function(IN_VIEW)


def test_one_click_tries_a_pair(page: Any):
    page.locator("#result .hf-pair").first.click()
    page.get_by_text("The target's face becomes portrait-124.jpg.").wait_for()
    swapped(page)


def test_the_rail_stays_where_it_is(page: Any):
    width = page.locator("#rail").bounding_box()["width"]
    page.locator("#result .hf-pair").first.click()
    page.get_by_text("The target's face becomes portrait-124.jpg.").wait_for()
    swapped(page)
    assert page.locator("#rail").bounding_box()["width"] == width
    stage = page.locator("#result .hf-viewer").bounding_box()
    assert stage["width"] > page.viewport_size["width"] * 2 / 3
