"""The page in a real Chromium: `make test-browser`. Debian and Ubuntu: `apt-get install chromium`."""

from __future__ import annotations

import base64
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.browser import (
    assign,
    downloaded,
    faces,
    fill,
    give,
    give_several,
    opened,
    serious_findings,
    set_slider,
    swapped,
    unfold,
    with_camera,
)
from tests.support.pages import EXAMPLES

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
    fill(page, place / "album")
    page.get_by_text("Face 1 of the target becomes me.png.").wait_for()  # the main one
    faces(page, "target-faces").nth(1).click()
    page.get_by_text("Face 2 of the target becomes me.png.").wait_for()
    assert faces(page, "target-faces").nth(1).get_attribute("aria-pressed") == "true"
    faces(page, "target-faces").nth(0).click()
    page.wait_for_selector("#target-faces [data-face='0'][aria-pressed=false]")
    page.get_by_text("Face 1 of the target becomes me.png.").wait_for(state="detached")
    unfold(page, "settings-box")
    set_slider(page, "option-shape-rate", "0.6")
    page.wait_for_function("document.querySelector('#option-shape-rate input[type=range]').value === '0.6'")
    unfold(page, "settings-box")
    swapped(page)
    unfold(page, "details")
    page.locator("#show-mask input").check()
    page.wait_for_selector("#mask img")
    assert page.locator("#result img").count() == 2
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


def test_the_line_between_target_and_result_moves_and_the_image_is_enlarged(page: Any, place: Path):
    fill(page, place / "album")
    swapped(page)
    box = page.locator("#result .hf-canvas").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, middle, steps=5)
    page.mouse.up()
    assert page.locator("#result .hf-compare input").input_value() == "25"
    page.locator("#result .hf-compare input").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#result .hf-divider").evaluate("(line) => line.style.left") == "26%"
    page.get_by_label("Larger").first.click()
    assert page.locator("#result .hf-zoom").inner_text() == "150 %"
    assert "scale(1.5)" in page.locator("#result .hf-plane").get_attribute("style")


def test_a_preview_follows_every_change_and_an_old_result_says_so(page: Any, place: Path):
    fill(page, place / "album")
    page.get_by_text("Confirm the statement to see a preview.").wait_for()
    page.locator("#consent input").check()
    page.wait_for_selector("#result [data-kind=preview] .hf-patch")
    first = page.locator("#result .hf-patch").get_attribute("src")
    unfold(page, "settings-box")
    set_slider(page, "option-id-rate", "0.2")
    page.wait_for_function(
        "(first) => { const now = document.querySelector('#result .hf-patch'); return now && now.src !== first; }",
        arg=first,
    )
    swapped(page)
    assert page.locator("#download").is_enabled()
    set_slider(page, "option-id-rate", "1")
    page.wait_for_selector(
        "#download:has-text('Out of date')[disabled], #download button:has-text('Out of date')[disabled]"
    )
    page.wait_for_selector("#result [data-kind=preview]")


def test_examples_lead_to_a_result_without_a_file(page: Any, tmp_path: Path):
    page.click("#source-photo [data-name='portrait-143.jpg']")
    faces(page, "source-faces").first.wait_for()
    page.click("#target-photo [data-name='portrait-128.jpg']")
    page.get_by_text("The target's face becomes portrait-143.jpg.").wait_for()
    swapped(page)
    assert downloaded(page, "download", tmp_path).name == "portrait-128-swapped.jpg"
    page.click("#target-photo [data-do=clear]")
    page.wait_for_selector("#result [data-kind=empty]")
    page.click("#target-photo [data-name='portrait-001.jpg']")
    page.get_by_text("The target's face becomes portrait-143.jpg.").wait_for()
    swapped(page)
    page.wait_for_function("document.querySelectorAll('#history .hf-kept').length === 2")
    # Another format: the result shown is out of date, the next one is a PNG, and the ZIP holds all three.
    unfold(page, "settings-box")
    page.locator("#format").get_by_label("PNG").check()
    page.wait_for_selector("#result [data-kind=preview]")
    swapped(page)
    file = downloaded(page, "download", tmp_path)
    assert file.name == "portrait-001-swapped.png"
    page.wait_for_function("document.querySelectorAll('#history .hf-kept').length === 3")
    with page.expect_download() as packed:
        page.get_by_text("Download all").click()
    assert packed.value.suggested_filename == "hififace-results.zip"
    packed.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as found:
        assert sorted(Path(name).suffix for name in found.namelist()) == [".jpg", ".jpg", ".png"]
        (png,) = (name for name in found.namelist() if name.endswith(".png"))
        assert found.read(png) == file.read_bytes()


