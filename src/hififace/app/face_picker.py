"""Faces to click on: small images of them, and boxes on the frame of a video. Plain buttons, so keys work too."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

import cv2
import gradio as gr
import numpy as np

from hififace.app.videos import Still
from hififace.types import RGBImage

_FRAME_PX: Final = 960
"""Longest side of a frame as the page shows it."""

# One listener for all buttons, present and to come: the picker's content is replaced, its element stays. The face
# that was clicked keeps the focus, or somebody with a keyboard would start from the top of the page each time.
_CLICKS: Final = """
let last = null;
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-face]");
  if (!button) return;
  last = button.dataset.at;
  trigger("select", { face: Number(button.dataset.face) });
});
watch("value", () => {
  if (last === null) return;
  const again = element.querySelector(`button[data-at="${last}"]`);
  if (again) again.focus({ preventScroll: true });
  last = null;
});
"""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One face to click on."""

    thumbnail: RGBImage = field(repr=False)
    """(T, T, 3)."""
    name: str
    """What a screen reader says."""
    caption: str = ""
    """A word or two below the image."""
    pressed: bool = False
    inset: RGBImage | None = field(default=None, repr=False)
    """(T, T, 3) of who is put in there."""


def face_picker(elem_id: str) -> Any:
    """An empty picker; `faces_html` and `frame_html` fill it, `.select` tells `event.face`."""
    return gr.HTML(value="", elem_id=elem_id, js_on_load=_CLICKS, apply_default_css=False)


def faces_html(title: str, faces: Sequence[Shown], *, otherwise: str = "") -> str:
    """A row of faces; `otherwise` is said where there are none."""
    if not faces:
        return f'<p class="hf-hint">{escape(otherwise)}</p>' if otherwise else ""
    return (
        f'<div class="hf-faces" role="group" aria-label="{escape(title)}"><p class="hf-title">{escape(title)}</p>'
        f'<div class="hf-row">{"".join(_button(place, face) for place, face in enumerate(faces))}</div></div>'
    )


def frame_html(frame: Still, faces: Sequence[Shown], title: str, *, otherwise: str) -> str:
    """A frame of a video with a box to click on around each face, and the same faces in a row below."""
    height, width = frame.image.shape[:2]
    scale = min(_FRAME_PX / max(height, width), 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = frame.image
    if scale < 1:
        small = cv2.resize(small, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    boxes = []
    for place, (framed, face) in enumerate(zip(frame.faces, faces, strict=True)):
        x0, y0, x1, y1 = (float(v) for v in framed.face.detection.box)
        corner = f"left:{100 * x0 / width:.2f}%;top:{100 * y0 / height:.2f}%"
        extent = f"width:{100 * (x1 - x0) / width:.2f}%;height:{100 * (y1 - y0) / height:.2f}%"
        boxes.append(
            f'<button type="button" class="hf-box" data-face="{place}" data-at="box-{place}" tabindex="-1" '
            f'aria-hidden="true" title="{escape(face.name)}" style="{corner};{extent}"'
            f"{' data-pressed' if face.pressed else ''}><span>{place}</span></button>"
        )
    image = f'<img src="{data_url(small)}" alt="The frame at {frame.moment_s:.2f} seconds">'
    return (
        f'<div class="hf-frame">{image}{"".join(boxes)}</div>{faces_html(title, faces, otherwise=otherwise)}'
    )


def data_url(image: RGBImage, *, quality: int = 88) -> str:
    """(H, W, 3) of a face or frame as it came, inside the page itself: no file is left, and none can be guessed."""
    done, packed = cv2.imencode(
        ".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality]
    )  # cv2 takes BGR
    assert done
    return f"data:image/jpeg;base64,{base64.b64encode(packed.tobytes()).decode()}"


def _button(place: int, face: Shown) -> str:
    inset = "" if face.inset is None else f'<img class="hf-inset" src="{data_url(face.inset)}" alt="">'
    return (
        f'<button type="button" class="hf-face" data-face="{place}" data-at="face-{place}" '
        f'aria-pressed="{"true" if face.pressed else "false"}" aria-label="{escape(face.name)}" '
        f'title="{escape(face.name)}"><img src="{data_url(face.thumbnail)}" alt="">{inset}'
        f"<span>{escape(face.caption)}</span></button>"
    )
