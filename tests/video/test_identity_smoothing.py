from __future__ import annotations

import json
from typing import cast

import numpy as np
import pytest

from hififace.swap.generate import TargetFace
from hififace.swap.source_map import Source
from hififace.types import Detection, Face
from hififace.video.identity_smoothing import (
    FIRST_EVERY,
    FIRST_FRAMES,
    FORGET_S,
    LATER_EVERY,
    TrackIdentities,
)

SOURCE = Source("source.jpg", {}, np.zeros(4, np.float32))
OTHER = Source("other.jpg", {}, np.zeros(4, np.float32))
NOWHERE = Detection(np.zeros(4, np.float32), 1.0, np.zeros((5, 2), np.float32))


def face(track=0, identity=None):
    features = {} if identity is None else {"identity": np.asarray(identity, np.float32)}
    return TargetFace(Face(track, NOWHERE), np.zeros((2, 2, 3), np.uint8), np.eye(2, 3), features)


class Meter:
    """Measures 1, 2, 3, ... and remembers whom."""

    def __init__(self):
        self.tracks = []

    def __call__(self, faces, sources):
        found = []
        for one in faces:
            self.tracks.append(one.face.index)
            found.append(np.full(4, len(self.tracks), np.float32))
        return found


def run(identities, num_frames, start=0, tracks=(0,)):
    return [
        identities.update([face(t) for t in tracks], [SOURCE] * len(tracks), (start + n) / 25)[1]
        for n in range(num_frames)
    ]


def test_a_track_is_measured_often_at_first_and_seldom_later():
    meter = Meter()
    run(TrackIdentities(meter), FIRST_FRAMES)
    assert len(meter.tracks) == FIRST_FRAMES // FIRST_EVERY
    meter = Meter()
    run(TrackIdentities(meter), FIRST_FRAMES + 3 * LATER_EVERY)
    assert len(meter.tracks) == FIRST_FRAMES // FIRST_EVERY + 3


def test_the_first_measurement_counts_at_once_and_later_ones_are_followed_slowly():
    found = [float(one[0][0]) for one in run(TrackIdentities(Meter()), FIRST_EVERY + 40)]
    assert found[:FIRST_EVERY] == [1.0] * FIRST_EVERY
    steps = np.diff(found[FIRST_EVERY - 1 :])
    # The mean goes from 1 to 1.5, and what is used comes near it without a jump.
    assert 0 < steps.max() < 0.1
    assert found[2 * FIRST_EVERY - 1] > 1.1


def test_nothing_is_measured_where_results_are_not_refined():
    steady, lacks = TrackIdentities(None).update([face()], [SOURCE], 0.0)
    assert len(steady) == 1
    assert lacks is None


def test_a_targets_identity_is_followed_and_stays_of_unit_length():
    identities = TrackIdentities(None)
    shown = [(1, 0, 0, 0)] * 3 + [(0, 1, 0, 0)] * 3
    steady = [
        identities.update([face(identity=one)], [SOURCE], n / 25)[0][0].features["identity"]
        for n, one in enumerate(shown)
    ]
    np.testing.assert_array_equal(steady[2], (1, 0, 0, 0))
    assert 0 < steady[3][1] < 0.2 < steady[3][0]
    assert steady[3][1] < steady[5][1]
    assert np.linalg.norm(steady[5]) == pytest.approx(1.0)


def test_tracks_do_not_mix():
    meter = Meter()
    found = run(TrackIdentities(meter), 3, tracks=(0, 5))
    assert meter.tracks == [0, 5]
    assert [[one[0] for one in lacks] for lacks in found] == [[1.0, 2.0]] * 3


def test_another_source_and_a_long_absence_begin_anew():
    meter = Meter()
    identities = TrackIdentities(meter)
    run(identities, 2)
    identities.update([face()], [OTHER], 0.1)
    assert len(meter.tracks) == 2
    identities.update([face()], [OTHER], 0.1 + FORGET_S + 1.0)
    assert len(meter.tracks) == 3
    assert len(identities.state()) == 1


@pytest.mark.parametrize("stop", [1, 7, 8, 9, 30])
def test_a_state_goes_on_to_the_same_bits(stop):
    meter = Meter()
    whole = TrackIdentities(meter)
    wanted = run(whole, 40, tracks=(0, 1))
    first_meter = Meter()
    first = TrackIdentities(first_meter)
    run(first, stop, tracks=(0, 1))
    second_meter = Meter()
    second_meter.tracks = list(first_meter.tracks)
    second = TrackIdentities(second_meter)
    second.restore(json.loads(json.dumps(first.state())))
    went_on = run(second, 40 - stop, start=stop, tracks=(0, 1))
    for one, other in zip(wanted[stop:], went_on, strict=True):
        np.testing.assert_array_equal(np.stack(cast("list", one)), np.stack(cast("list", other)))
    assert json.dumps(second.state()) == json.dumps(whole.state())


def test_a_state_may_be_stored_before_a_track_is_seen_again():
    identities = TrackIdentities(Meter())
    run(identities, 3)
    again = TrackIdentities(Meter())
    again.restore(json.loads(json.dumps(identities.state())))
    assert again.state() == json.loads(json.dumps(identities.state()))
