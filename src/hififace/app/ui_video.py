"""The video tab: where things stand and which handler each click calls. Progress is asked for, so a reload finds it."""

from __future__ import annotations

from typing import Any, Final

import gradio as gr

from hififace.app.asking import SwapRequest
from hififace.app.assets import asset
from hififace.app.desk import DRAWING, PRIVATE, QUICK, Desk, problems_of, upload_of
from hififace.app.drop_zone import DropZone, Filled
from hififace.app.events import BEGUN, ORDERED, ordered, pressed
from hififace.app.examples import VIDEO_PAIRS, VIDEOS
from hififace.app.face_picker import Shown, face_picker, faces_html
from hififace.app.fold import fold
from hififace.app.images import data_url
from hififace.app.preview import Patch
from hififace.app.ui_people import OWN_FORMAT, PLAIN_FORMAT, Settings, request_of
from hififace.app.video_handlers import VideoState
from hififace.app.video_player import frame_html, video_html, video_player
from hififace.app.viewer import Box, Kind, View, view_html, viewer
from hififace.app.visits import client, quick, redraw, spoken
from hififace.app.words import for_visitors, history_html, listed, progress_html, trim_html, video_figures
from hififace.errors import HififaceError

_EVERY_S: Final = 0.5
"""How often a page asks how far its video is."""

_WITH_PART: Final = '[...[0, 1].map((end) => document.querySelectorAll("#trim input")[end]?.valueAsNumber ?? null), ...values.slice(2)]'
"""JavaScript: the part that the handles show at the click, in the place of the first two values."""

_EMPTY: Final = View(
    "empty", told="Click the example, or add a source and a video of yours.", pairs=VIDEO_PAIRS
)


class VideoRail:
    """The target card of the video tab."""

    def __init__(self, desk: Desk) -> None:
        limit = desk.studio.limits.video_mb
        self.drop = DropZone("video-file", "Add a video", "video/*", limit, examples=VIDEOS)
        gr.HTML('<h2 class="hf-h">Target <span>where it is put</span></h2>', apply_default_css=False)
        self.zone = self.drop.component()
        self.faces = face_picker("video-faces")
        self.who = gr.HTML("", elem_id="video-who", apply_default_css=False)


class VideoButtons:
    """What begins and ends the work."""

    def __init__(self) -> None:
        with gr.Row(elem_id="video-buttons"):
            self.preview = gr.Button(
                "Preview 3 s", elem_id="video-preview", min_width=90, size="lg", visible="hidden"
            )
            self.whole = gr.Button(
                "Add a source photo",
                variant="primary",
                elem_id="video-whole",
                min_width=150,
                size="lg",
                interactive=False,
            )
            # In the place of the other two while a video is worked on, so that nothing moves.
            self.cancel = gr.Button(
                "Cancel", variant="secondary", visible=False, elem_id="video-cancel", size="lg"
            )


class VideoStage:
    """The result, and the frame on which faces are picked."""

    def __init__(self) -> None:
        self.player = video_player("video-result")
        with gr.Row(elem_id="video-outcome", equal_height=True):
            self.progress = gr.HTML(elem_id="video-progress", apply_default_css=False)
            self.download = gr.DownloadButton("Download", elem_id="video-download", visible=False, size="md")
        with gr.Column(elem_id="video-choose"):
            self.frame = viewer("video-frame", _EMPTY)
            self.moment = gr.Slider(
                0, 1, 0, step=0.01, label="Frame shown, in seconds", elem_id="moment", visible="hidden"
            )
            self.trim = gr.HTML(elem_id="trim", js_on_load=asset("trim.js"), apply_default_css=False)
            # What the handles say, for `_WITH_PART` alone.
            self.part = [gr.Number(visible=False), gr.Number(visible=False)]
        with fold("Who was swapped, and how long", "video-details", visible="hidden") as self.details:
            self.figures = gr.HTML(elem_id="video-figures", apply_default_css=False)


