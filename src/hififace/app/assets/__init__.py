"""What the browser runs and shows: one style sheet, and a script for each part of the page that Gradio does not have."""

from __future__ import annotations

from importlib.resources import files


def asset(name: str) -> str:
    """The text of a file of this folder."""
    return (files(__name__) / name).read_text(encoding="utf-8")
