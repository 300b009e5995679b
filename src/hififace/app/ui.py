"""The page: a head with tabs, a rail with what is given, a stage with what comes of it. It decides nothing itself."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr
from gradio.events import api

from hififace.app.api import swap_function, video_function
from hififace.app.assets import asset
from hififace.app.desk import DRAWING, QUICK, Desk, problems_of, upload_of
from hififace.app.events import BEGUN, ORDERED, ordered
from hififace.app.ui_image import ImageRail, ImageStage, ImageTab
from hififace.app.ui_live import LiveStage, LiveTab
from hififace.app.ui_people import PeopleCard, Settings, consent_box
from hififace.app.ui_video import VideoButtons, VideoRail, VideoStage, VideoTab
from hififace.app.viewer import address
from hififace.app.visits import READY, TAB_NAME, client, page_of, quick, redraw
from hififace.app.words import FOOT, card_html, head_html, history_html


def build_page(desk: Desk) -> Any:
    """The whole page, a `gradio.Blocks` not yet served."""
    with gr.Blocks(title="hififace", analytics_enabled=False, fill_width=True) as page:
        _Page(desk, page)
        api(swap_function(desk), api_name="swap", concurrency_id="swap")
        api(video_function(desk), api_name="swap_video", concurrency_id="video", concurrency_limit=4)
    return page


class _Page:
    """The parts of the page, and the clicks that more than one of them must show."""

    def __init__(self, desk: Desk, page: Any) -> None:
        self._desk = desk
        self.head = gr.HTML(
            head_html(), elem_id="head", js_on_load=asset("shell.js"), apply_default_css=False
        )
        with gr.Row(equal_height=False, elem_id="desk"):
            with gr.Column(elem_id="rail"):
                with gr.Column(elem_classes="hf-block", elem_id="source-card"):
                    self.people = PeopleCard(desk)
                with gr.Column(elem_classes=["hf-block", "hf-photo-only"], elem_id="target-card"):
                    image_rail = ImageRail(desk)
                with gr.Column(elem_classes=["hf-block", "hf-video-only"]):
                    video_rail = VideoRail(desk)
                with gr.Column(elem_id="act"):
                    consent = consent_box()
                    with gr.Column(elem_classes="hf-photo-only"):
                        button = gr.Button(
                            "Add a source photo",
                            variant="primary",
                            elem_id="swap-button",
                            size="lg",
                            interactive=False,
                        )
                    with gr.Column(elem_classes="hf-video-only"):
                        video_buttons = VideoButtons()
                    with gr.Column(elem_classes="hf-live-only"):
                        live_button = gr.Button(
                            "Add a source photo",
                            variant="primary",
                            elem_id="live-button",
                            size="lg",
                            interactive=False,
                        )
                with gr.Column(elem_id="more"):
                    self.settings = Settings(desk, self.people)
            with gr.Column(elem_id="stage"):
                with gr.Column(elem_classes="hf-photo-only", elem_id="photo-stage"):
                    image_stage = ImageStage()
                with gr.Column(elem_classes="hf-video-only", elem_id="video-stage"):
                    video_stage = VideoStage()
                with gr.Column(elem_classes="hf-live-only", elem_id="live-stage"):
                    live_stage = LiveStage()
                self.history = gr.HTML(
                    elem_id="history", js_on_load=asset("history.js"), apply_default_css=False
                )
        gr.HTML(FOOT, apply_default_css=False)
        self.image = ImageTab(desk, image_rail, image_stage, self.settings, button, consent, self.history)
        self.video = VideoTab(
            desk, video_rail, video_stage, video_buttons, self.settings, consent, self.history
        )
        self.live = LiveTab(desk, live_stage, self.settings, live_button, consent)
        self._figures = image_stage.figures
        tab_name = gr.Textbox(visible=False)
        self._wire(consent)
        restored = [
            self.settings.model,
            self.settings.card,
            self._figures,
            *self.people.shown,
            *self.image.shown,
            *self.video.restored,
            *self.live.stage,
        ]
        self._num_restored = len(restored)
        arrived = page.load(
            quick(self._arrive), tab_name, restored, js=TAB_NAME, **QUICK, show_progress="hidden"
        )
        arrived.then(None, js=READY)
        self.image.draw_after(arrived)
        self.video.draw_after(arrived)
        page.unload(self._leave)

    def _wire(self, consent: Any) -> None:
        people, settings = self.people, self.settings
        shown = [*people.shown, *self.image.shown, *self.video.shown]
        model, quiet = settings.model, {**ORDERED, "show_progress": "hidden"}
        events = [
            people.zone.upload(quick(self._add_sources), model, shown, **quiet),
            people.zone.example(quick(self._add_example), model, shown, **quiet),
            people.faces.select(quick(self._choose_source), None, shown, **quiet),
            people.faces.remove(quick(self._remove_source), None, shown, **quiet),
            model.input(quick(self._choose_model), model, [settings.card, *shown], **QUICK, js=BEGUN),
            self.image.viewer.pair(quick(self._try_pair), model, shown, **quiet),
            self.video.viewer.pair(
                quick(self._try_video), model, [*people.shown, *self.video.restored], **quiet
            ),
        ]
        drawn: dict[str, Any] = {
            "fn": redraw(self._draw),
            "inputs": [consent, *settings.asked],
            "outputs": [*self.image.stage, *self.video.stage, *self.live.stage],
            **DRAWING,
        }
        for event in events:
            ordered(event).then(**drawn)
        # Of many changes in a row the last, whichever settings they are of; one request for all tabs.
        changes = [setting.input for setting in (consent, *settings.changing)]
        gr.on(changes, **drawn)
        self.history.all(quick(self._pack), None, self.history, **QUICK)

    # -------------------------------------------------------------------------------------------------------
    # Coming and going

    def _arrive(self, tab: str | None, request: gr.Request) -> Any:
        key = self._desk.arrive(tab or "", request)
        if self._desk.is_new(key):
            return [gr.skip()] * self._num_restored
        model = self._desk.studio.look(key).people.model
        restored = [gr.skip(), gr.skip()]
        if model is not None:
            restored = [model, card_html(self._desk.studio.bundles.offers.get(model))]
        return [
            *restored,
            self.image.figures(key),
            *self.people.show(key),
            *self.image.show(key),
            *self.video.restore(key),
            *self.live.show(key),
        ]

    def _leave(self, request: gr.Request) -> None:
        self._desk.visits.leave(page_of(request))

    # -------------------------------------------------------------------------------------------------------
    # Source face

    def _add_sources(self, model: str | None, request: gr.Request, given: gr.EventData) -> Any:
        key, problems = self._desk.key(request), []
        for photo in given.files:
            with problems_of() as refused:
                self._desk.studio.add_source(key, *upload_of(photo), model, client(request))
            problems += refused
        return self._show(key, problems)

    def _add_example(self, model: str | None, request: gr.Request, given: gr.EventData) -> Any:
        desk = self._desk
        problems = desk.take_example(given.name, desk.studio.add_source, model, request)
        return self._show(desk.key(request), problems)

    def _try_pair(self, model: str | None, request: gr.Request, given: gr.EventData) -> Any:
        desk = self._desk
        problems = desk.take_example(given.source, desk.studio.add_source, model, request)
        problems += desk.take_example(given.into, desk.studio.set_target, model, request)
        return self._show(desk.key(request), problems)

    def _try_video(self, model: str | None, request: gr.Request, given: gr.EventData) -> Any:
        desk = self._desk
        problems = desk.take_example(given.source, desk.studio.add_source, model, request)
        problems += desk.take_example(given.into, desk.videos.set_video, model, request)
        key = desk.key(request)
        return [*self.people.show(key, problems), *self.video.restore(key)]

    def _choose_source(self, request: gr.Request, clicked: gr.EventData) -> Any:
        key = self._desk.key(request)
        self._desk.studio.choose_source(key, int(clicked.face))
        return self._show(key)

    def _remove_source(self, request: gr.Request, clicked: gr.EventData) -> Any:
        key = self._desk.key(request)
        self._desk.studio.remove_source(key, int(clicked.photo))
        return self._show(key)

    def _choose_model(self, model: str | None, request: gr.Request) -> Any:
        key = self._desk.key(request)
        offers = self._desk.studio.bundles.offers
        card = card_html(offers.get(model or ""))
        with problems_of() as problems:
            self._desk.studio.choose_model(key, model)
        card += "".join(
            f'<p class="hf-told" data-bad>{escape(text)}</p>' for text in problems if escape(text) not in card
        )
        return [card, *self._show(key)]

    def _draw(self, request: gr.Request, consent: bool, *asked: Any) -> Any:
        # Each waits for the visitor's swap at work. The image is looked at last, or one drawn before that swap ended
        # would arrive after its result and hide it.
        live = self.live.change(request, consent, *asked)
        video = self.video.draw(request, consent, *asked)
        return [*self.image.draw(request, consent, *asked), *video, *live]

    def _pack(self, request: gr.Request) -> Any:
        key = self._desk.key(request)
        packed = self._desk.studio.pack(key)
        return history_html(self._desk.studio.look(key).kept, "" if packed is None else address(packed))

    def _show(self, key: str, problems: list[str] | None = None) -> list[Any]:
        return [*self.people.show(key, problems), *self.image.show(key), *self.video.show(key)]
