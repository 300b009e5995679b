from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from hififace.media.frames import Frame, FrameFacts
from hififace.media.video_colour import ColourFacts, from_rgb
from hififace.types import Detection, Face
from hififace.video.detection_schedule import RELIABLE_PX, DetectionSchedule, coarse_size, enlarged

COLOUR = ColourFacts(1, 1, 1, False, 1)


def frame(number, size=(960, 540), shade=100):
    image = np.full((size[1], size[0], 3), shade, np.uint8)
    raw = from_rgb(image, "yuv420p", COLOUR)
    return Frame(raw, FrameFacts(COLOUR, 0), index=number, pts=number, time_base=Fraction(1, 25))


class Detector:
    """Says that a face is there, in the middle of any image, or nobody; remembers what it was shown."""

    def __init__(self, anybody=True):
        self.anybody, self.shown = anybody, []

    def __call__(self, image):
        height, width = image.shape[:2]
        self.shown.append((width, height))
        if not self.anybody:
            return []
        middle = np.array([width, height], np.float32) / 2
        box = np.concatenate([middle - height / 8, middle + height / 8])
        return [Face(0, Detection(box, 0.9, np.repeat(middle[None] - 0.5, 5, axis=0)))]


def look(schedule, number, *, force=False, anybody=True, settled=False, shade=100):
    one = frame(number, shade=shade)
    return schedule.look(one, one.thumbnail(), force=force, anybody=anybody, settled=settled)


def test_coarse_looks_and_every_eighth_one_whole():
    detector = Detector()
    schedule = DetectionSchedule(detector, every=2)
    looked = [look(schedule, n) is not None for n in range(33)]
    assert looked == [n % 2 == 0 for n in range(33)]
    whole, coarse = (960, 540), (640, 360)
    assert detector.shown == [whole, *[coarse] * 7, whole, *[coarse] * 7, whole]


def test_where_it_matters_the_rhythm_does_not_count():
    detector = Detector()
    found = look(DetectionSchedule(detector, every=5), 3, force=True)
    assert detector.shown == [(960, 540)]
    assert found.reliable_px == RELIABLE_PX


def test_while_nothing_is_in_doubt_there_are_four_looks_a_second_one_of_them_whole():
    detector = Detector()
    schedule = DetectionSchedule(detector, every=2)
    looked = [n for n in range(50) if look(schedule, n, settled=True) is not None]
    assert looked == [0, 6, 12, 18, 24, 30, 36, 42, 48]
    whole, coarse = (960, 540), (640, 360)
    assert detector.shown == [whole, *[coarse] * 3, whole, *[coarse] * 3, whole]


def test_doubt_brings_the_usual_rhythm_back_and_a_forced_look_counts_as_one():
    detector = Detector()
    schedule = DetectionSchedule(detector, every=2)
    doubtful = {20, 21, 22, 23}
    looked = [n for n in range(36) if look(schedule, n, settled=n not in doubtful, force=n == 27) is not None]
    # 18 is four frames before 22, and 34 the first even frame 0.24 s after 27.
    assert looked == [0, 6, 12, 18, 20, 22, 27, 34]


def test_what_a_coarse_look_finds_is_in_pixels_of_the_frame():
    schedule = DetectionSchedule(Detector(), every=1)
    coarse, whole = look(schedule, 1), look(schedule, 8)
    assert coarse.reliable_px == pytest.approx(1.5 * RELIABLE_PX)
    np.testing.assert_allclose(coarse.detections[0].box, whole.detections[0].box)
    np.testing.assert_allclose(coarse.detections[0].points, whole.detections[0].points)


def test_boxes_are_edges_and_points_are_centres():
    small = Detection(np.float32([0, 0, 10, 20]), 0.9, np.zeros((5, 2), np.float32))
    large = enlarged(small, 2.0, 2.0)
    assert large.box.tolist() == [0, 0, 20, 40]
    # The centre of the first pixel of the small image lies between the first two of the large one.
    assert large.points[0].tolist() == [0.5, 0.5]


def test_a_picture_that_stayed_empty_is_not_looked_at_again_until_it_changes():
    detector = Detector(anybody=False)
    schedule = DetectionSchedule(detector, every=1)
    shades = [100, 100, 101, 120, 120, 120, 120, 120, 120, 120]
    looked = [look(schedule, n, anybody=False, shade=shade) is not None for n, shade in enumerate(shades)]
    # The fourth image is another one, which only the next whole look proves empty.
    assert looked == [True, False, False, *[True] * 6, False]
    assert detector.shown[0] == (960, 540)


def test_a_coarse_look_does_not_prove_that_nobody_is_there():
    schedule = DetectionSchedule(Detector(anybody=False), every=1)
    assert look(schedule, 1, anybody=False) is not None
    assert look(schedule, 2, anybody=False) is not None


def test_while_somebody_is_followed_every_turn_is_taken():
    schedule = DetectionSchedule(Detector(anybody=False), every=1)
    assert all(look(schedule, n, anybody=True) is not None for n in range(4))


def test_state_goes_through_json():
    schedule = DetectionSchedule(Detector(anybody=False), every=1)
    look(schedule, 0, anybody=False)
    again = DetectionSchedule(Detector(anybody=False), every=1)
    again.restore(json.loads(json.dumps(schedule.state())))
    assert look(again, 1, anybody=False) is None
    settled = DetectionSchedule(Detector(), every=1)
    look(settled, 0, settled=True)
    again.restore(json.loads(json.dumps(settled.state())))
    assert [n for n in range(1, 9) if look(again, n, settled=True) is not None] == [6]
    fresh = DetectionSchedule(Detector(), every=1)
    fresh.restore({})
    assert look(fresh, 1, anybody=False) is not None


@pytest.mark.parametrize(
    ("size", "coarse"),
    [
        ((1280, 720), (640, 360)),
        ((1920, 1080), (640, 360)),
        ((1080, 1920), (360, 640)),
        ((640, 480), None),
        ((64, 48), None),
    ],
)
def test_small_videos_are_always_seen_whole(size, coarse):
    assert coarse_size(*size) == coarse
