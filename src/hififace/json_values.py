"""JSON from files that anybody may have written, read so that nothing but a `ValueError` can come of it."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["parse_json", "parse_json_object"]


def parse_json(text: str | bytes) -> Any:
    """The value that a JSON text stands for.

    Raises:
        ValueError: not JSON, not UTF-8, or nested so deeply that reading it exhausts the stack.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_json_object(text: str | bytes) -> dict[str, Any]:
    """`parse_json` of a text that must hold an object.

    Raises:
        ValueError: as `parse_json`, or it holds something else.
    """
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError(f"it holds a {type(value).__name__}; an object was expected")
    return value
