"""The page's one function for programs: `gradio_client` calls `/swap` with two files and gets one back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from hififace.app.handlers import Studio, SwapRequest
from hififace.app.visits import client, spoken, visitor


def swap_function(studio: Studio) -> Callable[..., Any]:
    """The function that `/swap` calls, for `gradio.api`."""

    def swap(
        source: FileData,
        target: FileData,
        consent: bool,
        model: str | None = None,
        shape_rate: float = 1.0,
        id_rate: float = 1.0,
        passes: int = 1,
        request: gr.Request = None,  # type: ignore[assignment]  # gradio gives it by its type
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Put the largest face of one photo into every face of another.

        `consent` says that the people shown agreed; without it nothing is swapped. Returns the marked result, and what
        was done: faces, similarities, milliseconds by stage.
        """
        key = f"program {visitor(request)}"
        chosen = model or next(iter(studio.bundles.names), None)
        studio.clear_sources(key)
        studio.add_source(key, *_named(source), chosen, client(request))
        studio.set_target(key, *_named(target), chosen, client(request))
        made = studio.swap(
            key,
            SwapRequest(chosen, consent=consent, shape_rate=shape_rate, id_rate=id_rate, passes=passes),
            client(request),
        )
        file = FileData(path=str(made.file), orig_name=made.file.name)
        return file.model_dump(), made.report

    said = spoken(swap)
    # Postponed annotations are strings, in which gradio does not see the two results.
    said.__annotations__["return"] = tuple[FileData, dict[str, Any]]
    return said


def _named(file: Any) -> tuple[Path, str]:
    """`gradio.api` hands files in as the client's JSON, whatever the hint says."""
    path = Path(str(file["path"]))
    return path, Path(str(file.get("orig_name") or path.name)).name
