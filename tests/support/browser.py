"""The page in a real Chromium, for tests: how it is started, clicked, photographed and examined.

Debian and Ubuntu: `apt-get install chromium`; another one: CHROMIUM=/path/to/it.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
from PIL import Image

from hififace.app.launch import Served
from hififace.media.video import VideoReader
from tests.support.pages import EXAMPLES

WAIT_MS = int(os.environ.get("BROWSER_WAIT_MS", "60000"))
PICTURES = Path(__file__).parents[2] / "docs" / "how-to" / "web-app"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]
WIDE = {"width": 1320, "height": 900}


@contextmanager
def chromium_browser() -> Iterator[Any]:
    """A running browser; says how to install one where there is none."""
    assert CHROMIUM, (
        "No Chromium was found. Install it: apt-get install chromium, or set CHROMIUM=/path/to/it."
    )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, served: Served, query: str = "", **options: Any) -> Iterator[Any]:
    """A visitor of their own. At the end: the browser asked nobody but the page, and no script failed."""
    context = browser.new_context(**{"viewport": WIDE, "accept_downloads": True, **options})
    # Also what no page sees: fonts, workers, sockets.
    asked: list[str] = []
    failed: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    try:
        page.goto(served.url + query)
        page.wait_for_selector("body[data-ready] #swap-button")
        yield page
    finally:
        context.close()
    hosts = {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"}, hosts
    assert not failed, failed


def give(page: Any, box: str, *files: Path) -> None:
    """Upload into a box."""
    page.set_input_files(f"#{box} input[type=file]", [str(file) for file in files])


def give_several(page: Any, *files: Path) -> None:
    """Upload several photos at once."""
    give(page, "source-photo", *files)


def faces(page: Any, picker: str) -> Any:
    """The small images to click on."""
    return page.locator(f"#{picker} button.hf-face")


def fill(page: Any, album: Path) -> None:
    """A source and a target with two faces."""
    give(page, "source-photo", album / "me.png")
    faces(page, "source-faces").first.wait_for()
    give(page, "target-photo", album / "target.jpg")
    faces(page, "target-faces").nth(1).wait_for()


def fill_video(page: Any, album: Path, video: str = "video.mp4") -> None:
    """A source and a video."""
    give(page, "source-photo", album / "me.png")
    faces(page, "source-faces").first.wait_for()
    page.get_by_role("tab", name="Video").click()
    give(page, "video-file", album / video)
    faces(page, "video-faces").first.wait_for()


def fill_examples(page: Any, target: str = "portrait-001.jpg", box: str = "target-photo") -> None:
    """An example source, `portrait-124.jpg`, and an example target."""
    page.click("#source-photo [data-name='portrait-124.jpg']")
    faces(page, "source-faces").first.wait_for()
    page.click(f"#{box} [data-name='{target}']")
    whose = "Everybody in the video" if box == "video-file" else "The target's face"
    page.get_by_text(f"{whose} becomes portrait-124.jpg.").wait_for()


def assign(page: Any, target: int, source: int, becomes: str) -> None:
    """Choose a source face, then click a face of the target; both count from 0."""
    faces(page, "source-faces").nth(source).click()
    page.wait_for_selector(f"#source-faces [data-face='{source}'][aria-pressed=true]")
    faces(page, "target-faces").nth(target).click()
    page.get_by_text(f"Face {target + 1} of the target becomes {becomes}.").wait_for()


def unfold(page: Any, fold: str) -> None:
    """Open what is folded away, or close it again."""
    page.click(f"#{fold} .hf-fold-head")


def set_slider(page: Any, slider: str, value: str) -> None:
    """Type a value into a slider's box."""
    number = page.locator(f"#{slider} input[type=number]")
    number.fill(value)
    number.press("Tab")


def swapped(page: Any) -> None:
    """Confirm, press the button of the photo tab, and wait for the result."""
    page.locator("#consent input").check()
    page.wait_for_selector("#swap-button:has-text('Swap'):not([disabled])")
    page.click("#swap-button")
    page.wait_for_selector("#result [data-kind=result]")
    page.wait_for_selector("#told .hf-done")


def standing(page: Any, status: str) -> None:
    """Wait until the video's progress says so."""
    page.wait_for_selector(f"#video-progress [data-status={status}]")


def downloaded(page: Any, button: str, folder: Path) -> Path:
    """Press a button for download; the file."""
    with page.expect_download() as download:
        page.click(f"#{button}")
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


def photograph(page: Any, name: str, *, settle_ms: int = 600) -> None:
    """Kept for the documentation; written only if KEEP_SCREENSHOTS=1, so that a test run changes no tracked file."""
    if os.environ.get("KEEP_SCREENSHOTS"):
        page.wait_for_timeout(settle_ms)  # bars and lines glide into their places
        page.mouse.move(0, 0)
        shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        PICTURES.mkdir(parents=True, exist_ok=True)
        shown.save(PICTURES / f"{name}.webp", quality=82, method=6)


def serious_findings(page: Any) -> list[str]:
    """What axe-core (of the package axe-playwright-python) calls serious or critical.

    Toasts are Gradio's own, a button within a button, and go away.
    """
    import axe_playwright_python

    page.wait_for_timeout(600)  # colours glide
    script = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
    page.evaluate("(source) => { (0, eval)(source); }", script)
    found = page.evaluate("async () => (await axe.run({exclude: ['.toast-wrap']})).violations")
    return [
        f"{rule['id']}: {' '.join(node['html'].split())[:90]} {' '.join(node['failureSummary'].split())[:300]}"
        for rule in found
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]


def with_camera(browser: Any, place: Path) -> Any:
    """Another browser, whose camera sees a face that moves."""
    clip = [frame.rgb() for frame in VideoReader(EXAMPLES / "moving-portrait.mp4")]
    with av.open(str(place), "w", format="mjpeg") as video:
        picture_stream = video.add_stream("mjpeg", rate=30)
        picture_stream.bit_rate = 20_000_000
        picture_stream.width, picture_stream.height, picture_stream.pix_fmt = 640, 480, "yuvj420p"
        for number, seen in enumerate([*clip, *clip[::-1]]):
            wide = np.pad(seen, ((0, 0), (80, 80), (0, 0)), mode="edge")
            frame = av.VideoFrame.from_ndarray(wide, format="rgb24").reformat(format="yuvj420p")
            frame.pts = number
            video.mux(picture_stream.encode(frame))
        video.mux(picture_stream.encode(None))
    flags = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={place}",
    ]
    return browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
