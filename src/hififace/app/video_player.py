"""A finished video in the page: target and result play together, and a line between them can be moved."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import gradio as gr

# Media events do not bubble, so they are caught on their way down. The target is silent and follows the result.
_TOGETHER: Final = """
const both = () => [element.querySelector("video.hf-result"), element.querySelector("video.hf-target")];
const follow = (precise) => {
  const [result, target] = both();
  if (!result || !target) return;
  const wanted = result.currentTime + Number(target.dataset.start);
  if (Math.abs(target.currentTime - wanted) > (precise ? 0.01 : 0.08)) target.currentTime = wanted;
};
const on = (name, act) => element.addEventListener(name, (event) => {
  if (event.target.classList.contains("hf-result")) act();
}, true);
on("play", () => { follow(true); both()[1]?.play(); });
on("pause", () => { both()[1]?.pause(); follow(true); });
on("seeked", () => follow(true));
on("timeupdate", () => follow(false));
on("loadeddata", () => follow(true));
element.addEventListener("input", (event) => {
  if (!event.target.matches("input[type=range]")) return;
  element.querySelector(".hf-video").style.setProperty("--line", `${event.target.value}%`);
});
"""


def video_player(elem_id: str) -> Any:
    """An empty player; `video_html` fills it."""
    return gr.HTML(value="", elem_id=elem_id, js_on_load=_TOGETHER, apply_default_css=False)


def video_html(result: Path, target: Path | None, start_s: float = 0.0) -> str:
    """The finished video.

    Args:
        result: the marked file, in the visitor's folder.
        target: the video that it was made from; None where browsers do not play it.
        start_s: the moment of the target at which the result begins.
    """
    video = (
        f'<video class="hf-result" controls playsinline preload="auto" src="{_address(result)}" '
        'aria-label="The result">This browser does not play this video; the download is whole.</video>'
    )
    if target is None:
        return f'<div class="hf-video">{video}</div>'
    return (
        f'<div class="hf-video hf-both">{video}'
        f'<video class="hf-target" muted playsinline preload="auto" src="{_address(target)}" '
        f'data-start="{start_s:.3f}" aria-hidden="true" tabindex="-1"></video></div>'
        '<label class="hf-line">Show the target <input type="range" min="0" max="100" value="0" '
        'aria-label="How much of the target is shown beside the result"></label>'
    )


def _address(file: Path) -> str:
    """Relative, so that it holds behind a proxy too."""
    return escape(f"gradio_api/file={quote(str(file))}")
