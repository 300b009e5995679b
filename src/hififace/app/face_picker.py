"""Faces to click on: small images of them. Plain buttons, so keys work too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

import gradio as gr

from hififace.app.assets import asset
from hififace.app.icons import icon
from hififace.app.images import data_url
from hififace.app.names import name_html
from hififace.types import RGBImage

_CAPTION_LENGTH: Final = 11
"""Characters that fit below a small image."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One face to click on."""

    thumbnail: RGBImage = field(repr=False)
    """(T, T, 3)."""
    name: str
    """What a screen reader says."""
    caption: str = ""
    """A word or two below the image."""
    pressed: bool = False
    inset: RGBImage | None = field(default=None, repr=False)
    """(T, T, 3) of the source face there."""
    remove: tuple[int, str] | None = None
    """Number and name of the photo that a button on this face removes."""


def face_picker(elem_id: str) -> Any:
    """An empty picker; `faces_html` fills it. It tells `select` (`event.face`), `remove` (`event.photo`), `everybody`."""
    return gr.HTML(value="", elem_id=elem_id, js_on_load=asset("faces.js"), apply_default_css=False)


def faces_html(
    title: str, faces: Sequence[Shown], *, otherwise: str = "", everybody: bool | None = None
) -> str:
    """A row of faces.

    Args:
        title: said above it.
        faces: in order.
        otherwise: said where there are none.
        everybody: whether all of them are chosen, where a button for that is wanted.
    """
    if not faces:
        return f'<p class="hf-hint">{escape(otherwise)}</p>' if otherwise else ""
    everyone = ""
    if everybody is not None:
        everyone = (
            f'<button type="button" class="hf-everybody" data-everybody data-at="everybody" '
            f'aria-pressed="{"true" if everybody else "false"}">{icon("everybody", side_px=18)} Everybody</button>'
        )
    return (
        f'<div class="hf-faces" role="group" aria-label="{escape(title)}"><p class="hf-title">{escape(title)}{everyone}</p>'
        f'<div class="hf-row">{"".join(_button(place, face) for place, face in enumerate(faces))}</div></div>'
    )


def _button(place: int, face: Shown) -> str:
    inset = "" if face.inset is None else f'<img class="hf-inset" src="{data_url(face.inset)}" alt="">'
    remove = ""
    if face.remove is not None:
        number, name = face.remove
        told = escape(f"Remove {name}")
        remove = (
            f'<button type="button" class="hf-remove" data-remove="{number}" aria-label="{told}" title="{told}">'
            f"{icon('close', side_px=14)}</button>"
        )
    return (
        f'<div class="hf-one"><button type="button" class="hf-face" data-face="{place}" data-at="face-{place}" '
        f'aria-pressed="{"true" if face.pressed else "false"}" aria-label="{escape(face.name)}" '
        f'title="{escape(face.name)}"><img src="{data_url(face.thumbnail)}" alt="">{inset}'
        f"{name_html(face.caption, _CAPTION_LENGTH)}</button>{remove}</div>"
    )
