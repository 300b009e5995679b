"""Options written once: name, kind, default, bounds and help text are read from the fields of a dataclass.

    @dataclass(frozen=True, slots=True)
    class SwapOptions:
        shape_rate: Annotated[float, Interval(ge=0, le=1)] = 1.0
        '''Face shape: 1 the source's, 0 the target's, between them a mixture.'''

        def __post_init__(self) -> None:
            check(self)

The command line (`cli/option_flags.py`), the page (`app/controls.py`) and the service (`server/schemas.py`) make their
flags, controls and models from `options_of`.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import types
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval

from hififace.errors import OptionError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_NUMBERS: Final = (int, float, Fraction)


@dataclass(frozen=True, slots=True)
class Option:
    """One field of a dataclass of options."""

    name: str
    kind: Any
    """Its type, without bounds and without None."""
    optional: bool
    """Whether None is a value of it."""
    default: Any
    """`dataclasses.MISSING` where it has to be given, or is made anew each time."""
    help: str
    """The text behind the field, on one line."""
    interval: Interval | None = None
    """Bounds of a number."""
    choices: tuple[Any, ...] = ()
    """Of a `Literal`."""

    @property
    def expected(self) -> str:
        """What a value has to be, for a sentence such as "a whole number from 1 to 10 was expected"."""
        if self.choices:
            *most, last = map(str, self.choices)
            return f"{', '.join(most)} or {last} was expected"
        if self.kind is bool:
            return "True or False was expected"
        if self.kind is str:
            return "a text was expected"
        noun = "a whole number" if self.kind is int else "a number"
        bounds = self.interval or Interval()
        if bounds.gt is not None and bounds.lt is not None:
            return f"{noun} between {_plain(bounds.gt)} and {_plain(bounds.lt)} was expected"
        words = [noun]
        if bounds.ge is not None:
            words.append(f"from {_plain(bounds.ge)}")
        if bounds.gt is not None:
            words.append(f"above {_plain(bounds.gt)}")
        if bounds.le is not None:
            words.append(
                f"to {_plain(bounds.le)}" if bounds.ge is not None else f"and up to {_plain(bounds.le)}"
            )
        return " ".join([*words, "was expected"])

    def accepts(self, value: Any) -> bool:
        """Whether a value is of the kind and within the bounds; of kinds that are not known here, all are."""
        if value is None:
            return self.optional
        if self.choices:
            return any(type(value) is type(choice) and value == choice for choice in self.choices)
        if self.kind is bool or self.kind is str:
            return isinstance(value, self.kind)
        if self.kind not in _NUMBERS:
            return True
        fits = isinstance(value, Integral if self.kind is int else Real) and not isinstance(value, bool)
        return fits and _within(value, self.interval or Interval())


@lru_cache(maxsize=64)
def options_of(kind: type[DataclassInstance]) -> Mapping[str, Option]:
    """The options of a dataclass, by name, in their order."""
    hints, told = get_type_hints(kind, include_extras=True), attribute_texts(kind)
    return types.MappingProxyType(
        {f.name: _option(f, hints[f.name], told.get(f.name, "")) for f in dataclasses.fields(kind)}
    )


def check(options: DataclassInstance) -> None:
    """Checks every number, word and truth value of a dataclass of options; call it in `__post_init__`.

    Raises:
        OptionError: names the first that is of another kind or out of its bounds.
    """
    for name, option in options_of(type(options)).items():
        value = getattr(options, name)
        if not option.accepts(value):
            raise OptionError(f"{name} is {shown(value)}; {option.expected}.")


def shown(value: Any) -> str:
    """A value in a sentence: numbers plain, all else as Python writes it, and not at any length."""
    text = str(value) if isinstance(value, Real) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


@lru_cache(maxsize=64)
def attribute_texts(kind: type) -> Mapping[str, str]:
    """The text behind each attribute of a class, as documentation tools read it; none where there is no source."""
    try:
        source = inspect.getsource(inspect.getmodule(kind) or kind)
    except (OSError, TypeError):  # an application frozen to byte code: flags work, without help
        return {}
    bodies = [
        node.body
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    ]
    told: dict[str, str] = {}
    for body in bodies:
        for one, following in pairwise(body):
            if (
                isinstance(one, ast.AnnAssign)
                and isinstance(one.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                told[one.target.id] = " ".join(str(following.value.value).split())
    return types.MappingProxyType(told)


def _option(field: dataclasses.Field[Any], hint: Any, told: str) -> Option:
    parts = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
    kinds = [part for part in parts if part is not type(None)]
    # Of several kinds (a number or a photo, say) the class itself checks which is meant.
    kind = kinds[0] if len(kinds) == 1 else hint
    interval = None
    if get_origin(kind) is Annotated:
        interval = next((one for one in kind.__metadata__ if isinstance(one, Interval)), None)
        kind = kind.__origin__
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    return Option(field.name, kind, len(kinds) < len(parts), field.default, told, interval, choices)


def _within(value: Any, bounds: Interval) -> bool:
    inside = (
        value == value,  # not NaN
        abs(value) != float("inf"),
        bounds.ge is None or value >= bounds.ge,
        bounds.gt is None or value > bounds.gt,
        bounds.le is None or value <= bounds.le,
        bounds.lt is None or value < bounds.lt,
    )
    return all(inside)


def _plain(bound: Any) -> str:
    return f"{float(bound):g}"
