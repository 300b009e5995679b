"""The photo tab: where things stand and which handler each click calls.

Clicks change what is chosen; then `stage` draws the one large image from it: target, preview, or result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio.processing_utils import save_img_array_to_cache

from hififace.app.asking import SwapRequest
from hififace.app.desk import DRAWING, PRIVATE, QUICK, Desk, problems_of, upload_of
from hififace.app.drop_zone import DropZone, Filled
from hififace.app.events import ORDERED, ordered, pressed
from hififace.app.examples import PAIRS, TARGETS
from hififace.app.face_picker import Shown, face_picker, faces_html
from hififace.app.fold import fold
from hififace.app.handlers import ImageState
from hififace.app.images import data_url
from hififace.app.preview import Patch
from hififace.app.ui_people import Settings, request_of
from hififace.app.viewer import Box, View, address, view_html, viewer
from hififace.app.visits import client, quick, redraw, spoken
from hififace.app.words import figures, for_visitors, history_html, listed, sentence
from hififace.errors import HififaceError
from hififace.types import RGBImage

_EMPTY: Final = View("empty", told="Click a pair, or add a source and a target of yours.", pairs=PAIRS)


class ImageRail:
    """The target card, and the button.

    Attributes:
        shown: components that `show` gives values to.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._zone = DropZone(
            "target-photo",
            "Add a photo",
            "image/*",
            desk.studio.limits.upload_mb,
            camera=True,
            examples=TARGETS,
        )
        gr.HTML('<h2 class="hf-h">Target <span>where it is put</span></h2>', apply_default_css=False)
        self.zone = self._zone.component()
        self.faces = face_picker("target-faces")
        self.who = gr.HTML("", elem_id="who", apply_default_css=False)
        self.shown = [self.zone, self.faces, self.who]

    def show(self, key: str, problems: list[str] | None = None) -> list[Any]:
        """The target, its faces, and who becomes whom."""
        state = self._desk.studio.look(key)
        several = state.target is not None and len(state.target.faces) > 1
        title = "Click the faces to be replaced"
        faces = faces_html(title, _shown_targets(state), everybody=state.everybody) if several else ""
        return [
            self._zone.value(_filled(state), problems=problems or ()),
            faces,
            "" if state.target is None else listed(self._desk.studio.who(key)),
        ]


class ImageStage:
    """The large image, its download, its figures, and the results before it."""

    def __init__(self) -> None:
        self.viewer = viewer("result", _EMPTY)
        with gr.Row(elem_id="outcome", equal_height=True):
            self.told = gr.HTML(elem_id="told", apply_default_css=False)
            self.download = gr.DownloadButton(
                "Download", elem_id="download", visible=False, size="md", variant="secondary"
            )
        with fold("How alike, and how long", "details", visible="hidden") as self.details:
            self.figures = gr.HTML(elem_id="figures", apply_default_css=False)
            self.show_mask = gr.Checkbox(label="Show the mask: what was generated", elem_id="show-mask")
            self.mask = gr.Image(
                label="Mask", visible=False, interactive=False, elem_id="mask", buttons=[], height=260
            )


