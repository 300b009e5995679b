"""A part of the page that is folded away at first, while all it holds is there from the beginning.

Gradio's Accordion builds its contents when it is opened for the first time. What a visitor types in the tenth of a
second after that, while an answer of the server arrives, falls back to its default.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, Literal

import gradio as gr

from hififace.app.assets import asset


@contextmanager
def fold(title: str, elem_id: str, *, visible: bool | Literal["hidden"] = True) -> Iterator[Any]:
    """The parts made within are its contents. Hide it with `visible="hidden"`: what is taken away forgets its values."""
    inside = f"{elem_id}-inside"
    head = (
        f'<button type="button" class="hf-fold-head" aria-expanded="false" aria-controls="{inside}">'
        f"{escape(title)}</button>"
    )
    with gr.Column(elem_id=elem_id, elem_classes=["hf-block", "hf-fold"], visible=visible) as box:
        gr.HTML(head, js_on_load=asset("fold.js"), apply_default_css=False)
        with gr.Column(elem_id=inside, elem_classes="hf-fold-inside"):
            yield box
