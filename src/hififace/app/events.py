"""Events that reach the server in order, and buttons that wait for them: the Python side of `assets/events.js`."""

from __future__ import annotations

from typing import Any, Final

from hififace.app.assets import asset
from hififace.app.desk import QUICK

HEAD_SCRIPT: Final = f"<script>{asset('events.js')}</script>"
"""Run before any component's own script."""

ORDERED: Final[dict[str, Any]] = {**QUICK, "trigger_mode": "multiple"}
"""Options of an event that the page sends by `hififace.send`, which waits for the answer to the event before."""

BEGUN: Final = "(...values) => { hififace.begun(); return values; }"
"""JavaScript: `js` of an event that Gradio sends itself, where later events must wait for its answer."""

_ENDED: Final = "() => { hififace.ended(); }"


def ordered(event: Any) -> Any:
    """Let the page send its next event when this one is answered, whether it failed or not; the event comes back."""
    event.then(None, js=_ENDED)
    event.failure(None, js=_ENDED)
    return event


def pressed(button: str, values: str = "values") -> str:
    """JavaScript: `js` of a button's click, which is sent when every earlier event was answered.

    Args:
        button: a name of its own.
        values: an expression for the values that are sent, made from `values`, those of the inputs.
    """
    return f"async (...values) => {{ await hififace.pressed('{button}'); return {values}; }}"
