from __future__ import annotations

import base64
import re

import cv2
import numpy as np

from hififace.app.face_picker import Shown, faces_html
from hififace.app.images import data_url

GREY = np.full((128, 128, 3), 90, np.uint8)
RED = np.zeros((100, 200, 3), np.uint8)
RED[..., 0] = 220


def pixels(url: str) -> np.ndarray:
    packed = base64.b64decode(url.partition("base64,")[2])
    return cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_pictures_lie_in_the_page_itself_with_their_colours():
    shown = pixels(data_url(RED))
    assert shown.shape == RED.shape
    assert abs(shown.astype(int) - RED).max() < 12


def test_faces_are_buttons_with_names_and_say_which_are_pressed():
    html = faces_html(
        "Click <one>", [Shown(GREY, 'Put in a"b', "a", pressed=True), Shown(GREY, "Put in c", inset=RED)]
    )
    assert re.findall(r'aria-pressed="(\w+)" aria-label="([^"]*)"', html) == [
        ("true", "Put in a&quot;b"),
        ("false", "Put in c"),
    ]
    assert re.findall(r'data-face="(\d+)"', html) == ["0", "1"]
    assert html.count("hf-inset") == 1
    assert "<one>" not in html


def test_without_faces_a_hint():
    assert faces_html("Faces", []) == ""
    assert "None &amp; nothing" in faces_html("Faces", [], otherwise="None & nothing")


def test_a_photo_can_be_removed_by_the_button_on_its_first_face():
    html = faces_html("Faces", [Shown(GREY, "one", remove=(3, "a<b.png")), Shown(GREY, "two")])
    assert re.findall(r'data-remove="(\d+)" aria-label="([^"]*)"', html) == [("3", "Remove a&lt;b.png")]


def test_everybody_is_one_button_that_says_whether_it_is_pressed():
    assert "data-everybody" not in faces_html("Faces", [Shown(GREY, "one")])
    html = faces_html("Faces", [Shown(GREY, "one")], everybody=True)
    assert re.search(r'data-everybody[^>]*aria-pressed="true"', html)
