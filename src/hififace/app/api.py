"""The page's functions for programs: `gradio_client` calls `/swap` or `/swap_video` with two files and gets one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import gradio as gr
from gradio.data_classes import FileData

from hififace.app.asking import SwapRequest
from hififace.app.controls import made_of
from hififace.app.desk import Desk, upload_of
from hififace.app.visits import client, spoken
from hififace.errors import HififaceError
from hififace.swap.options import SwapOptions

_USUAL: Final = SwapOptions()


def swap_function(desk: Desk) -> Callable[..., Any]:
    """The function that `/swap` calls, for `gradio.api`."""
    studio = desk.studio

    def swap(
        source: FileData,
        target: FileData,
        consent: bool,
        model: str | None = None,
        shape_rate: float = _USUAL.shape_rate,
        id_rate: float = _USUAL.id_rate,
        passes: int = _USUAL.passes,
        request: gr.Request = None,  # type: ignore[assignment]  # gradio gives it by its type
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Put the largest face of one photo into every face of another.

        `consent` says that the people shown agreed; without it nothing is swapped. Returns the marked result, and what
        was done: faces (their `index` counts from 0), similarities, milliseconds by stage.
        """
        chosen = model or next(iter(studio.bundles.names), None)
        asked = SwapRequest(
            chosen,
            consent=consent,
            swap=made_of(SwapOptions, ("shape_rate", "id_rate", "passes"), (shape_rate, id_rate, passes)),
        )
        asked.options()  # what is refused takes no place and touches no file
        key = desk.key(request)
        studio.clear_sources(key)
        studio.add_source(key, *upload_of(source), chosen, client(request))
        studio.set_target(key, *upload_of(target), chosen, client(request))
        studio.choose_everybody(key, wanted=True)
        made = studio.swap(key, asked, client(request))
        file = FileData(path=str(made.file), orig_name=made.file.name)
        return file.model_dump(), made.report

    return _with_results(spoken(swap))


def video_function(desk: Desk) -> Callable[..., Any]:
    """The function that `/swap_video` calls, for `gradio.api`."""
    studio, videos = desk.studio, desk.videos

    def swap_video(
        source: FileData,
        video: FileData,
        consent: bool,
        model: str | None = None,
        shape_rate: float = _USUAL.shape_rate,
        id_rate: float = _USUAL.id_rate,
        preview: bool = False,
        request: gr.Request = None,  # type: ignore[assignment]  # gradio gives it by its type
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Put the largest face of a photo into everybody in a video, or in the first seconds with `preview`.

        `consent` says that the people shown agreed; without it nothing is swapped. Waits in the same line as the videos
        of the page. Returns the marked MP4, and what was done: people, frames, seconds by stage.
        """
        chosen = model or next(iter(studio.bundles.names), None)
        asked = SwapRequest(
            chosen,
            consent=consent,
            swap=made_of(SwapOptions, ("shape_rate", "id_rate"), (shape_rate, id_rate)),
        )
        asked.options()
        key = desk.key(request)
        studio.clear_sources(key)
        studio.add_source(key, *upload_of(source), chosen, client(request))
        videos.set_video(key, *upload_of(video), chosen, client(request))
        job = videos.start(key, asked, client(request), preview=preview)
        job.wait()
        standing = job.standing
        if standing.report is None:
            raise HififaceError(standing.problem)
        output = standing.report.output
        report = {**standing.report.to_json(), "target": upload_of(video)[1], "output": output.name}
        return FileData(path=str(output), orig_name=output.name).model_dump(), report

    return _with_results(spoken(swap_video))


def _with_results(said: Callable[..., Any]) -> Callable[..., Any]:
    # Postponed annotations are strings, in which gradio does not see the two results.
    said.__annotations__["return"] = tuple[FileData, dict[str, Any]]
    return said