def test_one_source_photo_can_be_removed(page: Any, place: Path):
    give_several(page, place / "album" / "me.png", place / "album" / "target.jpg")
    faces(page, "source-faces").nth(2).wait_for()
    page.locator("#source-faces .hf-one").first.hover()
    page.get_by_label("Remove me.png").click()
    page.wait_for_function("document.querySelectorAll('#source-faces .hf-face').length === 2")


def test_a_camera_is_swapped_and_every_frame_is_labelled(chromium: Any, served: Served, place: Path):
    sees = with_camera(chromium, place / "live.mjpeg")
    with opened(sees, served, permissions=["camera"]) as page:
        page.get_by_role("tab", name="Live").click()
        assert page.locator("#live-button").is_disabled()
        give(page, "source-photo", place / "album" / "me.png")
        page.wait_for_selector("#live-button:not([disabled])")
        page.click("#live-button")
        page.get_by_text("not confirmed yet").first.wait_for()
        page.locator("#consent input").check()
        page.click("#live-button")
        page.wait_for_selector("#camera[data-swapped=true], #camera [data-swapped=true]")
        label = page.evaluate(
            """() => {
              const pen = document.querySelector("#camera canvas").getContext("2d");
              const red = pen.getImageData(5, 440, 125, 35).data.filter((_, i) => i % 4 === 0);
              return [Math.max(...red), Math.min(...red)];
            }"""
        )
        assert label[0] > 200 > 80 > label[1], label  # white words on a dark ground
        page.wait_for_function(
            "Number(document.querySelector('#camera[data-shown], #camera [data-shown]').dataset.shown) > 5"
        )
        assert not serious_findings(page)
        page.locator("#consent input").uncheck()  # taken back: the camera ends
        page.wait_for_selector("#live-button:has-text('Start the camera')")
        page.wait_for_selector("#camera .hf-live:not([data-on])")
    sees.close()


def test_several_photos_at_once_are_two_people_or_one(page: Any, place: Path, tmp_path: Path):
    give_several(page, place / "album" / "me.png", place / "album" / "target.jpg")
    faces(page, "source-faces").nth(2).wait_for()
    give(page, "target-photo", place / "album" / "target.jpg")
    faces(page, "target-faces").nth(1).click()
    page.get_by_text("Face 2 of the target becomes me.png.").wait_for()
    assign(page, 0, 2, "face 2 of target.jpg")
    page.get_by_text("Face 2 of the target becomes me.png.").wait_for()
    swapped(page)
    page.get_by_text("2 of 2 faces swapped").wait_for()
    page.get_by_role("button", name="Everybody").click()
    page.get_by_text("Every face of the target becomes face 2 of target.jpg.").wait_for()
    page.locator("#average input").check()


def test_what_is_typed_while_answers_arrive_is_kept(page: Any, place: Path):
    fill(page, place / "album")
    page.locator("#consent input").check()  # a preview is drawn from here on
    unfold(page, "settings-box")
    for slider, value in (
        ("option-id-rate", "0.2"),
        ("option-shape-rate", "0.6"),
        ("option-mask-erosion", "3"),
    ):
        set_slider(page, slider, value)
    page.wait_for_selector("#result [data-kind=preview] .hf-patch")
    swapped(page)
    for slider, value in (
        ("option-id-rate", "0.2"),
        ("option-shape-rate", "0.6"),
        ("option-mask-erosion", "3"),
    ):
        assert page.locator(f"#{slider} input[type=number]").input_value() == value


def test_a_photo_comes_from_the_camera(chromium: Any, served: Served, place: Path):
    # A browser of its own: one with a pretended camera has a pretended clipboard, too.
    sees = with_camera(chromium, place / "camera.mjpeg")
    with opened(sees, served, permissions=["camera"]) as page:
        page.locator("#source-photo").get_by_label("Take a photo").click()
        page.wait_for_function("document.querySelector('.hf-camera video')?.videoWidth > 0")
        page.get_by_role("button", name="Take the photo").click()
        faces(page, "source-faces").first.wait_for()
    sees.close()


def test_the_keyboard_reaches_faces_and_keeps_its_place(page: Any, place: Path):
    fill(page, place / "album")
    faces(page, "target-faces").nth(1).focus()
    page.keyboard.press("Enter")
    page.get_by_text("Face 2 of the target becomes me.png.").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == (
        "Face 2 of the target becomes me.png"
    )
    page.keyboard.press("Space")
    page.wait_for_selector("#target-faces [data-face='1'][aria-pressed=false]")


