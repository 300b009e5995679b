from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hififace.evaluation.breakdown import LEAST_PAIRS, by_group, shares_moved, skin_tones
from hififace.evaluation.measure import Measured
from hififace.evaluation.moved import fit_shape_model
from hififace.evaluation.pairs import Pair
from hififace.evaluation.photos import Photo, PhotoSet
from hififace.evaluation.scenes import Scene
from hififace.faces.shape import load_shape_basis
from tests.support.evaluation_doubles import description, face_of_68

FRONTAL = 60 * load_shape_basis().mean
NOBODY = np.zeros(2, np.float32)


def photo(key, identity=None, group=None, gender=None):
    return Photo(key, identity, Path("s.tar"), 0, 1, f"hash-{key}", group, gender)


def row(points68=None, **values):
    points = np.full((68, 2), np.nan, np.float32) if points68 is None else points68
    return Measured(values, NOBODY, NOBODY, NOBODY, points)


def test_groups_by_label_and_where_there_is_none_by_tone():
    target = photo("t")
    pairs = [(Pair(photo("a", "1"), target, 0), row(dlib_same=100.0, dlib_source=0.4))] * LEAST_PAIRS
    pairs += [(Pair(photo("b", "2"), target, 1), row(dlib_same=0.0, dlib_source=0.7))] * LEAST_PAIRS
    pairs += [
        (Pair(photo("c", group="east", gender="male"), target, -1), row(dlib_same=50.0, dlib_source=0.6))
    ]
    found = by_group(pairs, {"1": "light", "2": "dark"})
    assert found["dlib_same[tone light]"].mean == 100
    assert found["dlib_same[tone dark]"].mean == 0
    assert found["dlib_source[group east]"] == found["dlib_source[gender male]"]
    assert found["dlib_same[worst]"] == found["dlib_same[tone dark]"]  # the group of one pair is chance
    assert "tone" not in "".join(name for name in found if "east" in name)


def test_one_group_alone_is_not_the_worst():
    found = by_group([(Pair(photo("a", "1"), photo("t"), 0), row(dlib_same=1.0))] * 20, {"1": "light"})
    assert "dlib_same[worst]" not in found


def test_occluders_are_told_one_by_one():
    pairs = [
        (Pair(photo("a"), photo("t"), 0, Scene(occluder=name)), row(occluder_change=change))
        for name, change in (("bar", 2.0), ("bar", 4.0), ("mask", 9.0))
    ]
    found = by_group(pairs, {})
    assert (found["occluder_change[bar]"].mean, found["occluder_change[mask]"].mean) == (3.0, 9.0)


def test_tones_are_the_median_of_a_persons_photos():
    photos = PhotoSet(tuple(photo(f"{who}{n}", who) for who in "ab" for n in range(3)), ())
    angles = {"a0": 60.0, "a1": 50.0, "a2": -40.0, "b0": -30.0, "b1": float("nan"), "b2": 5.0}
    known = {
        f"hash-{key}": description(FRONTAL)._replace(skin_tone_deg=np.array(angle, np.float32))
        for key, angle in angles.items()
    }
    assert skin_tones(photos, known) == {"a": "light", "b": "dark"}


def test_a_jaw_half_way_and_lids_of_the_target():
    """Result: half of the source's jaw, everything else the target's."""
    random = np.random.default_rng(1)

    def face(jaw, lids):
        points = face_of_68().copy()
        points[:17, 0] = 0.5 + (points[:17, 0] - 0.5) * jaw
        points[[37, 38, 43, 44], 1] -= lids
        return (200 * points + 20).astype(np.float32)

    pairs, known = [], {}
    for number in range(40):
        wide = random.uniform(0.8, 1.2, 2)
        lids = random.uniform(-0.02, 0.04, 2)
        source, target = photo(f"s{number}"), photo(f"t{number}")
        known[source.sha256] = description(FRONTAL)._replace(points68=face(wide[0], lids[0]))
        known[target.sha256] = description(FRONTAL)._replace(points68=face(wide[1], lids[1]))
        pairs.append((Pair(source, target, number), row(face(wide.mean(), lids[1]))))
    found = shares_moved(pairs, known, fit_shape_model(list(known.values())))
    assert found["moved_jaw"].mean == pytest.approx(50, abs=0.1)
    assert found["lids_leak"].mean == pytest.approx(0, abs=0.1)
    assert found["lids_kept"].mean == pytest.approx(100, abs=0.1)
    assert found["moved_eyes"].mean == pytest.approx(0, abs=0.1)
    assert found["moved_jaw"].num == 40
