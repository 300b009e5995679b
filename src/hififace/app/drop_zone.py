"""Boxes that take files, by any way people have: drop, choose, paste, camera, or an example."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import gradio as gr

from hififace.app.assets import asset
from hififace.app.examples import Example, example_thumbnail
from hififace.app.icons import icon
from hififace.app.names import name_html

_NAME_LENGTH: Final = 16
"""Characters of a file's name that fit beside its buttons."""

_TURNS = itertools.count()
"""No two answers are equal: the page draws a box anew, and ends its waiting, only where its HTML is another one."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What lies in a box for one file."""

    name: str
    told: str
    """A line below the name: size, length."""
    thumbnail: str = ""
    """A data URL; none shows an icon."""


@dataclass(frozen=True, slots=True)
class DropZone:
    """How a box is drawn, empty or not.

    `value` makes its HTML; the component tells `upload` (`event.files`), `clear` and `example` (`event.name`).
    """

    elem_id: str
    words: str
    """What is wanted: `Add photos of one person`."""
    accept: str
    most_mb: float
    many: bool = False
    camera: bool = False
    examples: tuple[Example, ...] = ()

    def component(self) -> Any:
        """The empty box."""
        return gr.HTML(
            value=self.value(),
            elem_id=self.elem_id,
            js_on_load=asset("drop_zone.js"),
            apply_default_css=False,
        )

    def value(
        self, filled: Filled | None = None, *, compact: bool = False, problems: Sequence[str] = ()
    ) -> str:
        """HTML of the box.

        Args:
            filled: the one file in it, with a button that removes it.
            compact: a small button for more, where the files show elsewhere.
            problems: sentences why files were refused.
        """
        kinds = f'accept="{self.accept}"{" multiple" if self.many else ""}'
        pick = f'<input type="file" {kinds} hidden tabindex="-1" aria-hidden="true">'
        told = " ".join(problems)
        said = f'<p class="hf-told" role="status"{" data-bad" if told else ""}>{escape(told)}</p>'
        opening = (
            f'<div class="hf-zone"{" data-many" if self.many else ""}{" data-compact" if compact or filled else ""} '
            f'data-most="{self.most_mb:g}" data-turn="{next(_TURNS)}">{pick}'
        )
        if filled is not None:
            return f"{opening}{self._filled(filled)}{said}</div>"
        choose = (
            f'<button type="button" class="hf-choose" data-do="choose">{icon("add" if compact else self._icon, side_px=26)}'
            f"<strong>{escape(self.words)}</strong>"
            f"<span>{'drop or choose' if compact else 'Drop, paste or choose a file'}</span></button>"
        )
        return f"{opening}<div class='hf-choices'>{choose}{self._more()}</div>{said}{'' if compact else self._examples()}</div>"

    @property
    def _icon(self) -> str:
        return "video" if self.accept.startswith("video") else ("face" if self.many else "photo")

    def _more(self) -> str:
        if not self.camera:
            return ""
        tools = (("camera", "Take a photo"), ("paste", "Paste from the clipboard"))
        buttons = "".join(
            f'<button type="button" class="hf-tool" data-do="{what}" aria-label="{told}" title="{told}">{icon(what)}</button>'
            for what, told in tools
        )
        return f'<div class="hf-ways">{buttons}</div>'

    def _filled(self, filled: Filled) -> str:
        if filled.thumbnail:
            shown = f'<img src="{filled.thumbnail}" alt="">'
        else:
            shown = f'<span class="hf-noimage">{icon(self._icon, side_px=26)}</span>'
        name, shown_name = escape(filled.name), name_html(filled.name, _NAME_LENGTH, "strong")
        return (
            f'<div class="hf-file">{shown}<p title="{name}">{shown_name}<span>{escape(filled.told)}</span></p>'
            f'<button type="button" class="hf-tool" data-do="choose" aria-label="Replace {name}" title="Replace">'
            f"{icon('swap')}</button>"
            f'<button type="button" class="hf-tool" data-do="clear" aria-label="Remove {name}" title="Remove">'
            f"{icon('close')}</button></div>"
        )

    def _examples(self) -> str:
        if not self.examples:
            return ""
        buttons = "".join(
            f'<button type="button" class="hf-example" data-do="example" data-name="{one.name}" '
            f'aria-label="Try {escape(one.told)}" title="Try {escape(one.told)}">'
            f'<img src="{example_thumbnail(one.name)}" alt=""></button>'
            for one in self.examples
        )
        return f'<div class="hf-examples"><span>or try</span>{buttons}</div>'
