"""The page in a real Chromium: `make test-browser`. Debian and Ubuntu: `apt-get install chromium`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from tests.support.pages import serve_page, write_album

from hififace import FaceSwapper
from hififace.app.launch import Served
from hififace.app.limits import Limits
from hififace.media.image import read_image
from hififace.provenance.verify import check_file

pytestmark = pytest.mark.browser

WAIT_MS = 60_000
PICTURES = Path(__file__).parents[2] / "docs" / "how-to" / "web-app"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_album(folder / "album")
    return folder


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIFIFACE_HOME", str(place / "home"))
        patch.setenv("GRADIO_TEMP_DIR", str(place))
        served = serve_page(place, Limits(upload_mb=5))
        yield served
        served.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    assert CHROMIUM, (
        "No Chromium was found. Install it: apt-get install chromium, or set CHROMIUM=/path/to/it."
    )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, served: Served) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1100, "height": 1000}, accept_downloads=True)
    yield opened(context, served)
    context.close()


def opened(context: Any, served: Served, query: str = "") -> Any:
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(served.url + query)
    page.wait_for_selector("#swap-button")
    return page


def give(page: Any, box: str, file: Path) -> None:
    page.set_input_files(f"#{box} input[type=file]", str(file))


def faces(page: Any, gallery: str) -> Any:
    return page.locator(f"#{gallery} button.thumbnail-item")


def fill(page: Any, album: Path) -> None:
    give(page, "source-photo", album / "me.png")
    faces(page, "source-faces").first.wait_for()
    give(page, "target-photo", album / "target.jpg")
    faces(page, "target-faces").nth(1).wait_for()


def swapped(page: Any) -> None:
    page.get_by_label("I have the right").check()
    page.click("#swap-button")
    page.wait_for_selector("#figures table")


def photograph(page: Any, name: str) -> None:
    """Kept for the documentation; written only when asked, so that a test run changes no tracked file."""
    if os.environ.get("KEEP_SCREENSHOTS"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"{name}.png")


def test_upload_choose_swap_slide_download(page: Any, place: Path, tmp_path: Path):
    fill(page, place / "album")
    page.get_by_text("Every face of the target becomes me.png.").wait_for()
    faces(page, "target-faces").nth(1).click()
    page.get_by_text("Face 1 of the target becomes me.png.").wait_for()
    photograph(page, "chosen")
    page.get_by_label("Show what was painted").check()
    swapped(page)
    page.wait_for_selector("#mask img")
    assert page.locator("#result img").count() == 2
    page.locator("#result").scroll_into_view_if_needed()
    photograph(page, "result")
    with page.expect_download() as download:
        page.click("#download")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "target-swapped.jpg"
    swapper = FaceSwapper.load("mini", threads=1)  # what the page chooses where nobody does
    swapper.map_source(1, place / "album" / "me.png")
    expected = swapper.swap(place / "album" / "target.jpg").to_bytes()
    np.testing.assert_array_equal(read_image(file).pixels, read_image(expected).pixels)
    claim = check_file(file).claim
    assert claim is not None
    assert claim.consent_confirmed is True
    strangers = {urlsplit(url).hostname for url in page.asked if not url.startswith(("data:", "blob:"))}
    assert strangers == {"127.0.0.1"}


def test_without_consent_the_page_says_so(page: Any, place: Path):
    fill(page, place / "album")
    page.click("#swap-button")
    page.get_by_text("not confirmed yet").first.wait_for()
    assert page.locator("#figures table").count() == 0


def test_refused_files_are_sentences(page: Any, place: Path):
    give(page, "target-photo", place / "album" / "broken.jpg")
    page.get_by_text("broken.jpg is not a picture").first.wait_for()
    give(page, "source-photo", place / "album" / "empty.png")
    page.get_by_text("No face was found in empty.png").first.wait_for()
    assert "Traceback" not in page.content()
    photograph(page, "refused")


def test_a_broken_model_is_a_sentence(page: Any):
    page.locator("#model input").click()
    page.get_by_role("option", name="torn").click()
    page.get_by_text("was altered").first.wait_for()


def test_two_browsers_see_their_own_and_closing_forgets(chromium: Any, served: Served, place: Path):
    contexts = [chromium.new_context() for _ in range(2)]
    first, second = (opened(context, served) for context in contexts)
    fill(first, place / "album")
    fill(second, place / "album")
    faces(first, "target-faces").nth(1).click()
    first.get_by_text("Face 1 of the target becomes me.png.").wait_for()
    assert second.get_by_text("Every face of the target becomes me.png.").count() == 1
    before = len(served.sessions)
    for context in contexts:
        context.close()
    for _ in range(100):
        if len(served.sessions) <= before - 2:
            break
        served.sessions._stop.wait(0.2)
    assert len(served.sessions) <= before - 2


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_in_light_and_dark(chromium: Any, served: Served, place: Path, dark: bool):
    scheme = "dark" if dark else "light"
    context = chromium.new_context(viewport={"width": 375, "height": 740}, color_scheme=scheme)
    page = opened(context, served, f"?__theme={scheme}")
    fill(page, place / "album")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.evaluate("document.body.classList.contains('dark')") is dark
    photograph(page, f"phone-{scheme}")
    context.close()


def test_axe_finds_nothing_serious(page: Any, place: Path):
    """axe-core, from the package axe-playwright-python."""
    import axe_playwright_python

    fill(page, place / "album")
    swapped(page)
    script = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
    page.evaluate("(source) => { (0, eval)(source); }", script)
    found = page.evaluate("async () => (await axe.run(document)).violations")
    serious = [
        f"{rule['id']}: {' '.join(node['html'].split())[:160]}"
        for rule in found
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]
    assert not serious, "\n".join(serious)
