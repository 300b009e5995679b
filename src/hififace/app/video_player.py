"""A finished video in the page: target and result play together, and a line between them can be moved."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from hififace.app.assets import asset
from hififace.app.icons import icon
from hififace.app.viewer import address


def video_player(elem_id: str) -> Any:
    """An empty player; `video_html` fills it."""
    return gr.HTML(value="", elem_id=elem_id, js_on_load=asset("player.js"), apply_default_css=False)


def video_html(
    result: Path, target: Path | None, size: tuple[int, int], start_s: float = 0.0, *, sound: bool = False
) -> str:
    """The finished video, with controls of its own below it: those of browsers darken the image.

    Args:
        result: the marked file, in the visitor's folder.
        target: the video that it was made from; None where browsers do not play it.
        size: width and height in pixels, until the browser knows them.
        start_s: the moment of the target at which the result begins.
        sound: whether the result has some.
    """
    videos = f'<video class="hf-result" playsinline preload="auto" src="{address(result)}" aria-label="The result"></video>'
    chips = ""
    if target is not None:
        videos += (
            f'<video class="hf-target" muted playsinline preload="auto" src="{address(target)}" '
            f'data-start="{start_s:.3f}" aria-hidden="true" tabindex="-1"></video>'
            '<div class="hf-divider" role="slider" tabindex="0" aria-label="How much of the target is shown" '
            f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="0"><span>{icon("whole", side_px=18)}</span></div>'
        )
        chips = '<span class="hf-chip hf-left">Target</span><span class="hf-chip hf-right">Result</span>'
    width, height = size
    return (
        f'<div class="hf-viewer hf-player"><div class="hf-screen"><div class="hf-reel" style="--w:{width};--h:{height}">'
        f"{videos}</div>{chips}"
        '<p class="hf-over" hidden>This browser cannot play this video. The download is complete.</p></div>'
        f'<div class="hf-tools">{_button("play", "Play", "play", "pause")}'
        '<input type="range" class="hf-seek" min="0" max="1" step="any" value="0" aria-label="Position">'
        f'<span class="hf-time">0:00 / 0:00</span>{_button("mute", "Sound off", "sound", "muted") if sound else ""}'
        f"{_button('screen', 'Full screen', 'fit')}</div></div>"
    )


def frame_html(jpeg: bytes, told: str) -> str:
    """A frame of a video at work.

    Args:
        jpeg: labelled.
        told: what it is, for screen readers.
    """
    packed = base64.b64encode(jpeg).decode()
    return (
        '<div class="hf-viewer hf-player hf-atwork"><div class="hf-screen">'
        f'<img src="data:image/jpeg;base64,{packed}" alt="{escape(told)}"></div></div>'
    )


def _button(what: str, told: str, name: str, name_on: str = "") -> str:
    """A button that shows its second icon while what it switches is on."""
    icons = (
        f'<span class="hf-off">{icon(name)}</span><span class="hf-on">{icon(name_on)}</span>'
        if name_on
        else icon(name)
    )
    return f'<button type="button" class="hf-tool" data-do="{what}" aria-label="{told}" title="{told}">{icons}</button>'
