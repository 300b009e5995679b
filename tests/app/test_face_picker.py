from __future__ import annotations

import base64
import re

import cv2
import numpy as np

from hififace.app.face_picker import Shown, data_url, faces_html, frame_html
from hififace.app.videos import FramedFace, Still
from hififace.types import Detection, Face

GREY = np.full((128, 128, 3), 90, np.uint8)
RED = np.zeros((100, 200, 3), np.uint8)
RED[..., 0] = 220


def framed(index: int, box: tuple[float, float, float, float]) -> FramedFace:
    found = Detection(np.asarray(box, np.float32), 0.9, np.zeros((5, 2), np.float32))
    return FramedFace(Face(index, found), np.zeros(128, np.float32), GREY)


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


def test_a_frame_has_a_box_on_each_face_in_shares_of_its_size():
    frame = Still(1.5, RED, (framed(0, (20, 10, 60, 60)), framed(1, (-10, 0, 50, 40))))
    shown = [Shown(GREY, "one", pressed=True), Shown(GREY, "two")]
    html = frame_html(frame, shown, "Faces", otherwise="")
    assert "left:10.00%;top:10.00%;width:20.00%;height:50.00%" in html
    assert html.count("data-pressed") == 1
    assert html.count('class="hf-box"') == html.count('class="hf-face"') == 2
    assert "The frame at 1.50 seconds" in html


def test_a_large_frame_is_shrunk_for_the_page():
    large = Still(0.0, np.zeros((1080, 1920, 3), np.uint8), ())
    html = frame_html(large, [], "Faces", otherwise="No face here.")
    url = re.search(r'src="([^"]+)"', html)
    assert url is not None
    assert pixels(url.group(1)).shape == (540, 960, 3)
    assert "No face here." in html
