"""The source card, the settings and the model: what all tabs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import gradio as gr

from hififace.app.asking import SwapRequest
from hififace.app.controls import controls, made_of
from hififace.app.desk import Desk
from hififace.app.drop_zone import DropZone
from hififace.app.examples import SOURCES
from hififace.app.face_picker import Shown, face_picker, faces_html
from hififace.app.fold import fold
from hififace.app.people import People
from hififace.app.words import card_html
from hififace.hosting.consent import CONSENT
from hififace.swap.options import SwapOptions

SETTINGS: Final = (
    "shape_rate", "warp_shape", "keep_glasses", "id_rate", "refine", "match_colour", "detail", "passes", "mask_erosion",
    "mask_feather_px",
)  # fmt: skip
"""Options of a swap that the page asks for."""

_FORMATS = [("As the target", "same"), ("PNG", "png"), ("JPEG", "jpeg")]
PLAIN_FORMAT: Final = "MP4"
OWN_FORMAT: Final = "As the target"
"""What a video's result may be."""


class PeopleCard:
    """Source photos; the tabs read them.

    Attributes:
        shown: components that `show` gives values to.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        limits = desk.studio.limits
        gr.HTML(
            '<h2 class="hf-h">Source <span>the face that the result gets</span></h2>', apply_default_css=False
        )
        self.faces = face_picker("source-faces")
        self._zone = DropZone(
            "source-photo",
            "Add photos",
            "image/*",
            limits.upload_mb,
            many=True,
            camera=True,
            examples=SOURCES,
        )
        self.zone = self._zone.component()
        self.average = gr.Checkbox(
            label="All photos show one person: average them", elem_id="average", visible="hidden"
        )
        self.shown = [self.faces, self.zone, self.average]

    def show(self, key: str, problems: list[str] | None = None) -> list[Any]:
        """How the visitor's source photos stand.

        Args:
            key: the visitor.
            problems: sentences why photos were refused just now.
        """
        people = self._desk.studio.look(key).people
        several = len(people.photos) > 1
        title = "Click the source face" if len(people.faces) > 1 else ""
        return [
            faces_html(title, shown_people(people)),
            self._zone.value(compact=bool(people.photos), problems=problems or ()),
            gr.Checkbox(visible=True) if several else gr.Checkbox(value=False, visible="hidden"),
        ]


class Settings:
    """Strength, blending, the result's file, the model.

    Attributes:
        asked: components whose values `request_of` takes, in order.
        video_format: one of `PLAIN_FORMAT` and `OWN_FORMAT`.
    """

    def __init__(self, desk: Desk, people: PeopleCard) -> None:
        bundles = desk.studio.bundles
        first = next(iter(bundles.names), None)
        with fold("Settings", "settings-box"):
            _heading("Strength and blending")
            settings = controls(SwapOptions, SETTINGS)
            with gr.Column(elem_classes=["hf-settings", "hf-photo-only"]):
                _heading("Result file")
                self.format = gr.Radio(_FORMATS, value="same", label="Format", elem_id="format")
                self.quality = gr.Slider(50, 100, 95, step=1, label="JPEG quality", elem_id="quality")
            with gr.Column(elem_classes=["hf-settings", "hf-video-only"]):
                _heading("Result file")
                self.video_format = gr.Radio(
                    [PLAIN_FORMAT, OWN_FORMAT],
                    value=PLAIN_FORMAT,
                    label="Format",
                    info="MP4 (H.264) plays everywhere.",
                    elem_id="video-format",
                )
            _heading("Model")
            self.model = gr.Dropdown(
                bundles.names,
                value=first,
                label="Model",
                elem_id="model",
                filterable=False,
                show_label=False,
                container=False,
                visible=len(bundles.names) > 1,
            )
            self.card = gr.HTML(
                card_html(bundles.offers.get(first or "")), elem_id="card", apply_default_css=False
            )
        self.changing = [*settings, self.format, self.quality, people.average]
        self.asked = [self.model, people.average, self.format, self.quality, *settings]


def shown_people(people: People) -> list[Shown]:
    """The source faces, the chosen one pressed; the first face of each photo has the button that removes it."""
    numbers = {id(photo): number for number, photo in enumerate(people.photos)}
    return [
        Shown(
            people.thumbnail(place),
            f"Put in {people.called(place)}",
            caption=Path(photo.name).stem,
            pressed=place == people.chosen,
            remove=(numbers[id(photo)], photo.name) if face == 0 else None,
        )
        for place, (photo, face) in enumerate(people.faces)
    ]


def request_of(
    consent: bool, model: str | None, average: bool, format: str, quality: float, *settings: Any
) -> SwapRequest:
    """The values of `Settings.asked`, and the statement confirmed, as a request."""
    return SwapRequest(
        model, consent, average, made_of(SwapOptions, SETTINGS, settings), format=format, quality=int(quality)
    )


def _heading(text: str) -> None:
    gr.HTML(f'<h3 class="hf-part">{text}</h3>', apply_default_css=False)


def consent_box() -> Any:
    """The statement to confirm before anything is made."""
    return gr.Checkbox(label=CONSENT, elem_id="consent")
