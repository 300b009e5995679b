from __future__ import annotations

import itertools
import json

import numpy as np

from hififace.video.blur_smoothing import FORGET_S, TrackBlurs


def run(blurs, values, start=0):
    return [blurs.update(0, value, (start + n) / 25) for n, value in enumerate(values)]


def test_what_trembles_is_steadied_and_what_changes_is_followed():
    noisy = 4 + np.random.default_rng(0).normal(0, 1, 200)
    steady = run(TrackBlurs(), noisy)
    assert np.std(np.diff(steady[20:])) < 0.3 * np.std(np.diff(noisy[20:]))
    pulled = run(TrackBlurs(), [0.0] * 10 + [5.0] * 15)
    assert pulled[9] == 0.0
    assert pulled[-1] > 4.5
    assert all(b >= a for a, b in itertools.pairwise(pulled))


def test_a_cut_and_a_long_absence_begin_anew():
    blurs = TrackBlurs()
    run(blurs, [5.0] * 3)
    blurs.cut()
    assert blurs.update(0, 1.0, 0.12) == 1.0
    assert blurs.update(0, 5.0, 0.12 + FORGET_S + 0.01) == 5.0
    blurs.forget(10.0)
    assert blurs.state() == {}


def test_tracks_do_not_mix_and_a_state_goes_on():
    blurs, again = TrackBlurs(), TrackBlurs()
    run(blurs, [5.0] * 3)
    assert blurs.update(1, 2.0, 0.08) == 2.0
    again.restore(json.loads(json.dumps(blurs.state())))
    assert again.update(0, 1.0, 0.12) == blurs.update(0, 1.0, 0.12) < 5.0
