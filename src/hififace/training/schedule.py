"""Values that change with the number of images seen: loss weights and learning rates.

Schedules count images, not steps, so that they stay valid when the batch size changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

Knot: TypeAlias = tuple[int, float]
Schedule: TypeAlias = float | tuple[Knot, ...]
"""A constant, or (images, value) knots: linear between them, constant before the first and after the last."""


def check_knots(knots: Sequence[Knot]) -> None:
    """Raises ValueError unless there is a knot and their image counts strictly increase from 0 or more."""
    if not knots:
        raise ValueError("a schedule needs at least one (images, value) knot")
    images = [at for at, _ in knots]
    if images[0] < 0 or any(b <= a for a, b in pairwise(images)):
        raise ValueError(f"the image counts of a schedule must increase from 0 on, found {images}")


def value_at(schedule: Schedule, images: int) -> float:
    """The value of a schedule once `images` images have been seen."""
    if isinstance(schedule, (int, float)):
        return float(schedule)
    before = schedule[0]
    for knot in schedule:
        if images < knot[0]:
            if knot is before:
                return float(knot[1])
            share = (images - before[0]) / (knot[0] - before[0])
            return float(before[1] + share * (knot[1] - before[1]))
        before = knot
    return float(before[1])


def is_ever_positive(schedule: Schedule) -> bool:
    """Whether the schedule is above 0 at any time; the networks of a term that never is are not loaded."""
    if isinstance(schedule, (int, float)):
        return schedule > 0
    return any(value > 0 for _, value in schedule)
