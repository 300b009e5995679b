from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from annotated_types import Interval
from typer.testing import CliRunner

from hififace.cli.option_flags import Flags, Text, takes_options
from hififace.errors import OptionError
from hififace.option_fields import check


@dataclass(frozen=True, slots=True)
class Baking:
    """Made up."""

    heat_deg: Annotated[float, Interval(ge=0, le=300)] = 180.0
    """How hot, in degrees."""
    salted: bool = True
    """With salt."""
    sliced: bool = False
    """In slices."""
    rest: int | None = None
    """Minutes of rest."""
    agreed: bool | None = None
    """Whether all agreed."""

    def __post_init__(self) -> None:
        check(self)


def run(*words: str, whole: bool = True) -> tuple[Any, str]:
    got: list[Any] = []

    @takes_options(
        baking=Flags(
            Baking,
            {"Panel": ("heat_deg", "salted", "sliced", "rest", "agreed")},
            names={"agreed": "--all-agreed"},
            texts={"rest": Text("5m", lambda text, flag: int(text.removesuffix("m")))},
            whole=whole,
        )
    )
    def bake(*, name: Annotated[str, typer.Argument()] = "bread", baking: Baking) -> None:
        """Bake."""
        got.append((name, baking))

    app = typer.Typer()
    app.command()(bake)
    result = CliRunner().invoke(app, list(words), env={"COLUMNS": "200", "TERM": "dumb"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return (got[0] if got else None), result.output


def test_flags_make_the_options():
    assert run() == (("bread", Baking()), "")
    words = ["cake", "--heat", "200", "--no-salted", "--sliced", "--rest", "5m", "--all-agreed"]
    assert run(*words)[0] == ("cake", Baking(200.0, False, True, 5, True))


def test_a_dictionary_is_for_a_command_that_adds_to_it():
    assert run("--sliced", whole=False)[0] == ("bread", {"heat_deg": 180.0, "salted": True, "sliced": True})


def test_help_is_that_of_the_fields_with_bounds_and_defaults():
    told = " ".join(run("--help")[1].split())
    for words in ("--heat NUMBER 0..300", "How hot, in degrees.", "180.0", "--no-salted", "With salt.", "5m"):
        assert words in told


def test_bounds_are_those_of_the_class():
    with pytest.raises(OptionError, match="heat_deg is 301"):
        run("--heat", "301")
