"""The video tab: where things stand and which handler each click calls. Progress is asked for, so a reload finds it."""

from __future__ import annotations

from typing import Any, Final

import gradio as gr

from hififace.app.desk import PRIVATE, QUICK, RAW, Desk, upload_of, warned
from hififace.app.face_picker import Shown, face_picker, frame_html
from hififace.app.ui_people import PeopleColumn, consent_box, request_of
from hififace.app.video_handlers import VideoState
from hififace.app.video_player import video_html, video_player
from hififace.app.visits import client, spoken
from hififace.app.words import listed, progress_html, video_figures

_EVERY_S: Final = 0.5
"""How often a page asks how far its video is."""

_PLAIN, _OWN = "MP4, plays everywhere", "As the video"


class VideoTab:
    """The components of the video tab.

    Attributes:
        shown: components that `show` gives values to, when somebody else's click changed what they show.
        restored: all that a reloaded page must show again.
    """

    def __init__(self, desk: Desk, people: PeopleColumn) -> None:
        self._desk = desk
        with gr.Row(equal_height=False):
            with gr.Column():
                gr.Markdown("## 2. Where", elem_classes="hf-step")
                self.video = gr.File(
                    label="The target video", elem_id="video-file", file_types=["video"], height=130
                )
                self.about = gr.Markdown(elem_id="video-about")
                self.moment = gr.Slider(
                    0,
                    1,
                    0,
                    step=0.01,
                    label="Frame, in seconds",
                    elem_id="moment",
                    visible=False,
                )
                self.faces = face_picker("video-faces")
                self.who = gr.Markdown("Add a photo of the person to put in.", elem_id="video-who")
            with gr.Column():
                gr.Markdown("## 3. Swap", elem_classes="hf-step")
                self.consent = consent_box("video", "video-consent")
                self.format = gr.Radio(
                    [_PLAIN, _OWN], value=_PLAIN, label="Kind of the result", elem_id="video-format"
                )
                with gr.Row():
                    self.preview = gr.Button("Preview 3 s", elem_id="video-preview", min_width=120, size="md")
                    self.whole = gr.Button(
                        "Swap the video", variant="primary", elem_id="video-whole", min_width=120, size="md"
                    )
                self.progress = gr.HTML(elem_id="video-progress", apply_default_css=False)
                self.cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="video-cancel")
                self.player = video_player("video-result")
                self.download = gr.DownloadButton(
                    "Download, marked as a face swap",
                    elem_id="video-download",
                    visible=False,
                    size="md",
                )
                self.figures = gr.HTML(elem_id="video-figures", apply_default_css=False)
        self.timer = gr.Timer(_EVERY_S, active=False)
        self.shown = [self.faces, self.who]
        self._made = [
            self.progress,
            self.cancel,
            self.preview,
            self.whole,
            self.player,
            self.download,
            self.figures,
            self.timer,
        ]
        self._video = [self.video, self.about, self.moment, self.format]
        self.restored = [*self._video, *self.shown, *self._made]
        self._wire(people)

    def _wire(self, people: PeopleColumn) -> None:
        self.video.upload(spoken(self._set_video), [self.video, people.model], self.restored, **RAW)
        self.video.clear(spoken(self._clear_video), None, self.restored, **QUICK)
        self.moment.input(
            spoken(self._show_frame),
            [self.moment, people.model],
            self.shown,
            **QUICK,
            trigger_mode="always_last",
            show_progress="hidden",
        )
        self.faces.select(spoken(self._assign), None, self.shown, **QUICK, show_progress="hidden")
        asked = [self.format, self.consent, *people.asked]
        for button, start in ((self.preview, self._start_preview), (self.whole, self._start_whole)):
            button.click(spoken(start), asked, self._made, **QUICK, show_progress="hidden")
        self.cancel.click(spoken(self._cancel), None, self._made, **QUICK, show_progress="hidden")
        # Not through the queue: how far a video is can be asked while all its places are taken.
        self.timer.tick(spoken(self._tick), None, self._made, **PRIVATE, queue=False, show_progress="hidden")

    # -------------------------------------------------------------------------------------------------------
    # What clicks do

    def _set_video(self, file: dict[str, Any] | None, model: str | None, request: gr.Request) -> Any:
        key = self._desk.key(request)
        with warned():
            if file is not None:
                self._desk.videos.set_video(key, *upload_of(file), model, client(request))
        return self.restore(key)

    def _clear_video(self, request: gr.Request) -> Any:
        key = self._desk.key(request)
        self._desk.videos.clear_video(key)
        return self.restore(key)

    def _show_frame(self, moment_s: float, model: str | None, request: gr.Request) -> Any:
        key = self._desk.key(request)
        with warned():
            self._desk.videos.show_frame(key, moment_s, model)
        return self.show(key)

    def _assign(self, request: gr.Request, clicked: gr.EventData) -> Any:
        key = self._desk.key(request)
        self._desk.videos.assign(key, int(clicked.face))
        return self.show(key)

    def _start_preview(self, request: gr.Request, kind: str, consent: bool, *asked: Any) -> Any:
        return self._start(request, kind, consent, asked, preview=True)

    def _start_whole(self, request: gr.Request, kind: str, consent: bool, *asked: Any) -> Any:
        return self._start(request, kind, consent, asked, preview=False)

    def _start(
        self, request: gr.Request, kind: str, consent: bool, asked: tuple[Any, ...], *, preview: bool
    ) -> Any:
        key = self._desk.key(request)
        self._desk.videos.start(
            key, request_of(consent, *asked), client(request), preview=preview, own_format=kind == _OWN
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
                bar = progress_html(standing, is_preview=state.is_preview)
                return [bar, *[gr.skip()] * (len(self._made) - 1)]
        return self._show_made(key)

    # -------------------------------------------------------------------------------------------------------
    # What is shown

    def show(self, key: str) -> list[Any]:
        """The frame, its faces, and who becomes whom."""
        state = self._desk.videos.look(key)
        who = listed(self._desk.videos.who(key))
        if state.frame is None:
            return ["", who]
        none = "No face was found on this frame. Choose another one with the slider."
        shown = _shown_faces(state)
        return [frame_html(state.frame, shown, "Click the faces to be replaced", otherwise=none), who]

    def restore(self, key: str) -> list[Any]:
        """Everything, as it was before the page was reloaded; a video at work is found again."""
        state = self._desk.videos.look(key)
        video, frame = state.video, state.frame
        if video is None or frame is None:
            about = [None, "", gr.Slider(visible=False), gr.skip()]
        else:
            last_s = video.length_s or self._desk.studio.limits.video_minutes * 60
            slider = gr.Slider(maximum=round(last_s, 2), value=frame.moment_s, visible=True)
            about = [str(video.path), video.sentence(), slider, _OWN if state.own_format else _PLAIN]
        return [*about, *self.show(key), *self._show_made(key)]

    def is_busy(self, key: str) -> bool:
        """Whether the visitor has a video that a reloaded page should open at."""
        return self._desk.videos.look(key).video is not None

    def _show_made(self, key: str) -> list[Any]:
        """The video being made or made last: progress, buttons, result."""
        state = self._desk.videos.look(key)
        standing = None if state.job is None else state.job.standing
        busy = standing is not None and not standing.over
        progress = "" if standing is None else progress_html(standing, is_preview=state.is_preview)
        player, download, told = "", gr.DownloadButton(value=None, visible=False), ""
        if standing is not None and standing.file is not None and standing.report is not None:
            player = _player(state)
            download = gr.DownloadButton(value=str(standing.file), visible=True)
            told = video_figures(standing.report.to_json())
        return [
            progress,
            gr.Button(visible=busy),
            gr.Button(interactive=not busy),
            gr.Button(interactive=not busy),
            player,
            download,
            told,
            gr.Timer(active=busy),
        ]


def _player(state: VideoState) -> str:
    assert state.job is not None
    assert state.video is not None
    file = state.job.standing.file
    assert file is not None
    target = state.video.path if state.video.played_by_browsers else None
    return video_html(file, target, state.start_s)


def _shown_faces(state: VideoState) -> list[Shown]:
    assert state.frame is not None
    people, shown = state.people, []
    for place, framed in enumerate(state.frame.faces):
        pick = state.pick_of(place)
        source = None if pick is None else state.mapping.get(pick)
        if pick is None or source is None:
            shown.append(Shown(framed.thumbnail, f"Replace face {place} of the frame", f"face {place}"))
            continue
        name = f"Person {pick + 1} of the video becomes {people.called(source)}"
        caption = f"→ {people.faces[source][0].name}"
        shown.append(Shown(framed.thumbnail, name, caption, pressed=True, inset=people.thumbnail(source)))
    return shown
