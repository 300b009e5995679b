"""The literature's measures, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.evaluation.papers.facts import ClipFacts
from hififace.evaluation.papers.measures import Gallery, PairFacts, summarise, told_apart


def clip(**facts: list[list[float]]) -> ClipFacts:
    named = {name.replace("__", "."): np.array(rows, np.float32) for name, rows in facts.items()}
    found = ~np.isnan(np.concatenate(list(named.values()), axis=1)).any(axis=1)
    num = len(found)
    return ClipFacts(found, np.zeros((num, 4)), np.zeros((num, 5, 2)), np.zeros((num, 2)), named)


NOTHING = [float("nan")] * 2


def test_retrieval_asks_all_frames_of_all_sources():
    """The nearest frame decides, wherever it lies in its clip; frames without a face are nobody's."""
    sources = {
        "a": clip(identity__x=[[1, 0], NOTHING, [0.6, 0.8]]),
        "b": clip(identity__x=[[0, 1]]),
        "c": clip(identity__x=[[-1, 0]]),
    }
    gallery = Gallery.of(sources, "identity.x")
    vectors = np.array([[0.8, 0.6], [0.1, 0.99], [-0.9, 0.1]], np.float32)
    assert gallery.ranks(vectors, "a").tolist() == [0, 1, 2]
    assert gallery.ranks(vectors, "b").tolist() == [1, 0, 1]


def test_a_tie_is_a_miss():
    gallery = Gallery.of({"a": clip(identity__x=[[1, 0]]), "b": clip(identity__x=[[1, 0]])}, "identity.x")
    assert gallery.ranks(np.array([[1, 0]], np.float32), "a").tolist() == [1]


def test_real_frames_are_looked_for_among_the_others():
    sources = {
        "a": clip(identity__x=[[1, 0], [0.8, 0.6]]),
        "b": clip(identity__x=[[0, 1], [0.7, 0.714]]),
    }
    # a1 -> a2 (0.8 against 0.7), a2 -> b2 (0.988 against 0.8), b1 -> b2 (0.714 against 0.6), b2 -> a2
    assert told_apart(sources, "identity.x") == 50.0
    assert told_apart({"a": clip(identity__x=[[1, 0]])}, "identity.x") is None


def test_distances_ask_the_right_side():
    nan = float("nan")
    pair = PairFacts(
        "s",
        {"shape.n": np.array([1.0, 1.0]), "pose.n": np.zeros(3), "expression.n": np.zeros(2)},
        {
            "shape.n": np.full((2, 2), 9.0, np.float32),
            "pose.n": np.array([[10, 0, 0], [0, 5, 0]], np.float32),
            "expression.n": np.array([[1, 1], [1, 1]], np.float32),
        },
        {
            "shape.n": np.array([[4, 5], [nan, nan]], np.float32),
            "pose.n": np.array([[13, 4, 0], [0, 5, 12]], np.float32),
            "expression.n": np.array([[1, 1], [1, 4]], np.float32),
        },
    )
    found = summarise([pair], {}, {})
    assert (found["shape.n"].mean, found["shape.n"].num) == (5.0, 1)  # to the source
    assert found["pose.n"].mean == pytest.approx((5 + 12) / 2)  # to the target
    assert found["expression.n"].mean == pytest.approx(1.5)


def test_the_error_is_over_pairs_not_frames():
    def pair(values: list[float]) -> PairFacts:
        rows = np.array([[v, 0.0, 0.0] for v in values], np.float32)
        return PairFacts("s", {}, {"pose.n": np.zeros_like(rows)}, {"pose.n": rows})

    found = summarise([pair([1, 1, 1]), pair([3, 3, 3])], {}, {})
    assert found["pose.n"].mean == 2.0
    assert found["pose.n"].standard_error == pytest.approx(1.0)  # of 1 and 3: sqrt(2) / sqrt(2)
    assert found["pose.n"].num == 6


def test_fid_of_the_real_images_themselves_is_nought():
    random = np.random.default_rng(0)
    rows = random.normal(size=(6, 4)).astype(np.float32)
    real = {
        "a": clip(features__inception=rows[:3].tolist()),
        "b": clip(features__inception=rows[3:].tolist()),
    }
    pairs = [
        PairFacts(name, {}, one.facts, {"features.inception": one.facts["features.inception"]})
        for name, one in real.items()
    ]
    assert summarise(pairs, {}, real)["fid"].mean == pytest.approx(0, abs=1e-9)
    moved = [
        pair._replace(result={"features.inception": pair.result["features.inception"] + 2}) for pair in pairs
    ]
    assert summarise(moved, {}, real)["fid"].mean == pytest.approx(16)
