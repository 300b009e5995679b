"""Tracking: an index stays with its face through motion, crossing, loss and cuts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hififace.types import Detection, Face
from hififace.video.tracking import MOST_TRACKS, FaceTracker, TrackingOptions

EYE = np.eye(8, dtype=np.float32)


def face(x, y=100.0, size=60.0, who=None):
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32)
    return Face(
        0, Detection(box, 0.9, np.zeros((5, 2), np.float32)), identity=None if who is None else EYE[who]
    )


def places(faces):
    """{index: x of the middle}."""
    return {f.index: float(f.detection.box[[0, 2]].mean()) for f in faces}


def test_indices_begin_from_the_left_and_stay():
    tracker = FaceTracker()
    for step in range(20):
        found = tracker.update([face(100 + 5 * step), face(400 - 3 * step)])
        assert places(found) == {0: 100 + 5 * step, 1: 400 - 3 * step}


def test_the_order_of_detection_does_not_matter():
    tracker = FaceTracker()
    tracker.update([face(100), face(300)])
    assert places(tracker.update([face(302), face(102)])) == {0: 102, 1: 302}


def test_a_fast_face_is_followed_by_its_motion():
    # 50 px a frame with boxes of 60 px: without motion the overlap is a tenth.
    tracker = FaceTracker()
    x = 100.0
    for step in range(12):
        x += min(10 * step, 50)
        assert list(places(tracker.update([face(x)]))) == [0]


def test_faces_that_cross_keep_their_indices_by_motion_alone():
    tracker = FaceTracker()
    for step in range(41):
        left, right = 100 + 10 * step, 500 - 10 * step
        found = places(tracker.update([face(left, y=100), face(right, y=110)]))
    assert found == {0: 500, 1: 100}


def test_a_new_face_gets_a_new_index():
    tracker = FaceTracker()
    tracker.update([face(100)])
    assert places(tracker.update([face(100), face(300)])) == {0: 100, 1: 300}


def test_a_face_lost_for_some_frames_comes_back_with_its_index():
    tracker = FaceTracker()
    for step in range(5):
        tracker.update([face(100 + 4 * step)])
    for _ in range(6):
        assert tracker.update([]) == []
    assert list(places(tracker.update([face(130)]))) == [0]


def test_an_unknown_face_lost_for_long_is_forgotten():
    tracker = FaceTracker(TrackingOptions(keep_frames=3))
    tracker.update([face(100)])
    for _ in range(5):
        tracker.update([])
    assert list(places(tracker.update([face(100)]))) == [1]


def test_a_known_face_comes_back_anywhere_after_any_time():
    tracker = FaceTracker(TrackingOptions(keep_frames=3))
    tracker.update([face(100, who=0), face(300, who=1)])
    for _ in range(50):
        tracker.update([])
    assert places(tracker.update([face(700, who=1), face(900, who=2)])) == {1: 700, 2: 900}


def test_another_person_in_the_same_place_is_another_face():
    tracker = FaceTracker()
    tracker.update([face(100, who=0)])
    assert list(places(tracker.update([face(100, who=1)]))) == [1]


def test_two_people_who_change_places_between_frames_keep_their_indices():
    tracker = FaceTracker()
    tracker.update([face(100, who=0), face(300, who=1)])
    assert places(tracker.update([face(100, who=1), face(300, who=0)])) == {0: 300, 1: 100}


def test_a_cut_forgets_places_but_not_people():
    tracker = FaceTracker()
    tracker.update([face(100, who=0), face(300)])
    tracker.cut()
    # The known one is found elsewhere; somebody unknown in the other's old place is new.
    assert places(tracker.update([face(500, who=0), face(300)])) == {0: 500, 2: 300}


def test_reset_counts_from_nought():
    tracker = FaceTracker()
    tracker.update([face(100, who=0)])
    tracker.reset()
    assert list(places(tracker.update([face(300, who=1)]))) == [0]


def test_jitter_does_not_throw_a_track():
    rng = np.random.default_rng(0)
    tracker = FaceTracker()
    for _ in range(100):
        found = tracker.update([face(100 + rng.normal(0, 4)), face(190 + rng.normal(0, 4))])
        assert sorted(places(found)) == [0, 1]


def test_a_video_of_crowds_stays_cheap():
    tracker = FaceTracker()
    rng = np.random.default_rng(0)
    for _ in range(30):
        vectors = rng.normal(size=(10, 64))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        crowd = [
            Face(0, face(1000.0 * i).detection, identity=v.astype(np.float32)) for i, v in enumerate(vectors)
        ]
        tracker.cut()
        tracker.update(crowd)
    assert len(tracker._tracks) <= MOST_TRACKS


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="out of range"):
        TrackingOptions(least_overlap=1.5)


def looks(cosine):
    """An identity so like person 0, and otherwise like nobody."""
    return (cosine * EYE[0] + np.sqrt(1 - cosine**2) * EYE[7]).astype(np.float32)


def seen_as(identity, x=100.0):
    return replace(face(x), identity=identity)


def test_somebody_who_looks_another_way_after_the_cut_is_recognised_by_the_views_that_follow():
    tracker = FaceTracker()
    tracker.update([seen_as(EYE[0])])
    tracker.cut()
    profile, front = looks(0.2), looks(0.9)
    assert list(places(tracker.update([seen_as(profile)]))) == [1]
    assert tracker.renamed == {}
    # The mean of both views is like person 0.
    assert list(places(tracker.update([seen_as(front)]))) == [0]
    assert tracker.renamed == {1: 0}
    assert list(places(tracker.update([seen_as(front)]))) == [0]
    assert tracker.renamed == {}
    # Numbers are not given twice.
    assert list(places(tracker.update([seen_as(front), face(400, who=5)]))) == [0, 2]


def test_only_the_first_views_after_a_cut_are_compared():
    tracker = FaceTracker()
    tracker.update([seen_as(EYE[0])])
    tracker.cut()
    for _ in range(5):
        assert list(places(tracker.update([seen_as(looks(0.2))]))) == [1]
    for _ in range(20):
        assert list(places(tracker.update([seen_as(looks(0.9))]))) == [1]


def test_nobody_is_recognised_as_somebody_who_is_there_too():
    tracker = FaceTracker()
    tracker.update([seen_as(EYE[0])])
    tracker.cut()
    tracker.update([seen_as(EYE[0]), seen_as(looks(0.2), 400)])
    found = tracker.update([seen_as(EYE[0]), seen_as(looks(0.9), 400)])
    assert places(found) == {0: 100, 1: 400}


def test_identity_is_the_mean_of_the_views_while_they_are_few():
    tracker = FaceTracker()
    for who in (0, 1, 2):
        tracker.update([replace(face(100), identity=(EYE[who] + EYE[7]) / np.sqrt(2, dtype=np.float32))])
    mixed = np.array(tracker.state()["tracks"][0]["identity"])
    assert mixed[:3].min() > 0.85 * mixed[:3].max() > 0