class ImageTab:
    """What happens on the photo tab.

    Attributes:
        viewer: the large image.
        shown: components that `show` gives values to, when somebody else's click changed what they show.
        stage: components that `draw` gives values to.
    """

    def __init__(
        self,
        desk: Desk,
        rail: ImageRail,
        stage: ImageStage,
        settings: Settings,
        button: Any,
        consent: Any,
        history: Any,
    ) -> None:
        self._desk, self._rail, self._settings, self.viewer = desk, rail, settings, stage.viewer
        self.shown = rail.shown
        self.stage = [stage.viewer, button, stage.download, stage.told, stage.details]
        self._figures = [stage.figures, stage.mask]
        self.asked = [consent, *settings.asked]
        zone, model = rail.zone, settings.model
        quiet = {**ORDERED, "show_progress": "hidden"}
        events = [
            zone.upload(quick(self._set_target), model, self.shown, **ORDERED),
            zone.example(quick(self._set_example), model, self.shown, **ORDERED),
            zone.clear(quick(self._clear_target), None, self.shown, **ORDERED),
            rail.faces.select(quick(self._assign), None, self.shown, **quiet),
            stage.viewer.select(quick(self._assign), None, self.shown, **quiet),
            rail.faces.everybody(quick(self._everybody), None, self.shown, **quiet),
        ]
        for event in events:
            self.draw_after(ordered(event))
        made = button.click(
            spoken(self._swap),
            self.asked,
            [*self.stage, history],
            js=pressed("swap"),
            **PRIVATE,
            concurrency_id="swap",
            show_progress_on=[stage.viewer],
        )
        made.success(
            quick(self._measure),
            [stage.show_mask, *self.asked],
            [stage.told, *self._figures],
            **QUICK,
            show_progress="hidden",
        )
        stage.show_mask.input(quick(self._show_mask), stage.show_mask, stage.mask, **QUICK)

    def draw_after(self, event: Any) -> None:
        """Draw the large image anew when an event is over."""
        event.then(redraw(self.draw), self.asked, self.stage, **DRAWING)

    # -------------------------------------------------------------------------------------------------------
    # What clicks do

    def _set_target(self, model: str | None, request: gr.Request, given: gr.EventData) -> Any:
        key = self._desk.key(request)
        with problems_of() as problems:
            self._desk.studio.set_target(key, *upload_of(given.files[0]), model, client(request))
        return self.show(key, problems)

    def _set_example(self, model: str | None, request: gr.Request, given: gr.EventData) -> Any:
        problems = self._desk.take_example(given.name, self._desk.studio.set_target, model, request)
        return self.show(self._desk.key(request), problems)

    def _clear_target(self, request: gr.Request) -> Any:
        key = self._desk.key(request)
        self._desk.studio.clear_target(key)
        return self.show(key)

    def _assign(self, request: gr.Request, clicked: gr.EventData) -> Any:
        key = self._desk.key(request)
        self._desk.studio.assign(key, int(clicked.face))
        return self.show(key)

    def _everybody(self, request: gr.Request) -> Any:
        key = self._desk.key(request)
        self._desk.studio.choose_everybody(key)
        return self.show(key)

    def _swap(self, request: gr.Request, consent: bool, *asked: Any) -> Any:
        key, wanted = self._desk.key(request), request_of(consent, *asked)
        self._desk.studio.swap_unmeasured(key, wanted, client(request))
        return [*self._stage(key, wanted), history_html(self._desk.studio.look(key).kept)]

    def _measure(self, request: gr.Request, with_mask: bool, consent: bool, *asked: Any) -> Any:
        key = self._desk.key(request)
        made = self._desk.studio.measure(key)
        if made is None:
            return "", "", gr.Image(value=None, visible=False)
        return sentence(made.report), figures(made.report), self._show_mask(with_mask, request)

    def _show_mask(self, wanted: bool, request: gr.Request) -> Any:
        key = self._desk.key(request)
        mask = self._desk.studio.mask(key) if wanted else None
        if mask is None:
            return gr.Image(value=None, visible=False)
        return gr.Image(value=self._image(key, mask), visible=True)

    # -------------------------------------------------------------------------------------------------------
    # What is shown

    def show(self, key: str, problems: list[str] | None = None) -> list[Any]:
        """The target, its faces, and who becomes whom."""
        return self._rail.show(key, problems)

    def draw(self, request: gr.Request, consent: bool, *asked: Any) -> list[Any]:
        """The large image, and what belongs to it."""
        key, wanted = self._desk.key(request), request_of(consent, *asked)
        state = self._desk.studio.look(key)
        state.drawing = drawing = object()
        drawn = self._stage(key, wanted)
        # Not looked up again: that would wait for a swap that began meanwhile, and arrive after its result.
        return drawn if state.drawing is drawing else [gr.skip()] * len(drawn)

    def figures(self, key: str) -> str:
        """Figures of the last result, for a reloaded page."""
        made = self._desk.studio.measure(key)
        return "" if made is None else figures(made.report)

    def _stage(self, key: str, wanted: SwapRequest) -> list[Any]:
        patches, why_not = self._preview(key, wanted)
        state = self._desk.studio.look(key)  # now, since the preview may have waited for a swap to end
        made, current = state.made, state.is_current(wanted)
        missing = missing_of(state)
        button = gr.Button(value=missing or "Swap", interactive=not missing)
        if made is None:
            told, download = "", gr.DownloadButton(visible=False, value=None)
        else:
            label = "Download" if current else "Out of date: swap again"
            told = sentence(made.report) if current else ""
            download = gr.DownloadButton(label, value=str(made.file), visible=True, interactive=current)
        return [
            view_html(self._view(key, state, patches, why_not, current=current)),
            button,
            download,
            told,
            gr.Column(visible=True if current else "hidden"),
        ]

    def _view(
        self, key: str, state: ImageState, patches: list[Patch], why_not: str, *, current: bool
    ) -> View:
        if state.target is None:
            return (
                View("empty", told="Add a target. The result appears here.")
                if state.people.photos
                else _EMPTY
            )
        width, height = state.target.size
        target = self._address(key, state)
        boxes = [
            Box.around(
                face.index, face.detection, _named(state, face.index), pressed=face.index in state.mapping
            )
            for face in state.target.faces
            if len(state.target.faces) > 1
        ]
        if state.made is not None and current:
            return View("result", width, height, target, address(state.made.shown))
        if patches:
            return View("preview", width, height, target, patches=patches, boxes=boxes)
        if state.made is not None:
            return View("stale", width, height, target, address(state.made.shown), boxes=boxes, told=why_not)
        return View("target", width, height, target, boxes=boxes, told=why_not)

    def _preview(self, key: str, wanted: SwapRequest) -> tuple[list[Patch], str]:
        """Patches, or the sentence that says why there are none."""
        state = self._desk.studio.look(key)
        if missing_of(state) or state.is_current(wanted):
            return [], ""
        if wanted.consent is not True:
            return [], "Confirm the statement to see a preview."
        try:
            return self._desk.studio.preview(key, wanted), ""
        except HififaceError as error:
            return [], for_visitors(str(error))

    def _address(self, key: str, state: ImageState) -> str:
        assert state.target is not None
        if state.target.shown_by_browsers:
            return address(state.target.path)
        if state.target_png is None:
            state.target_png = Path(self._image(key, self._desk.studio.target_pixels(key)))
        return address(state.target_png)

    def _image(self, key: str, pixels: RGBImage) -> str:
        """A file in the visitor's folder, so that it is forgotten with them; only for what shows no swapped face."""
        with self._desk.studio.sessions.visit(key) as session:
            return str(save_img_array_to_cache(pixels, cache_dir=str(session.folder), format="png"))


