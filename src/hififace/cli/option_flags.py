"""Flags made from dataclasses of options: their names, bounds, defaults and help are written once, there.

    @takes_options(options=Flags(SwapOptions, {"How": ("shape_rate", "passes")}))
    def swap(photos: ..., *, options: SwapOptions) -> None: ...

is a command with `--shape-rate` and `--passes`, which is called with the options made of them.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeVar, get_type_hints

import typer

from hififace.option_fields import Option, options_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R")

_UNITS: Final = re.compile("_(px|s|deg)$")
"""At the end of a field's name: the flag leaves it out, the help tells it."""


class Text(NamedTuple):
    """An option that is written on the command line otherwise than in Python."""

    metavar: str
    read: Callable[[str, str], Any]
    """What is typed, and the flag, to a value; raises OptionError."""


@dataclass(frozen=True)
class Flags:
    """Which fields of a dataclass become flags, and where `--help` shows them."""

    options: type[DataclassInstance]
    panels: Mapping[str | None, Sequence[str]]
    """Panel of `--help` -> names of fields."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Field -> flag, where that is not its name with hyphens and without its unit."""
    texts: Mapping[str, Text] = field(default_factory=dict)
    whole: bool = True
    """Make the dataclass; False hands the command a dictionary of its fields, for it to make one with others."""

    def parameters(self) -> Iterator[tuple[str, inspect.Parameter]]:
        """Field, and parameter of the command."""
        known = options_of(self.options)
        for panel, names in self.panels.items():
            for name in names:
                yield name, self._parameter(known[name], panel)

    def make(self, given: Mapping[str, Any]) -> Any:
        """The options of what was given on the command line; what was not stays at its default.

        Args:
            given: parameter -> value.

        Raises:
            OptionError: a value that cannot be read, or is out of its bounds.
        """
        values: dict[str, Any] = {}
        for name, parameter in self.parameters():
            value, option = given[parameter.name], options_of(self.options)[name]
            if value is None or (option.kind is bool and not option.default and not value):
                continue
            values[name] = self.texts[name].read(value, self.flag(name)) if name in self.texts else value
        return self.options(**values) if self.whole else values

    def flag(self, name: str) -> str:
        """The flag of a field."""
        return self.names.get(name) or "--" + _UNITS.sub("", name).replace("_", "-")

    def _parameter(self, option: Option, panel: str | None) -> inspect.Parameter:
        flag, default = self.flag(option.name), None if option.default is MISSING else option.default
        kind: Any = option.kind
        metavar, declared = None, flag
        if option.name in self.texts:
            kind, metavar = str, self.texts[option.name].metavar
        elif option.choices:
            kind, metavar = str, "|".join(map(str, option.choices))
        elif kind is bool and default:
            declared = f"{flag}/--no-{flag.removeprefix('--')}"
        elif kind is bool:
            default = False
        elif option.interval is not None:
            metavar = f"{'INTEGER' if kind is int else 'NUMBER'} {_bounds(option)}"
        asked = typer.Option(declared, help=option.help, rich_help_panel=panel, metavar=metavar)
        hint = kind if default is not None else kind | None
        return inspect.Parameter(
            flag.removeprefix("--").replace("-", "_"),
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[hint, asked],
        )


def takes_options(**flags: Flags) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Gives a command the flags of dataclasses in place of its parameters of these names."""

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        hints = get_type_hints(command, include_extras=True)
        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command).parameters.values():
            if parameter.name in flags:
                parameters += [made for _, made in flags[parameter.name].parameters()]
            else:
                kind = inspect.Parameter.KEYWORD_ONLY
                parameters.append(parameter.replace(annotation=hints[parameter.name], kind=kind))

        @functools.wraps(command)
        def with_flags(**given: Any) -> R:
            made = {name: asked.make(given) for name, asked in flags.items()}
            ours = {parameter.name for asked in flags.values() for _, parameter in asked.parameters()}
            return command(**{name: value for name, value in given.items() if name not in ours}, **made)

        with_flags.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
        with_flags.__annotations__ = {one.name: one.annotation for one in parameters}
        return with_flags

    return decorate


def _bounds(option: Option) -> str:
    bounds = option.interval
    assert bounds is not None
    low: Any = bounds.ge if bounds.ge is not None else bounds.gt
    high: Any = bounds.le if bounds.le is not None else bounds.lt
    return f"{'' if low is None else format(float(low), 'g')}..{'' if high is None else format(float(high), 'g')}"
