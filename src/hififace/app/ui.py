"""The page: a column of people, a tab for photos, a tab for videos. It decides nothing itself."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.events import api

from hififace.app.api import swap_function, video_function
from hififace.app.desk import QUICK, RAW, Desk, upload_of, warned
from hififace.app.ui_image import ImageTab
from hififace.app.ui_people import PeopleColumn
from hififace.app.ui_video import VideoTab
from hififace.app.visits import READY, TAB_NAME, client, page_of, spoken
from hififace.app.words import FOOT, HEAD
from hififace.errors import HififaceError


def build_page(desk: Desk) -> Any:
    """The whole page, a `gradio.Blocks` not yet served."""
    with gr.Blocks(title="hififace", analytics_enabled=False, fill_width=False) as page:
        _Page(desk, page)
        api(swap_function(desk), api_name="swap", concurrency_id="swap")
        api(video_function(desk), api_name="swap_video", concurrency_id="video", concurrency_limit=4)
    return page


class _Page:
    """The parts of the page, and the clicks that more than one of them must show."""

    def __init__(self, desk: Desk, page: Any) -> None:
        self._desk = desk
        gr.HTML(HEAD)
        with gr.Row(equal_height=False, elem_id="desk"):
            with gr.Column(scale=1, min_width=300):
                self.people = PeopleColumn(desk)
            with gr.Column(scale=2, min_width=320), gr.Tabs(elem_id="tabs") as self.tabs:
                with gr.Tab("Photo", id="photo", elem_id="photo-tab"):
                    self.image = ImageTab(desk, self.people)
                with gr.Tab("Video", id="video", elem_id="video-tab"):
                    self.video = VideoTab(desk, self.people)
        gr.HTML(FOOT)
        tab_name = gr.Textbox(visible=False)
        self._wire()
        restored = [
            self.tabs,
            self.people.model,
            self.people.card,
            *self.people.shown,
            *self.image.restored,
            *self.video.restored,
        ]
        arrived = page.load(
            spoken(self._arrive), tab_name, restored, js=TAB_NAME, **QUICK, show_progress="hidden"
        )
        arrived.then(None, js=READY)
        page.unload(self._leave)

    def _wire(self) -> None:
        people = self.people
        shown = [*people.shown, *self.image.shown, *self.video.shown]
        people.photo.input(
            spoken(self._add_source), [people.photo, people.model], [people.photo, *shown], **RAW
        )
        people.several.upload(
            spoken(self._add_sources), [people.several, people.model], [people.several, *shown], **RAW
        )
        people.clear.click(spoken(self._clear_sources), None, shown, **QUICK)
        people.faces.select(spoken(self._choose_source), None, shown, **QUICK, show_progress="hidden")
        people.model.input(spoken(self._choose_model), people.model, [people.card, *shown], **QUICK)

    # -------------------------------------------------------------------------------------------------------
    # Coming and going

    def _arrive(self, tab: str | None, request: gr.Request) -> Any:
        key = self._desk.arrive(tab or "", request)
        model = self._desk.studio.look(key).people.model
        restored = [gr.skip(), gr.skip()]
        if model is not None:
            restored = [model, self._desk.studio.bundles.card(model)]
        tabs = gr.Tabs(selected="video") if self.video.is_busy(key) else gr.skip()
        return [
            tabs,
            *restored,
            *self.people.show(key),
            *self.image.restore(key),
            *self.video.restore(key),
        ]

    def _leave(self, request: gr.Request) -> None:
        self._desk.visits.leave(page_of(request))

    # -------------------------------------------------------------------------------------------------------
    # Who is put in

    def _add_source(self, photo: dict[str, Any] | None, model: str | None, request: gr.Request) -> Any:
        return self._add_sources([] if photo is None else [photo], model, request)

    def _add_sources(
        self, photos: list[dict[str, Any]] | None, model: str | None, request: gr.Request
    ) -> Any:
        key = self._desk.key(request)
        for photo in photos or []:
            with warned():
                self._desk.studio.add_source(key, *upload_of(photo), model, client(request))
        # The box is emptied, ready for the next photo; this one shows as a thumbnail.
        return [None, *self._show(key)]

    def _clear_sources(self, request: gr.Request) -> Any:
        key = self._desk.key(request)
        self._desk.studio.clear_sources(key)
        return self._show(key)

    def _choose_source(self, request: gr.Request, clicked: gr.EventData) -> Any:
        key = self._desk.key(request)
        self._desk.studio.choose_source(key, int(clicked.face))
        return self._show(key)

    def _choose_model(self, model: str | None, request: gr.Request) -> Any:
        key = self._desk.key(request)
        card = self._desk.studio.bundles.card(model)
        try:
            self._desk.studio.choose_model(key, model)
        except HififaceError as error:
            card = card if str(error) in card else f"{card}\n\n{error}"
        return [card, *self._show(key)]

    def _show(self, key: str) -> list[Any]:
        return [*self.people.show(key), *self.image.show(key), *self.video.show(key)]
