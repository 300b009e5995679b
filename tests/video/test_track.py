from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from hififace.faces.alignment import transform_points
from hififace.faces.landmarks import mesh_points5
from hififace.faces.shape import MeshShapePrior
from hififace.faces.templates import find_template
from hififace.types import Detection, Face, Landmarks
from hififace.video.smoothing import SmoothingOptions
from hififace.video.track import Track, mesh_box

TEMPLATE = find_template("mini_128")
MESH = np.random.default_rng(0).uniform(-1, 1, (468, 3)).astype(np.float32)
for index, place in {33: (-0.6, -0.4), 133: (-0.2, -0.4), 362: (0.2, -0.4), 263: (0.6, -0.4)}.items():
    MESH[index, :2] = place
MESH[4, :2], MESH[61, :2], MESH[291, :2] = (0, 0.1), (-0.35, 0.5), (0.35, 0.5)


def face(x=100.0, size=80.0, beside=0.0, identity=None, score=0.9):
    points = (MESH * size / 2 + (x, 100, 0)).astype(np.float32)
    five = mesh_points5(points) + beside
    return Face(
        0, Detection(mesh_box(points), score, five.astype(np.float32)), Landmarks(points, 0.9), identity
    )


def followed(smoothing=None):
    return Track(7, TEMPLATE, smoothing)


def test_five_points_of_the_mesh_are_eyes_nose_and_mouth():
    five = mesh_points5(face(size=2.0, x=0).landmarks.points - np.float32([0, 100, 0]))
    np.testing.assert_allclose(
        five, [(-0.4, -0.4), (0.4, -0.4), (0, 0.1), (-0.35, 0.5), (0.35, 0.5)], atol=1e-5
    )


def test_the_crop_lies_where_the_detectors_points_would_put_it():
    one = followed()
    steady = one.update(face(beside=1.5), 0.0, detected=True)
    np.testing.assert_allclose(
        steady.face.detection.points, mesh_points5(face().landmarks.points) + 1.5, atol=1e-3
    )
    # Followed by the mesh alone, twice as large: what was learned grows with the face.
    later = one.update(face(size=160.0), 0.04, detected=False)
    np.testing.assert_allclose(
        later.face.detection.points, mesh_points5(face(size=160.0).landmarks.points) + 3.0, atol=1e-3
    )
    assert later.face.index == 7
    eyes = transform_points(later.matrix, later.face.detection.points)[:2].mean(axis=0)
    assert abs(eyes[0] - TEMPLATE.points[:2, 0].mean()) < 3


def test_what_the_detector_sees_beside_the_mesh_is_followed_by_a_little_in_every_frame():
    one = followed()
    one.update(face(beside=0.0), 0.0, detected=True)
    beside = []
    for number in range(1, 40):
        steady = one.update(face(beside=2.0), number / 25, detected=number % 6 == 1)
        beside.append(float((steady.face.detection.points - mesh_points5(face().landmarks.points)).mean()))
    # A step would be 2 px; with a time constant of 0.76 s it is never more than a nineteenth of it.
    steps = np.diff([0.0, *beside])
    assert (steps > 0).all()
    assert steps.max() < 2.0 / 19
    assert beside[18] == pytest.approx(2.0 * (1 - np.exp(-1)), abs=1e-3)


def test_who_it_is_comes_from_the_best_view():
    one = followed()
    small, large, blurred = (np.float32([v, 0]) for v in (1, 2, 3))
    one.update(face(size=50, identity=small), 0.0, detected=True)
    one.update(face(size=90, identity=large), 0.1, detected=True)
    one.update(face(size=92, identity=blurred, score=0.5), 0.2, detected=True)
    assert one.identity is large
    assert one.num_views == 3


def test_without_smoothing_nothing_is_invented():
    one = followed()
    one.update(face(), 0.0, detected=True)
    assert one.mark_missed(0.04) is None


def test_with_smoothing_a_short_loss_is_bridged():
    one = followed(SmoothingOptions())
    for n in range(10):
        one.update(face(x=100 + 2 * n), n / 25, detected=True)
    guess = one.mark_missed(10 / 25)
    assert guess is not None
    assert guess.bridged
    assert guess.face.detection.points.mean(axis=0)[0] == pytest.approx(120, abs=2.5)
    assert one.mark_missed(2.0) is None


def test_a_face_is_expected_where_its_motion_leads_but_never_far_away():
    one = followed()
    assert one.predict(0.0) is None
    for n in range(12):
        one.update(face(x=100 + 6 * n), n / 25, detected=True)
    x = one.predict(12 / 25)[:, 0].mean() - one.mesh[:, 0].mean()
    assert x == pytest.approx(6.0, abs=0.1)
    # Motion of half a second ago says nothing any more.
    np.testing.assert_array_equal(one.predict(1.0), one.mesh)
    one.update(face(x=600), 12 / 25, detected=True)
    jump = one.predict(13 / 25)[:, 0].mean() - one.mesh[:, 0].mean()
    assert 0 < jump <= 0.5 * 100


def test_state_goes_through_json():
    one = followed(SmoothingOptions())
    for n in range(5):
        one.update(face(x=100 + n, beside=1.0, identity=np.float32([n, 1])), n / 25, detected=True)
    again = Track.restored(json.loads(json.dumps(one.state())), TEMPLATE, SmoothingOptions())
    a, b = (f.update(face(x=106), 0.24, detected=False) for f in (one, again))
    np.testing.assert_array_equal(a.matrix, b.matrix)
    np.testing.assert_array_equal(one.identity, again.identity)
    np.testing.assert_array_equal(a.face.coefficients.identity, b.face.coefficients.identity)


def test_the_shape_of_a_face_is_steadied_and_kept_while_it_is_lost():
    """What bends its outline must not change from frame to frame with the noise of the landmarks."""
    rng, track = np.random.default_rng(3), followed(SmoothingOptions())
    shapes, raw = [], []
    for n in range(40):
        seen = face(size=200.0)
        noisy = seen.landmarks.points + rng.normal(0.0, 1.0, (468, 3)).astype(np.float32)
        steady = track.update(replace(seen, landmarks=Landmarks(noisy, 0.9)), n / 25, detected=False).face
        shapes.append(steady.coefficients.identity)
        raw.append(MeshShapePrior.load().coefficients(noisy).identity)
    steps, before = (np.abs(np.diff(rows[20:], axis=0)).mean() for rows in (shapes, raw))
    assert steps < before / 10
    lost = track.mark_missed(40 / 25)
    np.testing.assert_array_equal(lost.face.coefficients.identity, shapes[-1])


def test_a_face_without_landmarks_is_a_programmers_mistake():
    bare = Face(0, face().detection)
    with pytest.raises(ValueError, match="landmarks"):
        followed().update(bare, 0.0, detected=True)


def gains(track, values, step_s=0.04):
    return [track.update(face(), n * step_s, detected=True, gain=gain).gain for n, gain in enumerate(values)]


def test_the_light_of_a_face_is_steadied():
    noisy = gains(followed(SmoothingOptions()), [3.0, 3.3, 2.9, 3.2, 2.8, 3.1])
    assert noisy[0] == 3.0
    assert max(noisy) - min(noisy) < 0.06


def test_a_lamp_that_is_switched_on_counts_at_once():
    assert gains(followed(SmoothingOptions()), [3.0, 1.0])[-1] == 1.0
