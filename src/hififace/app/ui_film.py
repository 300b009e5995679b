"""The film tab: where things stand and which handler each click calls. Progress is asked for, so a reload finds it."""

from __future__ import annotations

from typing import Any, Final

import gradio as gr

from hififace.app.desk import PRIVATE, QUICK, RAW, Desk, upload_of, warned
from hififace.app.face_picker import Shown, face_picker, frame_html
from hififace.app.film_handlers import FilmState
from hififace.app.film_player import film_html, film_player
from hififace.app.ui_people import PeopleColumn, consent_box, request_of
from hififace.app.visits import client, spoken
from hififace.app.words import film_figures, listed, progress_html

_EVERY_S: Final = 0.5
"""How often a page asks how far its film is."""

_PLAIN, _OWN = "MP4, plays everywhere", "As the film"


class FilmTab:
    """The components of the film tab.

    Attributes:
        shown: components that `show` gives values to, when somebody else's click changed what they show.
        restored: all that a reloaded page must show again.
    """

    def __init__(self, desk: Desk, people: PeopleColumn) -> None:
        self._desk = desk
        with gr.Row(equal_height=False):
            with gr.Column():
                gr.Markdown("## 2. Where", elem_classes="hf-step")
                self.film = gr.File(
                    label="The target film", elem_id="film-file", file_types=["video"], height=130
                )
                self.about = gr.Markdown(elem_id="film-about")
                self.moment = gr.Slider(
                    0,
                    1,
                    0,
                    step=0.01,
                    label="Frame, in seconds",
                    elem_id="moment",
                    visible=False,
                )
                self.faces = face_picker("film-faces")
                self.who = gr.Markdown("Add a photo of the person to put in.", elem_id="film-who")
            with gr.Column():
                gr.Markdown("## 3. Swap", elem_classes="hf-step")
                self.consent = consent_box("film", "film-consent")
                self.format = gr.Radio(
                    [_PLAIN, _OWN], value=_PLAIN, label="Kind of the result", elem_id="film-format"
                )
                with gr.Row():
                    self.preview = gr.Button("Preview 3 s", elem_id="film-preview", min_width=120, size="md")
                    self.whole = gr.Button(
                        "Swap the film", variant="primary", elem_id="film-whole", min_width=120, size="md"
                    )
                self.progress = gr.HTML(elem_id="film-progress", apply_default_css=False)
                self.cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="film-cancel")
                self.player = film_player("film-result")
                self.download = gr.DownloadButton(
                    "Download, marked as a face swap",
                    elem_id="film-download",
                    visible=False,
                    size="md",
                )
                self.figures = gr.HTML(elem_id="film-figures", apply_default_css=False)
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
        self._film = [self.film, self.about, self.moment, self.format]
        self.restored = [*self._film, *self.shown, *self._made]
        self._wire(people)

    def _wire(self, people: PeopleColumn) -> None:
        self.film.upload(spoken(self._set_film), [self.film, people.model], self.restored, **RAW)
        self.film.clear(spoken(self._clear_film), None, self.restored, **QUICK)
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
        # Not through the queue: how far a film is can be asked while all its places are taken.
        self.timer.tick(spoken(self._tick), None, self._made, **PRIVATE, queue=False, show_progress="hidden")

    # -------------------------------------------------------------------------------------------------------
    # What clicks do

    def _set_film(self, file: dict[str, Any] | None, model: str | None, request: gr.Request) -> Any:
        key = self._desk.key(request)
        with warned():
            if file is not None:
                self._desk.films.set_film(key, *upload_of(file), model, client(request))
        return self.restore(key)

    def _clear_film(self, request: gr.Request) -> Any:
        key = self._desk.key(request)
        self._desk.films.clear_film(key)
        return self.restore(key)

    def _show_frame(self, moment_s: float, model: str | None, request: gr.Request) -> Any:
        key = self._desk.key(request)
        with warned():
            self._desk.films.show_frame(key, moment_s, model)
        return self.show(key)

    def _assign(self, request: gr.Request, clicked: gr.EventData) -> Any:
        key = self._desk.key(request)
        self._desk.films.assign(key, int(clicked.face))
        return self.show(key)

    def _start_preview(self, request: gr.Request, kind: str, consent: bool, *asked: Any) -> Any:
        return self._start(request, kind, consent, asked, preview=True)

    def _start_whole(self, request: gr.Request, kind: str, consent: bool, *asked: Any) -> Any:
        return self._start(request, kind, consent, asked, preview=False)

    def _start(
        self, request: gr.Request, kind: str, consent: bool, asked: tuple[Any, ...], *, preview: bool
    ) -> Any:
        key = self._desk.key(request)
        self._desk.films.start(
            key, request_of(consent, *asked), client(request), preview=preview, own_format=kind == _OWN
        )
        return self._show_made(key)

    def _cancel(self, request: gr.Request) -> Any:
        key = self._desk.key(request)
        self._desk.films.cancel(key)
        return self._show_made(key)

    def _tick(self, request: gr.Request) -> Any:
        key = self._desk.key(request)
        state = self._desk.films.look(key)
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
        state = self._desk.films.look(key)
        who = listed(self._desk.films.who(key))
        if state.frame is None:
            return ["", who]
        none = "No face was found on this frame. Choose another one with the slider."
        shown = _shown_faces(state)
        return [frame_html(state.frame, shown, "Click the faces to be replaced", otherwise=none), who]

    def restore(self, key: str) -> list[Any]:
        """Everything, as it was before the page was reloaded; a film at work is found again."""
        state = self._desk.films.look(key)
        film, frame = state.film, state.frame
        if film is None or frame is None:
            about = [None, "", gr.Slider(visible=False), gr.skip()]
        else:
            last_s = film.length_s or self._desk.studio.limits.film_minutes * 60
            slider = gr.Slider(maximum=round(last_s, 2), value=frame.moment_s, visible=True)
            about = [str(film.path), film.sentence(), slider, _OWN if state.own_format else _PLAIN]
        return [*about, *self.show(key), *self._show_made(key)]

    def is_busy(self, key: str) -> bool:
        """Whether the visitor has a film that a reloaded page should open at."""
        return self._desk.films.look(key).film is not None

    def _show_made(self, key: str) -> list[Any]:
        """The film being made or made last: progress, buttons, result."""
        state = self._desk.films.look(key)
        standing = None if state.job is None else state.job.standing
        busy = standing is not None and not standing.over
        progress = "" if standing is None else progress_html(standing, is_preview=state.is_preview)
        player, download, told = "", gr.DownloadButton(value=None, visible=False), ""
        if standing is not None and standing.file is not None and standing.report is not None:
            player = _player(state)
            download = gr.DownloadButton(value=str(standing.file), visible=True)
            told = film_figures(standing.report.to_json())
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


def _player(state: FilmState) -> str:
    assert state.job is not None
    assert state.film is not None
    file = state.job.standing.file
    assert file is not None
    target = state.film.path if state.film.played_by_browsers else None
    return film_html(file, target, state.start_s)


def _shown_faces(state: FilmState) -> list[Shown]:
    assert state.frame is not None
    people, shown = state.people, []
    for place, framed in enumerate(state.frame.faces):
        pick = state.pick_of(place)
        source = None if pick is None else state.mapping.get(pick)
        if pick is None or source is None:
            shown.append(Shown(framed.thumbnail, f"Replace face {place} of the frame", f"face {place}"))
            continue
        name = f"Person {pick + 1} of the film becomes {people.called(source)}"
        caption = f"→ {people.faces[source][0].name}"
        shown.append(Shown(framed.thumbnail, name, caption, pressed=True, inset=people.thumbnail(source)))
    return shown
