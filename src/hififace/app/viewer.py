"""Target and result at full size, one over the other, with a line between them, zoom, and boxes around faces."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import gradio as gr

from hififace.app.assets import asset
from hififace.app.examples import Example, example_thumbnail
from hififace.app.icons import icon
from hififace.app.preview import Patch
from hififace.types import Detection

Kind = Literal["empty", "target", "preview", "result", "stale"]

_CHIPS = {"target": "Target", "preview": "Preview", "result": "Result", "stale": "Out of date: swap again"}


@dataclass(frozen=True, slots=True)
class Box:
    """A face to click on."""

    place: int
    """Its number in `event.face`, from 0."""
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 in pixels of the image."""
    name: str
    """What a click does."""
    pressed: bool = False

    @classmethod
    def around(cls, place: int, found: Detection, name: str, *, pressed: bool) -> Box:
        """The box of a detection."""
        x0, y0, x1, y1 = (float(value) for value in found.box)
        return cls(place, (x0, y0, x1, y1), name, pressed)


@dataclass(frozen=True, slots=True)
class View:
    """What the viewer shows of an image of `width` x `height` pixels."""

    kind: Kind
    width: int = 0
    height: int = 0
    target: str = ""
    """Address of the target."""
    result: str = ""
    """Address of the result."""
    patches: Sequence[Patch] = ()
    boxes: Sequence[Box] = ()
    told: str = ""
    """A sentence over the image: what is missing."""
    pairs: Sequence[tuple[Example, Example]] = ()
    """Sources and targets to try, where nothing is given yet."""


def viewer(elem_id: str, first: View) -> Any:
    """A viewer that shows `first` until `view_html` fills it; `.select` tells `event.face`."""
    return gr.HTML(
        value=view_html(first),
        elem_id=elem_id,
        js_on_load=asset("viewer.js"),
        apply_default_css=False,
    )


def view_html(view: View) -> str:
    """HTML of the viewer."""
    if view.kind == "empty":
        return (
            '<div class="hf-viewer" data-kind="empty"><div class="hf-nothing">'
            f"{_pairs(view) or icon('photo', side_px=44)}"
            f"<p>{escape(view.told or 'The result appears here.')}</p></div></div>"
        )
    compared = bool(view.result or view.patches)
    after = view.result or view.target
    layers = f'<img class="hf-after" src="{after}" alt="{"The result" if view.result else "The target"}" draggable="false">'
    layers += "".join(_patch(view, patch) for patch in view.patches)
    if compared:
        layers += f'<div class="hf-before"><img src="{view.target}" alt="The target" draggable="false"></div>'
    layers += "".join(_box(view, box) for box in view.boxes)
    chips = f'<span class="hf-chip hf-right">{_CHIPS[view.kind]}</span>'
    if compared:
        chips += '<span class="hf-chip hf-left">Target</span>'
    told = f'<p class="hf-over">{escape(view.told)}</p>' if view.told else ""
    divider = f'<div class="hf-divider"><span>{icon("whole", side_px=18)}</span></div>' if compared else ""
    ratio = f"--w:{view.width};--h:{view.height}"
    return (
        f'<div class="hf-viewer" data-kind="{view.kind}" data-image="{view.target}" data-result="{view.result}" style="{ratio}">'
        f'<div class="hf-canvas"><div class="hf-plane" data-width="{view.width}" data-height="{view.height}">{layers}</div>'
        f"{divider}{chips}{told}</div>{_tools(compared)}</div>"
    )


def address(file: Path) -> str:
    """Of a file in a visitor's folder; relative, so that it holds behind a proxy too."""
    return escape(f"gradio_api/file={quote(str(file))}")


def _tools(compared: bool) -> str:
    line = ""
    if compared:
        line = (
            '<label class="hf-compare"><span>Compare</span><input type="range" min="0" max="100" value="50" '
            'aria-label="How much of the target is shown beside the result"></label>'
        )
    buttons = (("out", "minus", "Smaller"), ("in", "plus", "Larger"), ("screen", "fit", "Full screen"))
    small, large, screen = (
        f'<button type="button" class="hf-tool" data-do="{what}" aria-label="{told}" title="{told}">{icon(name)}</button>'
        for what, name, told in buttons
    )
    zoom = '<span class="hf-zoom">100 %</span>'
    return f'<div class="hf-tools">{line}<div class="hf-zooming">{small}{zoom}{large}{screen}</div></div>'


def _pairs(view: View) -> str:
    """Buttons that fill in a source and a target at once."""
    if not view.pairs:
        return ""
    buttons = "".join(
        f'<button type="button" class="hf-pair" data-do="pair" data-source="{source.name}" data-into="{target.name}" '
        f'aria-label="Try {escape(source.told)} in {escape(target.told)}" title="Try this pair">'
        f'<img class="hf-pair-target" src="{example_thumbnail(target.name)}" alt="">'
        f'<img class="hf-pair-source" src="{example_thumbnail(source.name)}" alt=""></button>'
        for source, target in view.pairs
    )
    return f'<strong>See one at once</strong><div class="hf-pairs">{buttons}</div>'


def _patch(view: View, patch: Patch) -> str:
    packed = base64.b64encode(patch.jpeg).decode()
    return (
        f'<img class="hf-patch" src="data:image/jpeg;base64,{packed}" alt="" draggable="false" '
        f'style="{_where(view, patch.box)}">'
    )


def _box(view: View, box: Box) -> str:
    return (
        f'<button type="button" class="hf-box" data-face="{box.place}" data-at="box-{box.place}" tabindex="-1" '
        f'aria-hidden="true" title="{escape(box.name)}" style="{_where(view, box.box)}"'
        f"{' data-pressed' if box.pressed else ''}><span>{box.place + 1}</span></button>"
    )


def _where(view: View, box: tuple[float, float, float, float]) -> str:
    x0, y0, x1, y1 = box
    return (
        f"left:{100 * x0 / view.width:.3f}%;top:{100 * y0 / view.height:.3f}%;"
        f"width:{100 * (x1 - x0) / view.width:.3f}%;height:{100 * (y1 - y0) / view.height:.3f}%"
    )
