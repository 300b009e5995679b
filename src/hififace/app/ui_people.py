"""The left column: who is put in, with which model, and how."""

from __future__ import annotations

from typing import Any, Final

import gradio as gr

from hififace.app.asking import SwapRequest
from hififace.app.controls import controls, made_of
from hififace.app.desk import Desk
from hififace.app.face_picker import Shown, face_picker, faces_html
from hififace.app.people import People
from hififace.hosting.consent import CONSENT
from hififace.swap.options import SwapOptions

SETTINGS: Final = (
    "shape_rate", "id_rate", "passes", "mask_erosion", "mask_feather_px", "match_colour", "detail",
)  # fmt: skip
"""Options of a swap that the page asks for."""


class PeopleColumn:
    """Source photos, model and settings; the tabs read them.

    Attributes:
        shown: components that `show` gives values to.
        asked: components whose values `request_of` takes, in order.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        bundles = desk.studio.bundles
        first = next(iter(bundles.names), None)
        gr.Markdown("## 1. Who is put in", elem_classes="hf-step")
        self.photo = photo_box("Add a source photo", "source-photo")
        self.several = gr.UploadButton(
            "Add several photos", file_count="multiple", file_types=["image"], size="sm", elem_id="several"
        )
        self.faces = face_picker("source-faces")
        self.average = gr.Checkbox(
            label="All photos show one person: average them", elem_id="average", visible=False
        )
        self.clear = gr.Button("Remove the source photos", size="sm", visible=False, elem_id="clear-sources")
        with gr.Accordion("Model", open=False, elem_id="model-box"):
            self.model = gr.Dropdown(
                bundles.names, value=first, label="Model", elem_id="model", filterable=False
            )
            self.card = gr.Markdown(bundles.card(first), elem_id="card")
        with gr.Accordion("Strength and blending", open=False, elem_id="settings-box"):
            settings = controls(SwapOptions, SETTINGS)
        self.asked = [self.model, self.average, *settings]
        self.shown = [self.faces, self.average, self.clear]

    def show(self, key: str) -> list[Any]:
        """How the visitor's source photos stand."""
        people = self._desk.studio.look(key).people
        several = len(people.photos) > 1
        return [
            faces_html(
                "Click the face to put in",
                shown_people(people),
                otherwise="The faces of your photos appear here.",
            ),
            gr.Checkbox(visible=True) if several else gr.Checkbox(value=False, visible=False),
            gr.Button(visible=bool(people.photos)),
        ]


def shown_people(people: People) -> list[Shown]:
    """The source faces, the chosen one pressed."""
    return [
        Shown(
            people.thumbnail(place),
            f"Put in {people.called(place)}",
            caption=photo.name,
            pressed=place == people.chosen,
        )
        for place, (photo, _) in enumerate(people.faces)
    ]


def request_of(consent: bool, model: str | None, average: bool, *settings: Any) -> SwapRequest:
    """The values of `PeopleColumn.asked`, and the statement confirmed, as a request."""
    return SwapRequest(model, consent, average, made_of(SwapOptions, SETTINGS, settings))


def photo_box(label: str, elem_id: str) -> Any:
    """A box that takes a photo from a file, the clipboard or the camera."""
    return gr.Image(
        label=label,
        elem_id=elem_id,
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        height=260,
        buttons=[],
    )


def consent_box(made: str, elem_id: str) -> Any:
    """The statement to confirm before anything is made; `made` says in whose mark it is written: video or file."""
    return gr.Checkbox(label=f"{CONSENT} (These words go into the {made}'s mark.)", elem_id=elem_id)