class VideoTab:
    """What happens on the video tab.

    Attributes:
        viewer: the large image.
        shown: components that `show` gives values to, when somebody else's click changed what they show.
        restored: all that a reloaded page must show again.
    """

    def __init__(
        self,
        desk: Desk,
        rail: VideoRail,
        stage: VideoStage,
        buttons: VideoButtons,
        settings: Settings,
        consent: Any,
        history: Any,
    ) -> None:
        self._desk, self._rail, self._settings, self.viewer = desk, rail, settings, stage.frame
        self.timer = gr.Timer(_EVERY_S, active=False)
        self.shown = [rail.zone, rail.faces, rail.who]
        self.stage = [stage.frame, buttons.preview, buttons.whole, stage.download]
        self._made = [
            stage.progress,
            buttons.cancel,
            buttons.preview,
            buttons.whole,
            stage.player,
            stage.download,
            stage.details,
            stage.figures,
            self.timer,
            history,
        ]
        self._video = [stage.moment, stage.trim, settings.video_format]
        self.restored = [*self._video, *self.shown, *self._made]
        self.asked = [consent, *settings.asked]
        self._wire(rail, stage, buttons)

    def _wire(self, rail: VideoRail, stage: VideoStage, buttons: VideoButtons) -> None:
        model, quiet = self._settings.model, {**QUICK, "show_progress": "hidden"}
        hidden = {**ORDERED, "show_progress": "hidden"}
        events = [
            rail.zone.upload(quick(self._set_video), model, self.restored, **ORDERED),
            rail.zone.example(quick(self._set_example), model, self.restored, **ORDERED),
            rail.zone.clear(quick(self._clear_video), None, self.restored, **ORDERED),
            stage.moment.input(
                quick(self._show_frame),
                [stage.moment, model],
                self.shown,
                **quiet,
                trigger_mode="always_last",
                js=BEGUN,
            ),
            stage.trim.trimmed(quick(self._trim), None, None, **hidden),
            rail.faces.select(quick(self._assign), None, self.shown, **hidden),
            stage.frame.select(quick(self._assign), None, self.shown, **hidden),
        ]
        for event in events:
            self.draw_after(ordered(event))
        kind = self._settings.video_format
        self.draw_after(kind.input(quick(self._choose_format), kind, None, **quiet))
        asked = [*stage.part, stage.moment, kind, *self.asked]
        js = pressed("video", _WITH_PART)
        for button, start in ((buttons.preview, self._start_preview), (buttons.whole, self._start_whole)):
            button.click(quick(start), asked, self._made, js=js, **quiet)
        buttons.cancel.click(quick(self._cancel), None, self._made, **quiet)
        # Not through the queue: how far a video is can be asked while all its places are taken.
        self.timer.tick(spoken(self._tick), None, self._made, **PRIVATE, queue=False, show_progress="hidden")

    def draw_after(self, event: Any) -> None:
        """Draw the frame anew when an event is over."""
        event.then(redraw(self.draw), self.asked, self.stage, **DRAWING)

    # -------------------------------------------------------------------------------------------------------
    # What clicks do

    def _set_video(self, model: str | None, request: gr.Request, given: gr.EventData) -> Any:
        key = self._desk.key(request)
        with problems_of() as problems:
            self._desk.videos.set_video(key, *upload_of(given.files[0]), model, client(request))
        return self.restore(key, problems)

    def _set_example(self, model: str | None, request: gr.Request, given: gr.EventData) -> Any:
        problems = self._desk.take_example(given.name, self._desk.videos.set_video, model, request)
        return self.restore(self._desk.key(request), problems)

    def _clear_video(self, request: gr.Request) -> Any:
        key = self._desk.key(request)
        self._desk.videos.clear_video(key)
        return self.restore(key)

    def _show_frame(self, moment_s: float, model: str | None, request: gr.Request) -> Any:
        key = self._desk.key(request)
        self._desk.videos.show_frame(key, moment_s, model)
        return self.show(key)

    def _trim(self, request: gr.Request, given: gr.EventData) -> None:
        self._desk.videos.trim(self._desk.key(request), float(given.start_s), float(given.end_s))

    def _choose_format(self, kind: str, request: gr.Request) -> None:
        self._desk.videos.choose_format(self._desk.key(request), own_format=kind == OWN_FORMAT)

    def _assign(self, request: gr.Request, clicked: gr.EventData) -> Any:
        key = self._desk.key(request)
        self._desk.videos.assign(key, int(clicked.face))
        return self.show(key)

    def _start_preview(self, request: gr.Request, *shown: Any) -> Any:
        return self._start(request, *shown, preview=True)

    def _start_whole(self, request: gr.Request, *shown: Any) -> Any:
        return self._start(request, *shown, preview=False)

    def _start(
        self,
        request: gr.Request,
        start_s: float | None,
        end_s: float | None,
        moment_s: float,
        kind: str,
        consent: bool,
        *asked: Any,
        preview: bool,
    ) -> Any:
        # The sliders' values come with the click, so that it means what they show.
        key, videos = self._desk.key(request), self._desk.videos
        if start_s is not None and end_s is not None:
            videos.trim(key, start_s, end_s)
        videos.start(
            key,
            request_of(consent, *asked),
            client(request),
            preview=preview,
            preview_s=moment_s,
            own_format=kind == OWN_FORMAT,
        )
        return self._show_made(key)

    def _cancel(self, request: gr.Request) -> Any:
        key = self._desk.key(request)
        self._desk.videos.cancel(key)
        return self._show_made(key)

    def _tick(self, request: gr.Request) -> Any:
        key = self._desk.key(request)
        state = self._desk.videos.look(key)
        if state.job is not None:
            standing = state.job.standing
            if not standing.over:
                values = [gr.skip()] * len(self._made)
                values[0] = progress_html(standing, is_preview=state.is_preview)
                latest = None if state.watching is None else state.watching.latest()
                if latest is not None:
                    values[4] = frame_html(latest, "The frame finished last")
                return values
        return self._show_made(key)

    # -------------------------------------------------------------------------------------------------------
    # What is shown

    def show(self, key: str, problems: list[str] | None = None) -> list[Any]:
        """The video, the faces of the frame shown, and who becomes whom."""
        state = self._desk.videos.look(key)
        who = listed(self._desk.videos.who(key))
        box = self._rail.drop.value(_filled(state), problems=problems or ())
        if state.frame is None:
            return [box, "", ""]
        none = "No face was found on this frame. Choose another one below it."
        title = "Click faces to choose; else everybody"
        return [box, faces_html(title, _shown_faces(state), otherwise=none), who]

    def draw(self, request: gr.Request, consent: bool, *asked: Any) -> list[Any]:
        """The frame with its preview, and the buttons."""
        key, wanted = self._desk.key(request), request_of(consent, *asked)
        state = self._desk.videos.look(key)
        state.asked, state.drawing = wanted, (drawing := object())
        drawn = self._drawn(key, wanted)
        return drawn if state.drawing is drawing else [gr.skip()] * len(drawn)

    def restore(self, key: str, problems: list[str] | None = None) -> list[Any]:
        """Everything, as it was before the page was reloaded; a video at work is found again."""
        state = self._desk.videos.look(key)
        video, frame = state.video, state.frame
        kind = OWN_FORMAT if state.own_format else PLAIN_FORMAT
        if video is None or frame is None:
            about = [gr.Slider(visible="hidden"), "", kind]
        else:
            last_s = video.last_s or self._desk.studio.limits.video_minutes * 60
            slider = gr.Slider(maximum=round(last_s, 2), value=frame.moment_s, visible=True)
            about = [slider, trim_html(state.start_s_wanted, state.end_s_wanted or last_s, last_s), kind]
        return [*about, *self.show(key, problems), *self._show_made(key)]

    def is_busy(self, key: str) -> bool:
        """Whether the visitor has a video at work."""
        job = self._desk.videos.look(key).job
        return job is not None and not job.standing.over

    def _drawn(self, key: str, wanted: SwapRequest) -> list[Any]:
        state = self._desk.videos.look(key)
        view = view_html(self._view(key, state, wanted, _missing(state)))
        # Looked at behind the preview: a video may have ended while it was made.
        state = self._desk.videos.look(key)
        return [view, *_buttons(state, busy=self.is_busy(key)), _download(state)]

    def _view(self, key: str, state: VideoState, wanted: SwapRequest, missing: str) -> View:
        frame = state.frame
        if frame is None:
            return (
                View("empty", told="Add a video. The result appears here.") if state.people.photos else _EMPTY
            )
        height, width = frame.image.shape[:2]
        shown = _shown_faces(state)
        boxes = [
            Box.around(place, framed.face.detection, face.name, pressed=face.pressed)
            for place, (framed, face) in enumerate(zip(frame.faces, shown, strict=True))
        ]
        told = ""
        patches: list[Patch] = []
        if not missing and wanted.consent is True:
            try:
                patches = self._desk.videos.preview(key, wanted)
            except HififaceError as error:
                told = for_visitors(str(error))
        elif not missing:
            told = "Confirm the statement to see a preview."
        kind: Kind = "preview" if patches else "target"
        return View(kind, width, height, frame.shown(), patches=patches, boxes=boxes, told=told)

    def _show_made(self, key: str) -> list[Any]:
        """The video being made or made last: progress, buttons, result."""
        state = self._desk.videos.look(key)
        standing = None if state.job is None else state.job.standing
        busy = standing is not None and not standing.over
        progress = "" if standing is None else progress_html(standing, is_preview=state.is_preview)
        player, download, told = "", gr.DownloadButton(value=None, visible=False), ""
        if standing is not None and standing.file is not None and standing.report is not None:
            player = _player(state)
            download = _download(state)
            told = video_figures(standing.report.to_json())
            self._desk.videos.keep(key)
        return [
            progress,
            gr.Button(visible=busy),
            *_buttons(state, busy=busy),
            player,
            download,
            gr.Column(visible=True if told else "hidden"),
            told,
            gr.Timer(active=busy),
            history_html(self._desk.studio.look(key).kept),
        ]


