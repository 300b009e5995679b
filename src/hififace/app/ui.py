"""The page: where things stand and which handler each click calls. It decides nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio.events import api
from gradio.processing_utils import save_img_array_to_cache

from hififace.app.api import swap_function
from hififace.app.handlers import CONSENT, Made, Studio, SwapRequest
from hififace.app.photos import Photo
from hififace.app.visits import client, spoken, visitor
from hififace.app.words import FOOT, HEAD, figures, listed
from hififace.errors import HififaceError
from hififace.types import RGBImage

PRIVATE: Final[dict[str, Any]] = {"api_visibility": "private"}
"""Clicks of the page are no part of the API: its one function is `swap` (`api.py`)."""

QUICK: Final = "quick"
"""Clicks that only look and choose; they do not wait behind swaps."""

CSS: Final = """
.gradio-container { max-width: 1100px !important; margin: auto; }
#swap-button { min-height: 3rem; }
.faces .grid-wrap { padding-top: 2.6rem; }
.faces .grid-container { grid-template-columns: repeat(auto-fill, 104px) !important; }
.faces .thumbnail-item { width: 104px; height: 104px; }
@media (max-width: 640px) {
  .gradio-container { padding: 8px !important; }
  .row { flex-direction: column; }
}
"""


def build_page(studio: Studio) -> Any:
    """The whole page, a `gradio.Blocks` not yet served."""
    with gr.Blocks(title="hififace", analytics_enabled=False, fill_width=False) as page:
        gr.Markdown(HEAD)
        _PictureTab(studio)
        gr.Markdown(FOOT)
        api(swap_function(studio), api_name="swap", concurrency_id="swap")
        page.unload(_forget(studio))
    return page


def _forget(studio: Studio) -> Callable[[gr.Request], None]:
    def forget(request: gr.Request) -> None:
        studio.sessions.close(visitor(request))

    return forget


class _PictureTab:
    """The components of the picture tab, and their wiring."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        names = studio.bundles.names
        with gr.Row(elem_classes="row"):
            with gr.Column():
                gr.Markdown("## 1. Who is put in")
                self.source = _photo_box("Add a source photo", "source-photo")
                self.source_faces = _face_gallery("Source faces: choose the one to put in", "source-faces")
                self.average = gr.Checkbox(
                    label="All source photos show one person: average them", elem_id="average"
                )
                self.clear = gr.Button("Remove the source photos", size="sm")
            with gr.Column():
                gr.Markdown("## 2. Where")
                self.target = _photo_box("The target photo", "target-photo")
                self.target_faces = _face_gallery(
                    "Target faces: click those to be replaced",
                    "target-faces",
                )
        self.who = gr.Markdown("Add a photo of the person to put in.", elem_id="who")
        with gr.Accordion("How", open=False):
            self.settings = _settings()
        with gr.Row(elem_classes="row"):
            self.model = gr.Dropdown(
                names, value=names[0] if names else None, label="Model", elem_id="model", scale=1
            )
            self.card = gr.Markdown(studio.bundles.card(names[0] if names else None), elem_id="card")
        self.consent = gr.Checkbox(label=CONSENT, elem_id="consent")
        self.button = gr.Button("Swap", variant="primary", elem_id="swap-button")
        gr.Markdown("## 3. Result")
        self.slider = gr.ImageSlider(
            label="Target and result: drag the line",
            elem_id="result",
            interactive=False,
            max_height=640,
            buttons=["fullscreen"],
        )
        self.show_mask = gr.Checkbox(label="Show what was painted (the predicted mask)", elem_id="show-mask")
        self.mask = gr.Image(
            label="Mask", visible=False, interactive=False, elem_id="mask", buttons=[], height=320
        )
        self.figures = gr.Markdown(elem_id="figures")
        self.download = gr.DownloadButton(
            "Download the result, marked as a face swap", elem_id="download", interactive=False
        )
        self._wire()

    def _wire(self) -> None:
        shown = [self.source_faces, self.target_faces, self.who]
        quick: dict[str, Any] = {**PRIVATE, "concurrency_id": QUICK, "concurrency_limit": 4}
        self.source.input(
            spoken(self._add_source), [self.source, self.model], [self.source, *shown], **_raw(quick)
        )
        self.target.input(
            spoken(self._set_target), [self.target, self.model], [self.target, *shown], **_raw(quick)
        )
        self.target.clear(spoken(self._clear_target), None, shown, **quick)
        self.clear.click(spoken(self._clear_sources), None, shown, **quick)
        self.source_faces.select(spoken(self._choose_source), None, shown, **quick)
        self.target_faces.select(spoken(self._assign), None, shown, **quick)
        self.model.input(spoken(self._choose_model), self.model, [self.card, *shown], **quick)
        results = [self.slider, self.figures, self.download, self.mask]
        inputs = [self.model, self.consent, self.average, self.show_mask, *self.settings]
        self.button.click(
            spoken(self._swap), inputs, results, **PRIVATE, concurrency_id="swap", scroll_to_output=True
        )
        self.show_mask.input(spoken(self._show_mask), self.show_mask, self.mask, **quick)

    # -------------------------------------------------------------------------------------------------------
    # What clicks do

    def _add_source(self, photo: dict[str, Any] | None, model: str | None, request: gr.Request) -> Any:
        if photo is not None:
            self._studio.add_source(visitor(request), *_upload(photo), model, client(request))
        # The box is emptied, ready for the next photo; this one shows as a thumbnail.
        return None, *self._shown(visitor(request))

    def _set_target(self, photo: dict[str, Any] | None, model: str | None, request: gr.Request) -> Any:
        key = visitor(request)
        if photo is None:
            return None, *self._clear_target(request)
        self._studio.set_target(key, *_upload(photo), model, client(request))
        target = self._studio.look(key).target
        # As it came, or by its faces alone where browsers cannot show its format.
        box = str(target.path) if target is not None and target.shown_by_browsers else gr.skip()
        return box, *self._shown(key)

    def _clear_target(self, request: gr.Request) -> Any:
        self._studio.clear_target(visitor(request))
        return self._shown(visitor(request))

    def _clear_sources(self, request: gr.Request) -> Any:
        self._studio.clear_sources(visitor(request))
        return self._shown(visitor(request))

    def _choose_source(self, request: gr.Request, chosen: gr.SelectData) -> Any:
        self._studio.choose_source(visitor(request), int(chosen.index))
        return self._shown(visitor(request))

    def _assign(self, request: gr.Request, chosen: gr.SelectData) -> Any:
        self._studio.assign(visitor(request), int(chosen.index))
        return self._shown(visitor(request))

    def _choose_model(self, model: str | None, request: gr.Request) -> Any:
        card = self._studio.bundles.card(model)
        try:
            self._studio.choose_model(visitor(request), model)
        except HififaceError as error:
            return f"{card}\n\n{error}" if str(error) not in card else card, *self._shown(visitor(request))
        return card, *self._shown(visitor(request))

    def _swap(
        self,
        model: str | None,
        consent: bool,
        average: bool,
        with_mask: bool,
        shape_rate: float,
        id_rate: float,
        passes: float,
        mask_erosion: float,
        mask_feather_px: float,
        match_colour: bool,
        detail: float,
        request: gr.Request,
    ) -> Any:
        key = visitor(request)
        asked = SwapRequest(
            model=model,
            consent=consent,
            average=average,
            shape_rate=shape_rate,
            id_rate=id_rate,
            passes=int(passes),
            mask_erosion=int(mask_erosion),
            mask_feather_px=mask_feather_px,
            match_colour=match_colour,
            detail=detail,
        )
        made = self._studio.swap(key, asked, client(request))
        download = gr.DownloadButton(value=str(made.file), interactive=True)
        return self._pair(key, made), figures(made.report), download, self._show_mask(with_mask, request)

    def _show_mask(self, wanted: bool, request: gr.Request) -> Any:
        mask = self._studio.mask(visitor(request)) if wanted else None
        if mask is None:
            return gr.Image(value=None, visible=False)
        return gr.Image(value=self._picture(visitor(request), mask), visible=True)

    # -------------------------------------------------------------------------------------------------------
    # What is shown

    def _pair(self, key: str, made: Made) -> tuple[str, str]:
        target = self._studio.look(key).target
        assert target is not None
        if target.shown_by_browsers:
            return str(target.path), str(made.shown)
        return self._picture(key, self._studio.target_pixels(key)), str(made.shown)

    def _shown(self, key: str) -> tuple[Any, Any, str]:
        state = self._studio.look(key)
        sources = self._thumbnails(key, state.sources)
        targets = self._thumbnails(key, [state.target] if state.target else [])
        for place, (file, caption) in enumerate(sources):
            if place == state.chosen:
                sources[place] = (file, f"✓ {caption}")
        names = [caption.removeprefix("✓ ") for _, caption in sources]
        for face, place in state.mapping.items():
            file, caption = targets[face]
            targets[face] = (file, f"{caption} → {names[place]}")
        # Nothing stays selected, so that the same face can be clicked again.
        return (
            gr.Gallery(value=sources, selected_index=None),
            gr.Gallery(value=targets, selected_index=None),
            listed(self._studio.who(key)),
        )

    def _thumbnails(self, key: str, photos: list[Photo]) -> list[tuple[str, str]]:
        return [
            (self._picture(key, pixels), f"{photo.name}, face {face.index}")
            for photo in photos
            for face, pixels in zip(photo.faces, photo.thumbnails, strict=True)
        ]

    def _picture(self, key: str, pixels: RGBImage) -> str:
        """A file in the visitor's folder, so that it is forgotten with them; only for what shows no swapped face."""
        with self._studio.sessions.visit(key) as session:
            return str(save_img_array_to_cache(pixels, cache_dir=str(session.folder), format="png"))