def test_clicks_in_quick_succession_all_count_and_the_button_waits_for_them(page: Any, place: Path):
    """All within one turn of the page's script: no answer can arrive between them."""
    give_several(page, place / "album" / "me.png", EXAMPLES / "portrait-143.jpg")
    faces(page, "source-faces").nth(1).wait_for()
    give(page, "target-photo", place / "album" / "target.jpg")
    page.get_by_text("Face 1 of the target becomes me.png.").wait_for()
    page.locator("#consent input").check()
    page.wait_for_selector("#swap-button:has-text('Swap'):not([disabled])")
    page.evaluate("""() => {
      const click = (selector) => document.querySelector(selector).click();
      click("#source-faces [data-remove='0']");
      click("#source-faces [data-remove='0']");  // of the same photo: the second one is not removed
      click("#target-faces [data-face='1']");
      click("#target-faces [data-face='0']");
      click("#swap-button");
      click("#swap-button");
    }""")
    page.wait_for_selector("#told .hf-done:has-text('1 of 2 faces swapped')")
    page.get_by_text("Face 2 of the target becomes portrait-143.jpg.").wait_for()
    assert faces(page, "source-faces").count() == 1
    assert page.locator("#history .hf-kept").count() == 1


def test_clicks_wait_until_the_server_knows_whose_they_are(page: Any):
    passes = "getComputedStyle(document.querySelector('#desk')).pointerEvents"
    assert page.evaluate(passes) == "auto"
    page.evaluate("delete document.body.dataset.ready")
    assert page.evaluate(passes) == "none"


def test_without_consent_the_page_says_so(page: Any, place: Path):
    fill(page, place / "album")
    page.wait_for_selector("#swap-button:not([disabled])")
    page.click("#swap-button")
    page.get_by_text("not confirmed yet").first.wait_for()
    assert page.locator("#result [data-kind=result]").count() == 0


def test_refused_files_are_sentences(page: Any, place: Path, tmp_path: Path):
    give(page, "target-photo", place / "album" / "broken.jpg")
    page.get_by_text("broken.jpg is not an image").first.wait_for()
    give(page, "source-photo", place / "album" / "empty.png")
    page.get_by_text("No face was found in empty.png").first.wait_for()
    (tmp_path / "huge.png").write_bytes(bytes(1_200_000))
    give(page, "target-photo", tmp_path / "huge.png")
    page.get_by_text("huge.png has 1.20 MB; this page takes up to 1 MB.").first.wait_for()
    assert "Traceback" not in page.content()
    assert faces(page, "target-faces").count() == faces(page, "source-faces").count() == 0


def test_a_broken_model_is_a_sentence(page: Any):
    unfold(page, "settings-box")
    page.locator("#model input").click()
    page.get_by_role("option", name="double").click()
    page.locator("#card dd", has_text="none").first.wait_for()
    page.locator("#model input").click()
    page.get_by_role("option", name="torn").click()
    page.get_by_text("was altered").first.wait_for()


def test_a_reload_finds_everything_again(page: Any, place: Path):
    fill(page, place / "album")
    faces(page, "target-faces").nth(1).click()
    page.get_by_text("Face 2 of the target becomes me.png.").wait_for()
    swapped(page)
    page.reload()
    page.get_by_text("Face 2 of the target becomes me.png.").wait_for()
    assert faces(page, "source-faces").count() == 1
    page.wait_for_selector("#target-photo img")
    page.locator("#consent input").check()  # nobody's statement is remembered
    page.wait_for_selector("#result [data-kind=result]")


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
            first.get_by_text("Face 2 of the target becomes me.png.").wait_for()
            assert second.get_by_text("Face 2 of the target becomes me.png.").count() == 0
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
        swapped(page)
        viewer = page.locator("#result .hf-viewer")
        wait_until(lambda: -10 < viewer.bounding_box()["y"] < 300)  # the result glides into view
        assert page.locator("#swap-button").bounding_box()["y"] > 600  # in reach of the thumb
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert not serious_findings(page)


def test_axe_finds_nothing_serious(page: Any, place: Path):
    assert not serious_findings(page)
    fill(page, place / "album")
    faces(page, "target-faces").nth(1).click()
    page.get_by_text("Face 2 of the target becomes me.png.").wait_for()
    unfold(page, "settings-box")
    swapped(page)
    unfold(page, "details")
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
        page.locator("#source-photo").get_by_label("Paste from the clipboard").click()
        try:
            faces(page, "source-faces").first.wait_for(timeout=15_000)
        except NotThere:
            return False
        return True
