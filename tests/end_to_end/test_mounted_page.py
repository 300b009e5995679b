"""The page in the process of the service, in a real Chromium: one line, one count of requests, one turn for videos."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.browser import downloaded, fill, fill_video, opened, standing, swapped
from tests.support.pages import write_album, write_video
from tests.support.services import process

from hififace.provenance.verify import check_file

pytestmark = pytest.mark.browser


def test_people_and_programs_share_the_service(chromium: Any, tmp_path: Path):
    album = tmp_path / "album"
    write_album(album)
    write_video(album / "short.mp4", 10)
    words = ("--data", tmp_path / "data", "--page", "--requests-per-minute", 40)
    with process(*words, home=tmp_path / "home") as (_, client):

        def figures() -> str:
            return client.get("/metrics").text

        page_of_service = SimpleNamespace(url=str(client.base_url.join("/page/")))
        with opened(chromium, page_of_service) as page:
            fill(page, album)
            swapped(page)
            file = downloaded(page, "download", tmp_path)
            assert check_file(file).marked
            told = figures()
            assert 'hififace_images_total{outcome="swapped"} 1.0' in told  # it went through the line
            assert "hififace_batches_total 1.0" in told
            photos = {name: ("x", (album / f"{name}").read_bytes()) for name in ("me.png", "target.jpg")}
            files = [("source", photos["me.png"]), ("target", photos["target.jpg"])]
            answer = client.post("/v1/swap", files=files, data={"consent": "true"})
            assert answer.status_code == 200
            assert 'hififace_images_total{outcome="swapped"} 2.0' in figures()

            fill_video(page, album, "short.mp4")
            page.locator("#consent input").check()
            page.click("#video-whole")
            standing(page, "done")
            assert check_file(downloaded(page, "video-download", tmp_path)).marked

            # What programs ask for counts for the page too: both come from this address.
            while client.get("/v1/models").status_code == 200:
                pass
            page.get_by_role("tab").first.click()
            page.click("#swap-button")
            page.get_by_text("requests a minute are taken").first.wait_for()
