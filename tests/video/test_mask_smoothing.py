from __future__ import annotations

import json
import math

import numpy as np
import pytest

from hififace.video.mask_smoothing import MaskSmoother, MaskSmoothingOptions, TrackMasks

SIDE = 48


def disc(radius=14.0, noise=0.0, seed=0):
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    mask = np.clip((radius - np.hypot(x, y)) / 4 + 0.5, 0, 1)
    return np.clip(mask + np.random.default_rng(seed).normal(0, noise, mask.shape), 0, 1).astype(np.float32)


def test_the_first_mask_passes_unchanged():
    np.testing.assert_allclose(MaskSmoother().update(disc(), 0.0), disc(), atol=1 / 65535)


def test_a_still_mask_with_noise_becomes_steadier_and_stays_in_its_place():
    smoother = MaskSmoother()
    raw = [disc(noise=0.1, seed=n) for n in range(60)]
    steady = [smoother.update(mask, n / 25) for n, mask in enumerate(raw)][20:]
    assert np.diff(steady, axis=0).std() < 0.35 * np.diff(raw, axis=0).std()
    assert np.abs(np.mean(steady, axis=0) - np.mean(raw, axis=0)).mean() < 0.01


def test_one_step_of_a_small_change_is_that_of_the_low_pass():
    options = MaskSmoothingOptions(min_cutoff_hz=2.0, dead_change=0.05)
    smoother = MaskSmoother(options)
    smoother.update(np.full((8, 8), 0.5), 0.0)
    ratio = 2 * math.pi * 2.0 * 0.04
    wanted = 0.5 + ratio / (1 + ratio) * 0.04
    np.testing.assert_allclose(smoother.update(np.full((8, 8), 0.54), 0.04), wanted, atol=1e-4)


def test_a_hand_before_the_face_is_followed_at_once():
    smoother = MaskSmoother()
    for n in range(10):
        smoother.update(disc(), n / 25)
    hidden = disc()
    hidden[:, :24] = 0
    after = smoother.update(hidden, 10 / 25)
    inside = disc() > 0.99
    inside[:, 22:] = False
    assert after[inside].max() < 0.1


def test_after_a_gap_or_with_another_size_nothing_old_is_mixed_in():
    smoother = MaskSmoother(MaskSmoothingOptions(forget_s=0.25))
    smoother.update(np.zeros((8, 8)), 0.0)
    assert smoother.is_stale(0.3)
    assert smoother.update(np.ones((8, 8)), 0.3).min() == 1.0
    assert smoother.update(np.full((4, 4), 0.5), 0.32).shape == (4, 4)


def test_state_goes_through_json_to_the_last_bit():
    masks = TrackMasks()
    for n in range(5):
        masks.update(3, disc(noise=0.1, seed=n), n / 25)
    again = TrackMasks()
    again.restore(json.loads(json.dumps(masks.state())))
    following = disc(noise=0.1, seed=9)
    np.testing.assert_array_equal(masks.update(3, following, 0.2), again.update(3, following, 0.2))


def test_tracks_are_apart_and_are_forgotten_when_they_are_gone():
    masks = TrackMasks()
    masks.update(0, np.zeros((8, 8)), 0.0)
    assert masks.update(1, np.ones((8, 8)), 0.04).min() == 1.0
    masks.forget(0.26)
    assert list(masks.state()) == ["1"]
    masks.cut()
    assert masks.state() == {}
    assert masks.update(1, np.zeros((8, 8)), 0.08).max() == 0.0


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="out of range"):
        MaskSmoothingOptions(min_cutoff_hz=0)
