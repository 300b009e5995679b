"""File names in narrow places."""

from __future__ import annotations

from html import escape
from typing import Final

_END: Final = 5
"""Characters at the end of a name that are always shown: files of one camera differ there."""


def name_html(name: str, most: int, tag: str = "span") -> str:
    """A name of at most `most` characters, cut in its middle where it is longer."""
    shown = name if len(name) <= most else f"{name[: most - _END - 1]}…{name[-_END:]}"
    return f'<{tag} class="hf-name">{escape(shown)}</{tag}>'
