from __future__ import annotations

import pytest

from hififace.swap.stages import StageClock


def test_stages_add_up_in_order_even_when_they_fail():
    clock = StageClock()
    with clock("generate"):
        pass
    first = clock.timings_ms["generate"]
    with pytest.raises(KeyError), clock("paste"):
        raise KeyError
    with clock("generate"):
        sum(range(1000))
    assert list(clock.timings_ms) == ["generate", "paste"]
    assert clock.timings_ms["generate"] > first >= 0.0
