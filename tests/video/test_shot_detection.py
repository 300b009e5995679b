from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from skimage import data

from hififace.video.shot_detection import CutDetector, difference

WIDE, HIGH = 64, 36


def scene(name, shift=0.0, zoom=1.0):
    """A (36, 64) brightness thumbnail of one of scikit-image's photographs, seen through a moving window."""
    image = {
        "astronaut": data.astronaut,
        "coffee": data.coffee,
        "cat": data.chelsea,
        "rocket": data.rocket,
    }[name]()
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:300, :450]
    width, height = int(380 / zoom), int(214 / zoom)
    x, y = shift + (450 - 380) / 2 * (1 - 1 / zoom), 20.0
    matrix = np.array([[WIDE / width, 0, -x * WIDE / width], [0, HIGH / height, -y * HIGH / height]])
    blurred = cv2.GaussianBlur(grey, (0, 0), 2.0)
    return cv2.warpAffine(
        blurred, matrix, (WIDE, HIGH), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


def lit(thumbnail, gain, offset=0.0):
    return np.clip(thumbnail * gain + offset, 0, 255).astype(np.uint8)


def cuts_in(thumbnails):
    detector = CutDetector()
    return [i for i, t in enumerate(thumbnails) if detector.update(t)]


def test_hard_cuts_are_found_at_their_frame():
    video = []
    for name in ("astronaut", "coffee", "cat", "rocket", "astronaut"):
        video += [scene(name, shift=0.4 * i) for i in range(6)]
    assert cuts_in(video) == [6, 12, 18, 24]


@pytest.mark.parametrize("speed", [1.0, 6.0, 20.0])
def test_a_pan_is_no_cut(speed):
    assert cuts_in([scene("coffee", shift=min(speed * i, 70)) for i in range(12)]) == []


def test_a_zoom_is_no_cut():
    assert cuts_in([scene("astronaut", zoom=1.0 + 0.03 * i) for i in range(20)]) == []


def test_changes_of_light_are_no_cuts():
    still = scene("cat")
    assert cuts_in([lit(still, g) for g in (1.0, 0.5, 1.3, 0.4, 1.0, 0.7)]) == []


def test_a_flash_is_no_cut():
    still = scene("astronaut")
    white = np.full_like(still, 250)
    assert cuts_in([still, still, lit(still, 1.8, 40), white, white, lit(still, 1.5), still]) == []


def test_a_fade_through_black_is_one_cut_where_the_new_scene_becomes_visible():
    first, second = scene("coffee"), scene("rocket")
    video = [lit(first, g) for g in (1.0, 0.6, 0.3, 0.1, 0.0)] + [
        lit(second, g) for g in (0.0, 0.1, 0.3, 0.6, 1.0)
    ]
    found = cuts_in(video)
    assert len(found) == 1
    assert 5 <= found[0] <= 8


def test_a_face_that_moves_through_a_still_room_is_no_cut():
    room, face = scene("coffee"), scene("astronaut")[4:30, 20:40]
    video = []
    for i in range(14):
        frame = room.copy()
        frame[5:31, 3 * i : 3 * i + 20] = face
        video.append(frame)
    assert cuts_in(video) == []


def test_noise_is_no_cut():
    rng = np.random.default_rng(0)
    still = scene("cat").astype(float)
    assert (
        cuts_in([np.clip(still + rng.normal(0, 6, still.shape), 0, 255).astype(np.uint8) for _ in range(15)])
        == []
    )


def test_difference_is_zero_for_the_same_and_near_one_for_strangers():
    assert difference(scene("cat"), scene("cat")) == pytest.approx(0.0, abs=1e-5)
    assert difference(scene("cat"), scene("rocket")) > 0.6
    assert difference(scene("coffee"), scene("coffee", shift=24)) < 0.4


def test_going_on_from_a_saved_state_finds_the_same_cuts():
    video = [scene("astronaut", shift=0.5 * i) for i in range(5)] + [
        scene("coffee", shift=i) for i in range(5)
    ]
    detector = CutDetector()
    for thumbnail in video[:5]:
        detector.update(thumbnail)
    again = CutDetector()
    again.restore(json.loads(json.dumps(detector.state())))
    assert [again.update(t) for t in video[5:]] == [True, False, False, False, False]
    fresh = CutDetector()
    fresh.restore(json.loads(json.dumps(CutDetector().state())))
    assert not fresh.update(video[0])


def test_black_from_the_start_is_no_cut():
    assert cuts_in([np.zeros((HIGH, WIDE), np.uint8)] * 3 + [scene("cat")] * 3) == []
