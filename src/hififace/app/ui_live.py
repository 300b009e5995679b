"""The live tab: a camera in the browser, whose frames come back swapped, each with the words "face swap" in it."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from hififace.app.assets import asset
from hififace.app.desk import QUICK, Desk
from hififace.app.events import ORDERED, ordered, pressed
from hififace.app.icons import icon
from hififace.app.images import data_url
from hififace.app.ui_people import Settings, request_of
from hififace.app.visits import client, quick
from hififace.swap.output import LIVE_LABEL

_START, _STOP = "Start the camera", "Stop the camera"


class LiveStage:
    """The camera's image, swapped."""

    def __init__(self) -> None:
        self.camera = gr.HTML(
            live_html(),
            elem_id="camera",
            js_on_load=asset("live.js"),
            apply_default_css=False,
        )


class LiveTab:
    """What happens on the live tab.

    Attributes:
        stage: components that `show` gives values to.
    """

    def __init__(self, desk: Desk, stage: LiveStage, settings: Settings, button: Any, consent: Any) -> None:
        self._desk = desk
        self.stage = [stage.camera, button]
        self.asked = [consent, *settings.asked]
        button.click(
            quick(self._toggle), self.asked, self.stage, js=pressed("live"), **QUICK, show_progress="hidden"
        )
        ordered(stage.camera.ended(quick(self._end), None, self.stage, **ORDERED, show_progress="hidden"))

    def show(self, key: str) -> list[Any]:
        """The camera, and the button."""
        secret, people = self._desk.lives.look(key).secret, self._desk.studio.look(key).people
        ready = people.chosen is not None
        label = _STOP if secret else (_START if ready else "Add a source photo")
        source = "" if people.chosen is None else data_url(people.thumbnail(people.chosen))
        return [live_html(secret, source), gr.Button(value=label, interactive=bool(secret) or ready)]

    def _toggle(self, request: gr.Request, consent: bool, *asked: Any) -> list[Any]:
        key = self._desk.key(request)
        if self._desk.lives.look(key).secret:
            self._desk.lives.end(key)
        else:
            self._desk.lives.begin(key, request_of(consent, *asked), client(request))
        return self.show(key)

    def _end(self, request: gr.Request) -> list[Any]:
        key = self._desk.key(request)
        self._desk.lives.end(key)
        return self.show(key)

    def change(self, request: gr.Request, consent: bool, *asked: Any) -> list[Any]:
        """Let a running camera know of another source, or other settings."""
        key = self._desk.key(request)
        self._desk.lives.change(key, request_of(consent, *asked))
        return self.show(key)


def live_html(secret: str = "", source: str = "") -> str:
    """HTML of the camera; it starts as soon as there is a secret.

    Args:
        secret: of the camera at work; empty: none is.
        source: a data URL of the face that is put in; empty: none is chosen.
    """
    label = escape(LIVE_LABEL)
    face = f'<img class="hf-live-source" src="{source}" alt="The source">' if source else ""
    shown = f'<img class="hf-live-large" src="{source}" alt="">' if source else icon("live", side_px=44)
    return (
        f'<div class="hf-viewer hf-live" data-secret="{secret}"><div class="hf-canvas">'
        '<canvas width="640" height="480" role="img" aria-label="The camera with the source\'s face"></canvas>'
        f'<div class="hf-nothing">{shown}<p>The camera of this device, with the source\'s face on the '
        f"largest face it sees. Every frame says &ldquo;{label}&rdquo;.</p></div></div>"
        f'<div class="hf-tools">{face}<p class="hf-hint hf-live-told" role="status"></p></div></div>'
    )
