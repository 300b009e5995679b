"""Controls of the page, made from the options of the library: label, bounds and default are written once, there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from hififace.option_fields import Option, options_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def controls(kind: type[DataclassInstance], names: Sequence[str]) -> list[Any]:
    """A component for each of these fields of a dataclass: a slider for a number within bounds, a box for yes or no."""
    return [_control(options_of(kind)[name]) for name in names]


def made_of(kind: type[DataclassInstance], names: Sequence[str], values: Sequence[Any]) -> Any:
    """The dataclass of what its controls hold; programs send what they like in their place.

    Raises:
        OptionError: a value of another kind, or out of its bounds.
    """
    known = options_of(kind)
    return kind(**{name: _whole(known[name], value) for name, value in zip(names, values, strict=True)})


def _control(option: Option) -> Any:
    # "Face shape: 1 the source's, ...": a short label, and what it means below it.
    label, _, info = option.help.removesuffix(".").partition(": ")
    about: dict[str, Any] = {
        "label": label,
        "info": f"{info[:1].upper()}{info[1:]}." if info else None,
        "elem_id": f"option-{option.name.replace('_', '-')}",
    }
    if option.kind is bool:
        return gr.Checkbox(option.default, **about)
    bounds: Any = option.interval
    step = 1 if option.kind is int else 0.05 if bounds.le <= 1 else 0.5
    return gr.Slider(bounds.ge, bounds.le, option.default, step=step, **about)


def _whole(option: Option, value: Any) -> Any:
    """Browsers know one kind of number."""
    return int(value) if option.kind is int and isinstance(value, float) and value.is_integer() else value
