"""Pixel arithmetic: literals."""

from __future__ import annotations

import pytest

from hififace.pixels import decibels


@pytest.mark.parametrize(
    ("squared_error", "limits", "expected"),
    [
        (0.01, {}, 20.0),
        (1.0, {"peak": 255.0}, 48.1308),  # one level of 255: 20 log10(255)
        (0.0, {}, 120.0),
        (1e-9, {"peak": 255.0, "ceiling": 60.0}, 60.0),
    ],
)
def test_decibels(squared_error: float, limits: dict[str, float], expected: float):
    assert decibels(squared_error, **limits) == pytest.approx(expected, abs=1e-4)
