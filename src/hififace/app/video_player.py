"""A finished video in the page: target and result play together, and a line between them can be moved."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from hififace.app.assets import asset
from hififace.app.viewer import address


def video_player(elem_id: str) -> Any:
    """An empty player; `video_html` fills it."""
    return gr.HTML(value="", elem_id=elem_id, js_on_load=asset("together.js"), apply_default_css=False)


def video_html(result: Path, target: Path | None, start_s: float = 0.0) -> str:
    """The finished video.

    Args:
        result: the marked file, in the visitor's folder.
        target: the video that it was made from; None where browsers do not play it.
        start_s: the moment of the target at which the result begins.
    """
    video = (
        f'<video class="hf-result" controls playsinline preload="auto" src="{address(result)}" '
        'aria-label="The result">This browser does not play this video; the download is whole.</video>'
    )
    if target is None:
        return f'<div class="hf-video">{video}</div>'
    return (
        f'<div class="hf-video hf-both">{video}'
        f'<video class="hf-target" muted playsinline preload="auto" src="{address(target)}" '
        f'data-start="{start_s:.3f}" aria-hidden="true" tabindex="-1"></video>'
        '<span class="hf-chip hf-left">Target</span><span class="hf-chip hf-right">Result</span></div>'
        '<label class="hf-compare"><span>Compare</span><input type="range" min="0" max="100" value="0" '
        'aria-label="How much of the target is shown beside the result"></label>'
    )


def frame_html(jpeg: bytes, told: str) -> str:
    """A frame of a video at work.

    Args:
        jpeg: labelled.
        told: what it is, for screen readers.
    """
    packed = base64.b64encode(jpeg).decode()
    return f'<div class="hf-video hf-atwork"><img src="data:image/jpeg;base64,{packed}" alt="{escape(told)}"></div>'
