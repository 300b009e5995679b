"""The image tab: where things stand and which handler each click calls."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.processing_utils import save_img_array_to_cache

from hififace.app.desk import PRIVATE, QUICK, RAW, Desk, upload_of, warned
from hififace.app.face_picker import Shown, face_picker, faces_html
from hififace.app.handlers import ImageState, Made
from hififace.app.ui_people import PeopleColumn, consent_box, photo_box, request_of
from hififace.app.visits import client, spoken
from hififace.app.words import figures, listed
from hififace.types import RGBImage


class ImageTab:
    """The components of the image tab.

    Attributes:
        shown: components that `show` gives values to, when somebody else's click changed what they show.
        restored: all that a reloaded page must show again.
    """

    def __init__(self, desk: Desk, people: PeopleColumn) -> None:
        self._desk = desk
        with gr.Row(equal_height=False):
            with gr.Column():
                gr.Markdown("## 2. Where", elem_classes="hf-step")
                self.target = photo_box("The target photo", "target-photo")
                self.faces = face_picker("target-faces")
                self.who = gr.Markdown("Add a photo of the person to put in.", elem_id="who")
            with gr.Column():
                gr.Markdown("## 3. Swap", elem_classes="hf-step")
                self.consent = consent_box("file", "consent")
                self.button = gr.Button("Swap", variant="primary", elem_id="swap-button")
                self.slider = gr.ImageSlider(
                    label="Target and result: drag the line",
                    elem_id="result",
                    interactive=False,
                    max_height=520,
                    visible=False,
                    buttons=["fullscreen"],
                )
                self.download = gr.DownloadButton(
                    "Download, marked as a face swap", elem_id="download", visible=False, size="md"
                )
                self.show_mask = gr.Checkbox(
                    label="Show the predicted mask: what was generated", elem_id="show-mask", visible=False
                )
                self.mask = gr.Image(
                    label="Mask", visible=False, interactive=False, elem_id="mask", buttons=[], height=260
                )
                self.figures = gr.HTML(elem_id="figures", apply_default_css=False)
        self.shown = [self.faces, self.who]
        self.made = [self.slider, self.figures, self.download, self.show_mask]
        self.restored = [self.target, *self.shown, *self.made]
        self._wire(people)

    def _wire(self, people: PeopleColumn) -> None:
        self.target.input(
            spoken(self._set_target), [self.target, people.model], [self.target, *self.shown], **RAW
        )
        self.target.clear(spoken(self._clear_target), None, self.shown, **QUICK)
        self.faces.select(spoken(self._assign), None, self.shown, **QUICK)
        self.button.click(
            spoken(self._swap),
            [self.show_mask, self.consent, *people.asked],
            [*self.made, self.mask],
            **PRIVATE,
            concurrency_id="swap",
            scroll_to_output=True,
        )
        self.show_mask.input(spoken(self._show_mask), self.show_mask, self.mask, **QUICK)

    # -------------------------------------------------------------------------------------------------------
    # What clicks do

    def _set_target(self, photo: dict[str, Any] | None, model: str | None, request: gr.Request) -> Any:
        key = self._desk.key(request)
        if photo is None:
            self._desk.studio.clear_target(key)
            return None, *self.show(key)
        with warned():
            self._desk.studio.set_target(key, *upload_of(photo), model, client(request))
        state = self._desk.studio.look(key)
        if state.target is not None and not state.target.shown_by_browsers:
            return gr.skip(), *self.show(key)  # shown by its faces alone
        return self._photo(state), *self.show(key)

    def _clear_target(self, request: gr.Request) -> Any:
        key = self._desk.key(request)
        self._desk.studio.clear_target(key)
        return self.show(key)

    def _assign(self, request: gr.Request, clicked: gr.EventData) -> Any:
        key = self._desk.key(request)
        self._desk.studio.assign(key, int(clicked.face))
        return self.show(key)

    def _swap(self, request: gr.Request, with_mask: bool, consent: bool, *asked: Any) -> Any:
        key = self._desk.key(request)
        made = self._desk.studio.swap(key, request_of(consent, *asked), client(request))
        return *self._made(key, made), self._show_mask(with_mask, request)

    def _show_mask(self, wanted: bool, request: gr.Request) -> Any:
        key = self._desk.key(request)
        mask = self._desk.studio.mask(key) if wanted else None
        if mask is None:
            return gr.Image(value=None, visible=False)
        return gr.Image(value=self._image(key, mask), visible=True)

    # -------------------------------------------------------------------------------------------------------
    # What is shown

    def show(self, key: str) -> list[Any]:
        """Faces of the target, and who becomes whom."""
        state = self._desk.studio.look(key)
        return [
            faces_html("Click the faces to be replaced", _shown_targets(state)),
            listed(self._desk.studio.who(key)),
        ]

    def restore(self, key: str) -> list[Any]:
        """Everything, as it was before the page was reloaded."""
        state = self._desk.studio.look(key)
        if state.made is None:
            hidden = [
                gr.ImageSlider(visible=False),
                "",
                gr.DownloadButton(visible=False),
                gr.Checkbox(visible=False),
            ]
            return [self._photo(state), *self.show(key), *hidden]
        return [self._photo(state), *self.show(key), *self._made(key, state.made)]

    def _photo(self, state: ImageState) -> str | None:
        target = state.target
        return str(target.path) if target is not None and target.shown_by_browsers else None

    def _made(self, key: str, made: Made) -> list[Any]:
        target = self._photo(self._desk.studio.look(key))
        shown = target or self._image(key, self._desk.studio.target_pixels(key))
        return [
            gr.ImageSlider(value=(shown, str(made.shown)), visible=True),
            figures(made.report),
            gr.DownloadButton(value=str(made.file), visible=True),
            gr.Checkbox(visible=True),
        ]

    def _image(self, key: str, pixels: RGBImage) -> str:
        """A file in the visitor's folder, so that it is forgotten with them; only for what shows no swapped face."""
        with self._desk.studio.sessions.visit(key) as session:
            return str(save_img_array_to_cache(pixels, cache_dir=str(session.folder), format="png"))


def _shown_targets(state: ImageState) -> list[Shown]:
    if state.target is None:
        return []
    people, shown = state.people, []
    for face, thumbnail in zip(state.target.faces, state.target.thumbnails, strict=True):
        place = state.mapping.get(face.index)
        if place is None:
            shown.append(Shown(thumbnail, f"Replace face {face.index} of the target", f"face {face.index}"))
            continue
        name = f"Face {face.index} of the target becomes {people.called(place)}"
        caption = f"→ {people.faces[place][0].name}"
        shown.append(Shown(thumbnail, name, caption, pressed=True, inset=people.thumbnail(place)))
    return shown
