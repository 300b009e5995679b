"""File names in narrow places."""

from __future__ import annotations

from html import escape
from typing import Final

_END: Final = 7
"""Characters at the end of a name that are always shown: a number, and what kind of file it is."""


def name_html(name: str, tag: str = "span") -> str:
    """A name that is cut in its middle where it does not fit, since files of one camera differ at the end."""
    start, end = (name[:-_END], name[-_END:]) if len(name) > _END + 3 else (name, "")
    tail = f"<span>{escape(end)}</span>" if end else ""
    return f'<{tag} class="hf-name"><span>{escape(start)}</span>{tail}</{tag}>'
