"""`gradio_client` against the served page, as docs/how-to/web-app.md shows it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from hififace import FaceSwapper
from hififace.app.launch import SECURITY_HEADERS, Served
from hififace.hosting.consent import CONSENT
from hififace.media.image import read_image
from hififace.media.probe import probe
from hififace.provenance.verify import check_file

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "web-app.md"


@pytest.fixture(scope="module")
def program(served: Served, place: Path) -> Client:
    return Client(served.url, verbose=False, download_files=str(place / "downloads"))


def test_a_program_gets_the_pixels_of_the_library(program: Client, place: Path):
    source, target = place / "album" / "me.png", place / "album" / "target.jpg"
    file, report = program.predict(
        handle_file(source), handle_file(target), True, "double", 0.7, api_name="/swap"
    )
    swapper = FaceSwapper.load(place / "bundles" / "double", threads=1)
    swapper.set_source(source)
    from hififace import SwapOptions

    expected = swapper.swap(target, SwapOptions(shape_rate=0.7)).to_bytes()
    np.testing.assert_array_equal(read_image(file).pixels, read_image(expected).pixels)
    claim = check_file(Path(file)).claim
    assert claim is not None
    assert claim.consent_confirmed is True
    assert report["num_swapped"] == 2


def test_errors_reach_programs_as_sentences(program: Client, place: Path):
    me, album = handle_file(place / "album" / "me.png"), place / "album"
    with pytest.raises(AppError, match="not confirmed"):
        program.predict(me, me, False, api_name="/swap")
    with pytest.raises(AppError, match=r"broken\.jpg is not an image"):
        program.predict(handle_file(album / "broken.jpg"), me, True, api_name="/swap")
    with pytest.raises(AppError, match="was altered"):
        program.predict(me, me, True, "torn", api_name="/swap")


def test_the_example_of_the_documentation_runs(
    served: Served, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    assert "http://127.0.0.1:7860" in example
    for name, given in {"me.jpg": "me.png", "holiday.jpg": "target.jpg", "video.mp4": "video.mp4"}.items():
        shutil.copyfile(place / "album" / given, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example.replace("http://127.0.0.1:7860", served.url), names)
    for kind in ("photo", "video"):
        claim = check_file(Path(names[kind])).claim
        assert claim is not None
        assert claim.consent_statement == CONSENT
    assert names["report"]["num_frames"] == 75
    assert probe(names["video"]).of_kind("audio")


def test_a_video_that_cannot_be_made_is_a_sentence(program: Client, place: Path):
    me, video = handle_file(place / "album" / "me.png"), handle_file(place / "album" / "video.mp4")
    with pytest.raises(AppError, match="not confirmed"):
        program.predict(me, video, False, api_name="/swap_video")
    letter = handle_file(place / "album" / "letter.mp4")
    with pytest.raises(AppError, match=r"letter\.mp4 is not a video"):
        program.predict(me, letter, True, api_name="/swap_video")


def test_programs_may_call_nothing_else(program: Client):
    described = program.view_api(return_format="dict", print_info=False)
    assert isinstance(described, dict)
    assert set(described["named_endpoints"]) == {"/swap", "/swap_video"}
    assert described["unnamed_endpoints"] == {}


def test_the_page_forbids_the_browser_to_ask_anybody_else(served: Served):
    answer = httpx.get(served.url, trust_env=False)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value


def test_files_of_the_machine_are_not_served(served: Served, place: Path):
    for path in ("/etc/passwd", str(place / "album" / "me.png")):
        assert httpx.get(f"{served.url}gradio_api/file={path}", trust_env=False).status_code == 403
