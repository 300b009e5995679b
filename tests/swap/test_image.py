"""What is said of a swapped image."""

from __future__ import annotations

import pytest

from hififace.swap.image import failure


@pytest.mark.parametrize(
    ("to_source", "to_target", "said"),
    [
        (0.6, 0.25, ""),
        (0.25, 0.22, ""),
        (0.3, 0.45, "more like the target than like the source (similarity 0.30 to the source, 0.45"),
        (0.15, 0.1, "like neither"),
        (-0.1, 0.1, "like neither"),
    ],
)
def test_a_failed_face_is_told_about_with_its_figures(to_source: float, to_target: float, said: str):
    assert said in failure(to_source, to_target)
    assert bool(failure(to_source, to_target)) == bool(said)