def missing_of(state: ImageState) -> str:
    """What has to be given before the button does anything; empty where nothing has."""
    if state.people.chosen is None:
        return "Add a source photo"
    if state.target is None:
        return "Add a target photo"
    return "" if state.mapping or state.everybody else "Choose a face of the target"


def _named(state: ImageState, face: int) -> str:
    place = state.people.chosen if state.everybody else state.mapping.get(face)
    if place is None:
        return f"Replace face {face + 1} of the target"
    return f"Face {face + 1} of the target becomes {state.people.called(place)}"


def _filled(state: ImageState) -> Filled | None:
    target = state.target
    if target is None:
        return None
    width, height = target.size
    number = len(target.faces)
    told = f"{width} x {height}, {number} {'face' if number == 1 else 'faces'}"
    return Filled(target.name, told, data_url(target.thumbnails[target.main_face]))


def _shown_targets(state: ImageState) -> list[Shown]:
    assert state.target is not None
    people, shown = state.people, []
    for face, small in zip(state.target.faces, state.target.thumbnails, strict=True):
        place = people.chosen if state.everybody else state.mapping.get(face.index)
        name = _named(state, face.index)
        if place is None:
            shown.append(Shown(small, name, f"face {face.index + 1}"))
            continue
        shown.append(
            Shown(small, name, f"face {face.index + 1}", pressed=True, inset=people.thumbnail(place))
        )
    return shown