def _buttons(state: VideoState, *, busy: bool) -> list[Any]:
    """Preview and swap: off while a video is at work; before there is everything, one that says what is missing."""
    missing = _missing(state)
    free = not busy and not missing
    return [
        gr.Button(interactive=free, visible="hidden" if missing else True),
        gr.Button(value=missing or "Swap the video", interactive=free),
    ]


def _download(state: VideoState) -> Any:
    """The result's download; a result of other choices is out of date."""
    file = None if state.job is None else state.job.standing.file
    if file is None:
        return gr.DownloadButton(value=None, visible=False)
    label = "Download" if state.is_current else "Out of date: swap again"
    return gr.DownloadButton(label, value=str(file), visible=True, interactive=state.is_current)


def _missing(state: VideoState) -> str:
    if state.people.chosen is None:
        return "Add a source photo"
    return "" if state.video is not None else "Add a target video"


def _filled(state: VideoState) -> Filled | None:
    if state.video is None or state.frame is None:
        return None
    face = max(state.frame.faces, key=lambda framed: framed.face.detection.size_px, default=None)
    return Filled(state.video.name, state.video.sentence(), "" if face is None else data_url(face.thumbnail))


def _player(state: VideoState) -> str:
    assert state.job is not None
    assert state.video is not None
    file = state.job.standing.file
    assert file is not None
    target = state.video.path if state.video.played_by_browsers else None
    info = state.video.info
    size = info.width, info.height
    return video_html(file, target, size, state.start_s, sound=bool(info.of_kind("audio")))


def _shown_faces(state: VideoState) -> list[Shown]:
    assert state.frame is not None
    people, shown = state.people, []
    for place, framed in enumerate(state.frame.faces):
        pick = state.pick_of(place)
        source = None if pick is None else state.mapping.get(pick)
        if pick is None or source is None:
            name, caption = f"Replace face {place + 1} of the frame", f"face {place + 1}"
            shown.append(Shown(framed.thumbnail, name, caption))
            continue
        name = f"Person {pick + 1} of the video becomes {people.called(source)}"
        caption = f"person {pick + 1}"
        shown.append(Shown(framed.thumbnail, name, caption, pressed=True, inset=people.thumbnail(source)))
    return shown