def _settings() -> list[gr.components.Component]:
    ask = SwapRequest(model=None)
    return [
        gr.Slider(
            0, 1, ask.shape_rate, step=0.05, label="Shape strength: 1 the source's face shape, 0 the target's"
        ),
        gr.Slider(0, 1, ask.id_rate, step=0.05, label="Identity strength: 1 the source's, 0 the target's"),
        gr.Slider(1, 5, ask.passes, step=1, label="Passes: how often the network paints"),
        gr.Slider(0, 30, ask.mask_erosion, step=1, label="Blending: rounds of softening of the mask's edge"),
        gr.Slider(
            0, 20, ask.mask_feather_px, step=0.5, label="Blending: further blur of the edge, in pixels"
        ),
        gr.Checkbox(ask.match_colour, label="Match the target's skin colour"),
        gr.Slider(0, 1, ask.detail, step=0.05, label="Share of the target's finest detail kept"),
    ]


def _photo_box(label: str, elem_id: str) -> gr.Image:
    return gr.Image(
        label=label,
        elem_id=elem_id,
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        height=280,
        buttons=[],
    )


def _face_gallery(label: str, elem_id: str) -> gr.Gallery:
    return gr.Gallery(
        label=label,
        elem_id=elem_id,
        elem_classes="faces",
        columns=4,
        height=170,
        object_fit="contain",
        allow_preview=False,
        interactive=False,
        buttons=[],
    )


def _raw(options: dict[str, Any]) -> dict[str, Any]:
    """Uploads come as the server received them: opening them is the library's task, which says what is wrong."""
    return {**options, "preprocess": False}


def _upload(photo: dict[str, Any]) -> tuple[Path, str]:
    path = Path(str(photo["path"]))
    return path, Path(str(photo.get("orig_name") or path.name)).name
