"""The assignment problem, against trying everything."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from hififace.video.assignment import FORBIDDEN, assign


def cheapest(costs):
    rows, columns = costs.shape
    if rows > columns:
        return cheapest(costs.T)
    return min(sum(costs[r, c] for r, c in enumerate(order)) for order in permutations(range(columns), rows))


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (5, 2), (6, 6), (1, 4)])
def test_no_other_assignment_costs_less(shape):
    rng = np.random.default_rng(0)
    for _ in range(30):
        costs = rng.uniform(-1, 1, shape)
        pairs = assign(costs)
        assert len(pairs) == min(shape)
        assert len({r for r, _ in pairs}) == len({c for _, c in pairs}) == len(pairs)
        assert sum(costs[r, c] for r, c in pairs) == pytest.approx(cheapest(costs))


def test_greed_would_cost_more():
    # The best single pair (0, 0) forces the worst one.
    assert assign(np.array([[0.0, 1.0], [1.0, 10.0]])) == [(0, 1), (1, 0)]


def test_forbidden_pairs_are_left_out():
    assert assign(np.array([[FORBIDDEN, 0.5], [np.inf, FORBIDDEN]])) == [(0, 1)]
    assert assign(np.array([[np.nan]])) == []


def test_as_many_allowed_pairs_as_can_be():
    # 0 would rather have column 0, but it is the only one that 1 may have.
    assert assign(np.array([[0.1, 0.9], [0.2, FORBIDDEN]])) == [(0, 1), (1, 0)]


def test_nothing_to_assign():
    assert assign(np.zeros((0, 3))) == []
    assert assign(np.zeros((3, 0))) == []
