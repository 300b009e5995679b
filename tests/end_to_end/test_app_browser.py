"""The page in a real Chromium: `make test-browser`. Debian and Ubuntu: `apt-get install chromium`."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.browser import (
    downloaded,
    faces,
    fill,
    give,
    give_several,
    opened,
    photograph,
    serious_findings,
    swapped,
    with_camera,
)

from hififace import FaceSwapper, SwapOptions
from hififace.app.launch import Served
from hififace.app.limits import Limits
from hififace.hosting.consent import CONSENT
from hififace.media.image import read_image
from hififace.provenance.verify import check_file

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def limits() -> Limits:
    return Limits(upload_mb=1, video_mb=1, return_s=10)


def test_upload_choose_swap_slide_download(page: Any, place: Path, tmp_path: Path):
    photograph(page, "empty")
    fill(page, place / "album")
    page.get_by_text("Every face of the target becomes me.png.").wait_for()
    faces(page, "target-faces").nth(1).click()
    page.get_by_text("Face 1 of the target becomes me.png.").wait_for()
    assert faces(page, "target-faces").nth(1).get_attribute("aria-pressed") == "true"
    photograph(page, "chosen")
    page.locator("#settings-box button").first.click()
    page.locator("#option-shape-rate input[type=number]").fill("0.6")
    page.locator("#option-shape-rate input[type=number]").press("Tab")
    page.locator("#settings-box button").first.click()
    swapped(page)
    page.locator("#show-mask input").check()
    page.wait_for_selector("#mask img")
    assert page.locator("#result img").count() == 2
    page.mouse.move(0, 0)
    photograph(page, "result")
    file = downloaded(page, "download", tmp_path)
    assert file.name == "target-swapped.jpg"
    swapper = FaceSwapper.load("mini", threads=1)  # what the page chooses where nobody does
    swapper.map_source(1, place / "album" / "me.png")
    expected = swapper.swap(place / "album" / "target.jpg", SwapOptions(shape_rate=0.6)).to_bytes()
    np.testing.assert_array_equal(read_image(file).pixels, read_image(expected).pixels)
    claim = check_file(file).claim
    assert claim is not None
    assert (claim.consent_confirmed, claim.consent_statement) == (True, CONSENT)
    assert CONSENT in page.locator("#consent").inner_text()


def test_the_line_between_target_and_result_moves(page: Any, place: Path):
    fill(page, place / "album")
    swapped(page)
    box = page.locator("#result").bounding_box()
    middle = box["y"] + box["height"] / 2
    clipped = (
        "[...document.querySelectorAll('#result img')].map(i => i.style.clipPath + i.style.transform).join()"
    )
    before = page.evaluate(clipped)
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, middle, steps=5)
    page.mouse.up()
    assert page.evaluate(clipped) != before


def test_several_photos_at_once_are_two_people_or_one(page: Any, place: Path, tmp_path: Path):
    give_several(page, place / "album" / "me.png", place / "album" / "target.jpg")
    faces(page, "source-faces").nth(2).wait_for()
    give(page, "target-photo", place / "album" / "target.jpg")
    faces(page, "target-faces").nth(1).click()
    faces(page, "source-faces").nth(2).click()
    page.wait_for_selector("#source-faces [data-face='2'][aria-pressed=true]")
    faces(page, "target-faces").nth(0).click()
    page.get_by_text("Face 0 of the target becomes face 1 of target.jpg.").wait_for()
    page.get_by_text("Face 1 of the target becomes me.png.").wait_for()
    photograph(page, "two-people")
    swapped(page)
    assert page.locator("#figures").inner_text().count("became") == 2
    page.click("#clear-sources")
    page.get_by_text("Add a photo of the person to put in.").first.wait_for()
    give_several(page, place / "album" / "me.png", place / "album" / "me.png")
    faces(page, "source-faces").nth(1).wait_for()
    page.locator("#average input").check()
    page.get_by_text("Every face of the target becomes me.png.").wait_for()


def test_a_photo_comes_from_the_camera(chromium: Any, served: Served, place: Path):
    # A browser of its own: one with a pretended camera has a pretended clipboard, too.
    sees = with_camera(chromium, place / "camera.mjpeg")
    with opened(sees, served, permissions=["camera"]) as page:
        page.locator("#source-photo").get_by_label("Capture from camera").click()
        page.get_by_text("Click to Access Webcam").click()
        page.locator("#source-photo").get_by_label("capture photo").click()
        faces(page, "source-faces").first.wait_for()
        page.get_by_text("Add the photo whose faces shall be replaced.").wait_for()
        photograph(page, "camera")
    sees.close()


def test_the_keyboard_reaches_faces_and_keeps_its_place(page: Any, place: Path):
    fill(page, place / "album")
    faces(page, "target-faces").nth(1).focus()
    page.keyboard.press("Enter")
    page.get_by_text("Face 1 of the target becomes me.png.").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == (
        "Face 1 of the target becomes me.png"
    )
    page.keyboard.press("Space")
    page.get_by_text("Every face of the target becomes me.png.").wait_for()


def test_clicks_wait_until_the_server_knows_whose_they_are(page: Any):
    passes = "getComputedStyle(document.querySelector('#desk')).pointerEvents"
    assert page.evaluate(passes) == "auto"
    page.evaluate("delete document.body.dataset.ready")
    assert page.evaluate(passes) == "none"


def test_without_consent_the_page_says_so(page: Any, place: Path):
    fill(page, place / "album")
    page.click("#swap-button")
    page.get_by_text("not confirmed yet").first.wait_for()
    assert page.locator("#figures table").count() == 0


def test_refused_files_are_sentences(page: Any, place: Path, tmp_path: Path):
    give(page, "target-photo", place / "album" / "broken.jpg")
    page.get_by_text("broken.jpg is not an image").first.wait_for()
    give(page, "source-photo", place / "album" / "empty.png")
    page.get_by_text("No face was found in empty.png").first.wait_for()
    photograph(page, "refused")
    (tmp_path / "huge.png").write_bytes(bytes(1_200_000))
    give(page, "target-photo", tmp_path / "huge.png")
    page.get_by_text("exceed the maximum allowed size").first.wait_for()
    assert "Traceback" not in page.content()
    assert faces(page, "target-faces").count() == faces(page, "source-faces").count() == 0


def test_a_broken_model_is_a_sentence(page: Any):
    page.locator("#model-box button").first.click()
    page.locator("#model input").click()
    page.get_by_role("option", name="double").click()
    page.get_by_text("Licence: none").wait_for()
    page.locator("#model input").click()
    page.get_by_role("option", name="torn").click()
    page.get_by_text("was altered").first.wait_for()
    photograph(page, "broken-model")


def test_a_reload_finds_everything_again(page: Any, place: Path):
    fill(page, place / "album")
    faces(page, "target-faces").nth(1).click()
    page.get_by_text("Face 1 of the target becomes me.png.").wait_for()
    swapped(page)
    page.reload()
    page.get_by_text("Face 1 of the target becomes me.png.").wait_for()
    page.wait_for_selector("#figures table")
    assert faces(page, "source-faces").count() == 1
    assert page.locator("#result img").count() == 2
    page.wait_for_selector("#target-photo img")


def test_two_browsers_see_their_own_and_closing_forgets(chromium: Any, served: Served, place: Path):
    def files() -> set[Path]:
        return {path for path in served.sessions.root.rglob("*") if path.is_file()}

    with opened(chromium, served) as first:
        fill(first, place / "album")
        swapped(first)
        before = files()
        with opened(chromium, served) as second:
            fill(second, place / "album")
            faces(first, "target-faces").nth(1).click()
            first.get_by_text("Face 1 of the target becomes me.png.").wait_for()
            assert second.get_by_text("Every face of the target becomes me.png.").count() == 1
            swapped(second)
            assert files() - before
        wait_until(lambda: files() <= before)
        assert files()
    wait_until(lambda: not files() and len(served.sessions) == 0)


def wait_until(holds: Any) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_in_light_and_dark(chromium: Any, served: Served, place: Path, dark: bool):
    scheme = "dark" if dark else "light"
    viewport = {"width": 375, "height": 740}
    with opened(chromium, served, f"?__theme={scheme}", viewport=viewport, color_scheme=scheme) as page:
        fill(page, place / "album")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert page.evaluate("document.body.classList.contains('dark')") is dark
        page.locator("#target-faces").scroll_into_view_if_needed()
        photograph(page, f"phone-{scheme}")
        swapped(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert not serious_findings(page)


def test_axe_finds_nothing_serious(page: Any, place: Path):
    assert not serious_findings(page)
    fill(page, place / "album")
    faces(page, "target-faces").nth(1).click()
    page.get_by_text("Face 1 of the target becomes me.png.").wait_for()
    page.locator("#model-box button").first.click()
    page.locator("#settings-box button").first.click()
    swapped(page)
    found = serious_findings(page)
    assert not found, "\n".join(found)


def test_a_photo_comes_from_the_clipboard(chromium: Any, served: Served, place: Path):
    # In one of five tries on a busy machine headless Chromium begins to upload what it pasted and never sends it: the
    # server is idle, the page waits. So there are three tries; and last in this file, since the server forgets a
    # visitor with an upload that never ended only when it has been idle for long.
    tries = (pasted(chromium, served, place / "album" / "me.png") for _ in range(3))
    assert any(tries), "no face after three photos pasted"


def pasted(chromium: Any, served: Served, photo: Path) -> bool:
    """Put a photo on the clipboard and paste it; whether its face appeared."""
    from playwright.sync_api import TimeoutError as NotThere

    with opened(chromium, served, permissions=["clipboard-read", "clipboard-write"]) as page:
        packed = base64.b64encode(photo.read_bytes()).decode()
        page.evaluate(
            """async (packed) => {
              const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
              const blob = new Blob([bytes], { type: "image/png" });
              await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
            }""",
            packed,
        )
        face = faces(page, "source-faces").first
        page.locator("#source-photo").get_by_label("Paste from clipboard").click()
        try:
            # Gradio pastes at this click, or shows a field for a second one.
            face.or_(page.locator("#source-photo [data-testid=upload-text]")).first.wait_for(timeout=15_000)
            if not face.is_visible():
                page.locator("#source-photo [data-testid=upload-text]").click(timeout=15_000)
            face.wait_for(timeout=15_000)
        except NotThere:
            return False
        return True
