"""Portraits to try the page with, and whose they are. They ship with the package: `examples/README.md` has the licence."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import av
import numpy as np
from PIL import Image

from hififace.app.images import data_url

_FOLDER = files("hififace.app") / "examples"
_THUMBNAIL_PX: Final = 200

ATTRIBUTION: Final = "Examples: Face Research Lab London Set (DeBruine and Jones, 2017), CC BY 4.0; the people shown agreed to be shown."


@dataclass(frozen=True, slots=True)
class Example:
    """One file to try."""

    name: str
    told: str
    """What a screen reader says."""

    def copy_to(self, folder: Path) -> Path:
        """A copy in an existing folder, which is treated as an upload is."""
        place = folder / self.name
        place.write_bytes((_FOLDER / self.name).read_bytes())
        return place


SOURCES: Final = (
    Example("portrait-124.jpg", "a young woman with her hair tied back"),
    Example("portrait-143.jpg", "a man with grey stubble"),
    Example("portrait-025.jpg", "a young woman with dark hair"),
)
TARGETS: Final = (
    Example("portrait-001.jpg", "a smiling woman with curls"),
    Example("two-people.jpg", "two smiling people"),
    Example("portrait-128.jpg", "a fair young man"),
)
VIDEOS: Final = (Example("moving-portrait.mp4", "four seconds of a smiling woman"),)
PAIRS: Final = ((SOURCES[0], TARGETS[0]), (SOURCES[1], TARGETS[2]), (SOURCES[2], TARGETS[1]))
"""Sources and targets to try with one click."""
VIDEO_PAIRS: Final = ((SOURCES[0], VIDEOS[0]),)
_ALL: Final = {example.name: example for example in (*SOURCES, *TARGETS, *VIDEOS)}


def find_example(name: str) -> Example | None:
    """The example of this name; a page may ask for anything."""
    return _ALL.get(name)


@functools.cache
def example_thumbnail(name: str) -> str:
    """A data URL of a small JPEG."""
    data = (_FOLDER / name).read_bytes()
    if name.endswith(".mp4"):
        with av.open(io.BytesIO(data), mode="r") as video:
            image = Image.fromarray(next(video.decode(video=0)).to_ndarray(format="rgb24"))
    else:
        image = Image.open(io.BytesIO(data), formats=("JPEG",)).convert("RGB")
    scale = _THUMBNAIL_PX / image.height
    small = np.asarray(image.resize((round(image.width * scale), _THUMBNAIL_PX), Image.Resampling.LANCZOS))
    return data_url(small, quality=82)
