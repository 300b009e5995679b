from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hififace.errors import DataError, FaceError
from hififace.evaluation.description import DescriptionCache
from hififace.evaluation.methods import Entry
from hififace.evaluation.pairs import Pair
from hififace.evaluation.photos import read_photo_set
from hififace.evaluation.scenes import Scene
from hififace.evaluation.work import SwapTask, Worker, Workforce, in_tasks
from hififace.faces.analysis import FaceAnalyser
from tests.support.evaluation_doubles import description, write_dlib_weights, write_validation_shards


@pytest.fixture
def photos(tmp_path, monkeypatch, astronaut_mesh):
    """Two photos, described by hand."""
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path / "home"))
    write_dlib_weights(tmp_path / "home")
    (tmp_path / "data").mkdir()
    first, second = read_photo_set(write_validation_shards(tmp_path / "data")).people[:2]
    cache = DescriptionCache(tmp_path / "cache", "sface")
    for photo in (first, second):
        (face,) = FaceAnalyser(threads=1).analyse(photo.pixels(), ("landmarks",))
        cache.save(
            photo,
            description(face.landmarks.points)._replace(
                box=face.detection.box, points5=face.detection.points
            ),
        )
    return first, second


class Refuses:
    def swap(self, source, target):
        raise FaceError("The face is turned away.")


def worked(task, cache_folder):
    with Workforce(1, cache_folder) as force:
        (outcomes,) = force.work_through(Worker.swap, [task])
    return outcomes


def test_groups_keep_their_order():
    assert in_tasks(range(5), 2) == [(0, 1), (2, 3), (4,)]
    assert in_tasks([], 2) == []


def test_a_refused_pair_is_an_outcome_and_the_rest_goes_on(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Entry, "open", lambda entry: Refuses())
    pairs = (Pair(photos[0], photos[1], 0), Pair(photos[1], photos[0], 1))
    outcomes = worked(SwapTask(Entry("bundle", Path("nowhere")), pairs, False), tmp_path / "cache")
    assert [one.refusal for one in outcomes] == ["The face is turned away."] * 2
    assert all(one.measured is None for one in outcomes)


def test_rows_of_a_baseline_are_kept_and_made_again_when_damaged(photos, tmp_path):
    task = SwapTask(Entry("copy"), (Pair(photos[0], photos[1], 0),), False)

    def run():
        return worked(task, tmp_path / "cache")[0].measured

    first = run()
    (kept,) = (tmp_path / "cache").glob("baselines-*/copy/*.npz")
    second = run()
    assert second.values == first.values
    np.testing.assert_array_equal(second.sface, first.sface)
    kept.write_bytes(b"damaged")
    assert run().values == first.values
    assert kept.read_bytes() != b"damaged"


def test_a_description_that_has_gone_is_said(photos, tmp_path):
    with pytest.raises(DataError, match="has gone from"):
        worked(SwapTask(Entry("copy"), (Pair(photos[0], photos[1], 0),), False), tmp_path / "empty")


def test_a_scene_is_described_once_and_measured_beside_its_twin(photos, tmp_path):
    """A copy of a dim target differs from a quarter of the bright one by rounding alone; frames on the source are not
    in it; an occluder is untouched."""
    cache = tmp_path / "cache"
    pairs = (
        Pair(photos[0], photos[1], 0, Scene(gain=0.25)),
        Pair(photos[0], photos[1], 0, source_scene=Scene(occluder="glasses")),
        Pair(photos[0], photos[1], 0, Scene(occluder="glasses")),
    )
    # The double's descriptions lack numbers that real ones have: rows of both do not go into one file.
    dim, framed, occluded = (
        worked(SwapTask(Entry("copy"), (pair,), False), cache)[0].measured.values for pair in pairs
    )
    assert 0.3 < dim["dim_error"] < 1.5
    assert framed["frames_leak"] == framed["frames_seen"] == 0
    assert occluded["frames_kept"] == 100
    names = {path.name for path in cache.rglob(f"{photos[1].sha256}*.npz")}
    assert names == {f"{photos[1].sha256}{tag}.npz" for tag in ("", "-gain0.25", "-glasses")}
