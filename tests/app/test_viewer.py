from __future__ import annotations

import base64
import re
from pathlib import Path

from hififace.app.preview import Patch
from hififace.app.viewer import Box, View, address, view_html


def test_boxes_and_patches_lie_in_shares_of_the_image():
    boxes = [Box(0, (20, 10, 60, 60), "one", pressed=True), Box(1, (100, 0, 150, 40), "two")]
    view = View("preview", 200, 100, "t.png", patches=[Patch(b"jpeg", (50, 25, 100, 75))], boxes=boxes)
    html = view_html(view)
    assert "left:10.000%;top:10.000%;width:20.000%;height:50.000%" in html
    assert "left:25.000%;top:25.000%;width:25.000%;height:50.000%" in html
    assert f"base64,{base64.b64encode(b'jpeg').decode()}" in html
    assert html.count("data-pressed") == 1
    assert re.findall(r'data-face="(\d)".*?<span>(\d)</span>', html) == [
        ("0", "1"),
        ("1", "2"),
    ]  # people count from 1


def test_a_line_is_there_where_two_images_are_compared():
    assert 'type="range"' not in view_html(View("target", 10, 10, "t.png"))
    html = view_html(View("result", 10, 10, "t.png", "r.png"))
    assert 'type="range"' in html
    assert html.index('src="r.png"') < html.index('src="t.png"')


def test_an_old_result_says_that_it_is_one_and_words_are_escaped():
    html = view_html(View("stale", 10, 10, "t.png", "r.png", told="<b>"))
    assert "Out of date" in html
    assert "&lt;b&gt;" in html
    assert "The result appears here." in view_html(View("empty"))


def test_addresses_are_relative_and_escaped():
    assert address(Path("/tmp/v/a b'.png")) == "gradio_api/file=/tmp/v/a%20b%27.png"
