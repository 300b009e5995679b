"""How long each stage of a swap took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageClock:
    """Adds up milliseconds by stage.

    Attributes:
        timings_ms: stage -> milliseconds, in the order in which the stages first ran.
    """

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a block; stages that run several times are added up."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - began) * 1e3
            self.timings_ms[stage] = self.timings_ms.get(stage, 0.0) + spent
