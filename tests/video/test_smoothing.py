from __future__ import annotations

import json

import numpy as np
import pytest

from hififace.video.smoothing import (
    OneEuroFilter,
    PointSmoother,
    SmoothingOptions,
    face_size,
    smoothing_factor,
)

SHAPE = np.array([[-50.0, -50.0], [50.0, -50.0], [0.0, 0.0], [-40.0, 60.0], [40.0, 60.0]]) + 300
RATE = 30


def smooth(measured, smoother=None, rate=RATE):
    smoother = smoother or PointSmoother()
    return np.stack([smoother.update(p, i / rate) for i, p in enumerate(measured)])


def still(count=200, noise=0.7, size=1.0, points=SHAPE):
    return size * (points + np.random.default_rng(0).normal(0, noise, (count, *points.shape)))


def moving(speed_sizes, count=120, noise=0.0):
    travel = speed_sizes * face_size(SHAPE) * np.arange(count) / RATE
    true = SHAPE + np.stack([travel, 0 * travel], axis=1)[:, None]
    return true, true + np.random.default_rng(1).normal(0, noise, true.shape)


def test_a_still_face_shakes_at_least_four_times_less():
    measured = still()
    after = smooth(measured)[30:]
    assert np.diff(after, axis=0).std() < 0.25 * np.diff(measured[30:], axis=0).std()
    assert np.abs(after.mean(axis=0) - SHAPE).max() < 0.3


@pytest.mark.parametrize(("speed", "most_ms"), [(0.5, 10.0), (1.0, 5.0), (2.0, 3.0)])
def test_a_moving_face_is_followed_within_a_fraction_of_a_frame(speed, most_ms):
    true, measured = moving(speed, noise=0.7)
    behind = (true - smooth(measured))[60:, :, 0].mean()
    assert 1000 * behind / (speed * face_size(SHAPE)) < most_ms


def test_a_mouth_that_speaks_in_a_still_head_is_not_damped_away():
    times = np.arange(150) / RATE
    measured = np.repeat(SHAPE[None], 150, axis=0)
    measured[:, 3:, 1] += 10 * np.sin(2 * np.pi * 3 * times)[:, None]
    after = smooth(measured)
    assert np.ptp(after[60:, 3, 1]) > 0.8 * 20
    assert np.ptp(after[60:, 0, 1]) < 0.5


def test_small_and_large_faces_are_treated_alike():
    # Same motion and noise relative to the face: only the unit differs.
    small, large = smooth(still(size=0.25)), smooth(still(size=4.0))
    np.testing.assert_allclose(small * 16, large, rtol=1e-4)


def test_the_step_between_frames_may_vary():
    # The same moments, seen at 60 and at a ragged rate: a still face ends in the same place.
    even, ragged = PointSmoother(), PointSmoother()
    target, start = SHAPE + 0.5, SHAPE
    even.update(start, 0.0)
    ragged.update(start, 0.0)
    for k in range(1, 121):
        a = even.update(target, k / 60)
    for t in (0.01, 0.2, 0.25, 0.7, 0.71, 1.4, 2.0):
        b = ragged.update(target, t)
    np.testing.assert_allclose(a, target, atol=0.05)
    np.testing.assert_allclose(b, target, atol=0.05)


def test_a_lost_face_is_carried_along_its_path_and_then_given_up():
    true, _ = moving(1.0)
    smoother = PointSmoother()
    for i in range(40):
        smoother.update(true[i], i / RATE)
    for i in range(40, 46):
        guess = smoother.update(None, i / RATE)
        assert guess is not None
        # Within a tenth of the face although it moves by a fifth of it in that time.
        assert np.abs(guess - true[i]).max() < 0.13 * face_size(SHAPE)
    assert smoother.update(None, 49 / RATE) is None
    # What comes back is not mixed with the old place.
    np.testing.assert_allclose(smoother.update(SHAPE + 500, 50 / RATE), SHAPE + 500, rtol=1e-6)


def test_a_face_that_was_never_seen_is_not_invented():
    assert PointSmoother().update(None, 0.0) is None


def test_a_cut_forgets_the_past():
    smoother = PointSmoother()
    smooth(still(20), smoother)
    smoother.reset()
    np.testing.assert_allclose(smoother.update(SHAPE * 2, 5.0), SHAPE * 2, rtol=1e-6)


def test_three_dimensions_work_as_two():
    points = np.column_stack([SHAPE, np.linspace(-5, 5, 5)])
    measured = still(60, points=points)
    after = smooth(measured)
    assert after.shape == (60, 5, 3)
    assert np.diff(after[20:], axis=0).std() < 0.3 * np.diff(measured[20:], axis=0).std()


def test_state_goes_through_json_and_gives_the_same_future():
    measured = still(40)
    whole = smooth(measured)
    first = PointSmoother()
    smooth(measured[:20], first)
    second = PointSmoother()
    second.restore(json.loads(json.dumps(first.state())))
    rest = [second.update(p, i / RATE) for i, p in enumerate(measured[20:], start=20)]
    np.testing.assert_array_equal(np.stack(rest), whole[20:])
    empty = PointSmoother()
    empty.restore(json.loads(json.dumps(PointSmoother().state())))
    assert empty.update(None, 0.0) is None


def test_the_weight_of_the_paper():
    # r = 2 pi f dt, a = r / (1 + r): at 1 Hz and 1/(2 pi) s the new value weighs one half.
    assert smoothing_factor(1.0, 1 / (2 * np.pi)) == pytest.approx(0.5)
    assert smoothing_factor(1e9, 1.0) == pytest.approx(1.0)


def test_time_must_advance_and_shapes_must_stay():
    one_euro = OneEuroFilter()
    one_euro(SHAPE, 1.0)
    with pytest.raises(ValueError, match=r"after 1\.0 s"):
        one_euro(SHAPE, 1.0)
    with pytest.raises(ValueError, match=r"\(4, 2\)"):
        one_euro(SHAPE[:4], 2.0)


@pytest.mark.parametrize(
    "options", [{"min_cutoff_hz": 0.0}, {"beta": -1.0}, {"bridge_s": -0.1}, {"speed_cutoff_hz": float("nan")}]
)
def test_options_out_of_range_are_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SmoothingOptions(**options)
