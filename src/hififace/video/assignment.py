"""The assignment problem: who goes with whom at the least total cost. A few faces a frame; no scipy needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FORBIDDEN = 1e6
"""A cost at or above it is never assigned."""


def assign(costs: NDArray[np.floating]) -> list[tuple[int, int]]:
    """Pairs (row, column) that cost least together, by the Hungarian method with potentials, O(n³).

    Args:
        costs: (R, C); entries of `FORBIDDEN` or more, or not finite, are pairs that must not be.

    Returns:
        At most min(R, C) pairs by rising row; forbidden ones are left out.
    """
    table = np.asarray(costs, np.float64)
    if table.size == 0:
        return []
    table = np.where(np.isfinite(table) & (table < FORBIDDEN), table, FORBIDDEN)
    if table.shape[0] > table.shape[1]:
        return sorted((row, column) for column, row in assign(table.T))
    num_rows, num_columns = table.shape
    row_price, column_price = np.zeros(num_rows + 1), np.zeros(num_columns + 1)
    # owner[c] is the row (from 1) that column c (from 1) goes to; column 0 holds the row being placed.
    owner = np.zeros(num_columns + 1, np.int64)
    for row in range(1, num_rows + 1):
        owner[0] = row
        _place(table, row_price, column_price, owner)
    pairs = [(int(owner[c]) - 1, c - 1) for c in range(1, num_columns + 1) if owner[c]]
    return sorted((r, c) for r, c in pairs if table[r, c] < FORBIDDEN)


def _place(
    table: NDArray[np.float64],
    row_price: NDArray[np.float64],
    column_price: NDArray[np.float64],
    owner: NDArray[np.int64],
) -> None:
    """Find the cheapest augmenting path (Dijkstra over reduced costs) for the row in column 0, and follow it."""
    num = len(column_price)
    distance, previous, used = np.full(num, np.inf), np.zeros(num, np.int64), np.zeros(num, bool)
    column = 0
    while owner[column]:
        used[column] = True
        row = owner[column]
        reduced = table[row - 1] - row_price[row] - column_price[1:]
        better = ~used[1:] & (reduced < distance[1:])
        distance[1:][better], previous[1:][better] = reduced[better], column
        nearest = int(np.argmin(np.where(used[1:], np.inf, distance[1:]))) + 1
        step = distance[nearest]
        row_price[owner[used]] += step
        column_price[used] -= step
        distance[~used] -= step
        column = nearest
    while column:
        owner[column] = owner[previous[column]]
        column = int(previous[column])
