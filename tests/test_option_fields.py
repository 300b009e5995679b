from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field
from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Interval

from hififace.errors import OptionError
from hififace.option_fields import attribute_texts, check, options_of


@dataclass(frozen=True, slots=True)
class Baking:
    """Made up."""

    heat_deg: Annotated[float, Interval(ge=0, le=300)] = 180.0
    """How hot,
    in degrees."""
    loaves: Annotated[int, Interval(gt=0, lt=10)] = 1
    """How many."""
    rest_s: Annotated[Fraction, Interval(gt=0, le=60)] | None = None
    """How long."""
    flour: Literal["rye", "wheat"] = "rye"
    """Of what."""
    salted: bool = True
    note: str | None = None
    tin: str | int = "round"
    guests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check(self)


def test_fields_tell_everything():
    found = options_of(Baking)
    assert list(found) == [
        "heat_deg", "loaves", "rest_s", "flour", "salted", "note", "tin", "guests"
    ]  # fmt: skip
    heat, rest = found["heat_deg"], found["rest_s"]
    assert (heat.kind, heat.default, heat.help, heat.optional) == (
        float,
        180.0,
        "How hot, in degrees.",
        False,
    )
    assert heat.interval == Interval(ge=0, le=300)
    assert (rest.kind, rest.default, rest.optional) == (Fraction, None, True)
    assert found["flour"].choices == ("rye", "wheat")
    assert found["salted"].help == ""
    assert found["guests"].default is MISSING


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"heat_deg": 301}, "heat_deg is 301; a number from 0 to 300 was expected."),
        ({"heat_deg": math.nan}, "heat_deg is nan; a number from 0 to 300 was expected."),
        ({"heat_deg": "hot"}, "heat_deg is 'hot'; a number from 0 to 300 was expected."),
        ({"heat_deg": True}, "heat_deg is True; a number from 0 to 300 was expected."),
        ({"heat_deg": None}, "heat_deg is None; a number from 0 to 300 was expected."),
        ({"loaves": 1.0}, "loaves is 1.0; a whole number between 0 and 10 was expected."),
        ({"loaves": 10}, "loaves is 10; a whole number between 0 and 10 was expected."),
        ({"rest_s": Fraction(0)}, "rest_s is 0; a number above 0 and up to 60 was expected."),
        ({"flour": "oats"}, "flour is 'oats'; rye or wheat was expected."),
        ({"flour": 1}, "flour is 1; rye or wheat was expected."),
        ({"salted": 1}, "salted is 1; True or False was expected."),
        ({"note": 5}, "note is 5; a text was expected."),
        ({"note": b"x" * 200}, "note is b'" + 75 * "x" + "...; a text was expected."),
    ],
)
def test_what_is_not_accepted_is_named_with_what_was_expected(values: dict[str, Any], sentence: str):
    with pytest.raises(OptionError) as caught:
        Baking(**values)
    assert str(caught.value) == sentence


def test_numbers_of_numpy_are_numbers():
    made = Baking(heat_deg=np.float32(20), loaves=np.int64(3), rest_s=1, tin=7)
    assert made.loaves == 3


def test_without_a_source_there_is_no_help_and_no_harm():
    made = type("Made", (), {"__module__": "nowhere"})
    assert attribute_texts(made) == {}
