"""Flicker by values worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hififace.evaluation.temporal import (
    TrackFlicker,
    VideoFlicker,
    successive_variance,
    trusted,
    warping_error,
)


def texture(shift=0):
    """(32, 48, 3) whose columns are all different; `shift` moves them to the right."""
    x = np.arange(48) - shift
    return np.repeat(np.stack([5.0 * x, 200 - 3.0 * x, 0.1 * x**2], axis=1)[None], 32, axis=0)


def flow(dx, dy=0.0):
    return np.broadcast_to(np.array([dx, dy], np.float32), (32, 48, 2)).copy()


def test_values_that_alternate_flicker_and_values_that_rise_slowly_do_not():
    # Differences 0.2, -0.2, 0.2: mean square 0.04, half of it 0.02; the variance is 0.01.
    assert successive_variance([0.4, 0.6, 0.4, 0.6]) == pytest.approx(0.02)
    # Steps of 0.01 through a range of 0.99: variance 0.083, flicker 0.00005.
    rising = np.arange(100) / 100
    assert np.var(rising) == pytest.approx(0.0833, abs=1e-4)
    assert successive_variance(rising) == pytest.approx(0.00005)
    assert successive_variance([0.5]) == 0.0


def test_of_independent_values_it_is_the_variance():
    values = np.random.default_rng(0).normal(0, 0.3, 20_000)
    assert successive_variance(values) == pytest.approx(0.09, rel=0.03)


def test_a_picture_that_moves_as_the_flow_says_has_no_error():
    # Content moves 3 px to the right: this frame's place x was at x - 3.
    where = np.zeros((32, 48), bool)
    where[:, 8:40] = True
    assert warping_error(texture(), texture(3), flow(-3), where) == pytest.approx(0.0, abs=1e-6)
    # Standing still against the flow: columns differ by 15, 9 and 0.1 (x² - (x - 3)²) = 0.6 x - 0.9.
    x = np.arange(8, 40)
    wanted = (15.0**2 + 9.0**2 + np.mean((0.6 * x - 0.9) ** 2)) / 3
    assert warping_error(texture(), texture(), flow(-3), where) == pytest.approx(wanted, rel=1e-5)


def test_a_change_of_brightness_is_its_square_and_only_where_the_flow_is_trusted():
    now = texture(3)
    now[:16] += 4.0
    upper, whole = np.zeros((32, 48), bool), np.zeros((32, 48), bool)
    upper[:16, 8:40] = whole[:, 8:40] = True
    assert warping_error(texture(), now, flow(-3), upper) == pytest.approx(16.0, rel=1e-5)
    assert warping_error(texture(), now, flow(-3), whole) == pytest.approx(8.0, rel=1e-5)


def test_flow_is_trusted_where_forward_and_backward_agree():
    # |b + f|² = 1: more than 0.01 (9 + 4) + 0.5 = 0.63. With 0.5 px apart: 0.25 < 0.01 (9 + 6.25) + 0.5.
    assert not trusted(flow(-3), flow(2)).any()
    agreed = trusted(flow(-3), flow(2.5))
    assert agreed[:, 3:].all()
    # The first three columns came from beyond the image.
    assert not agreed[:, :3].any()


def track(index, num_frames, similarity, error):
    return TrackFlicker(index, num_frames, similarity, similarity / 100, similarity / 1000, error)


def test_a_video_is_the_mean_of_its_tracks_by_their_length():
    video = VideoFlicker(
        Path("a.mp4"), (track(0, 30, 0.8, 3.0), track(1, 10, 0.4, 5.0), track(2, 1, 0.7, None))
    )
    assert video.num_frames == 41
    assert video.similarity == pytest.approx((30 * 0.8 + 10 * 0.4 + 0.7) / 41)
    assert video.similarity_variance == pytest.approx(video.similarity / 100)
    assert video.similarity_flicker == pytest.approx(video.similarity / 1000)
    # Squares are averaged, of the tracks that have an error: (30 * 9 + 10 * 25) / 40 = 13.
    assert video.warping_error == pytest.approx(np.sqrt(13.0))


def test_a_video_without_faces_has_no_numbers():
    video = VideoFlicker(Path("a.mp4"), ())
    assert video.similarity is video.similarity_variance is video.warping_error is None
