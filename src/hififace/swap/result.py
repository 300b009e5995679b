"""What a swap gives back: the image, what became of each face, how long it took; and the way to the door out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from hififace.faces.alignment import invert, warp
from hififace.media.image import LoadedImage
from hififace.provenance.claim import Claim
from hififace.swap.output import marked_image, save_image
from hififace.types import Face, FloatArray, Matrix23, RGBImage

NOTEBOOK_SIDE_PX: Final = 1024
"""Longest side of what a notebook shows."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceOutcome:
    """What became of one face of the target."""

    face: Face
    swapped: bool
    reason: str = ""
    """Why it was left as it is, where it was."""
    source: str = ""
    """Name of the source it got."""
    target_crop: RGBImage | None = field(default=None, repr=False)
    """(S, S, 3) the face as the network saw it."""
    crop: RGBImage | None = field(default=None, repr=False)
    """(N, N, 3) what the network generated."""
    mask: FloatArray | None = field(default=None, repr=False)
    """(N, N) 0..1, what was pasted of it."""
    matrix: Matrix23 | None = field(default=None, repr=False)
    """Image pixels to pixels of `crop`."""
    similarity_source: float | None = None
    """Cosine between result and source, where it was asked for."""
    similarity_target: float | None = None
    """Cosine between result and target, likewise."""
    warning: str = ""
    """What is wrong with the generated face by our own figures, a sentence without its end; usually nothing."""

    def to_json(self) -> dict[str, Any]:
        """For programs: numbers and words, no pixels."""
        found = self.face.detection
        return {
            "index": self.face.index,
            "box": [round(float(v), 1) for v in found.box],
            "score": round(found.score, 4),
            "swapped": self.swapped,
            "reason": self.reason or None,
            "source": self.source or None,
            "similarity_source": _rounded(self.similarity_source),
            "similarity_target": _rounded(self.similarity_target),
            "warning": self.warning or None,
        }


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SwapResult:
    """A finished swap. Nothing is on disk yet: `save` writes it through the one door."""

    pixels: RGBImage = field(repr=False)
    """(H, W, 3) uint8 RGB, the result."""
    target: LoadedImage = field(repr=False)
    """What it was made from; files keep its format, profile and transparency."""
    faces: tuple[FaceOutcome, ...]
    """Every face found, left to right."""
    timings_ms: Mapping[str, float]
    """Stage -> milliseconds; `total` is all of them and what lies between."""
    claim: Claim
    """What the file will say about itself."""
    compare: bool = False
    """Whether files show target and result side by side."""
    source_notes: tuple[str, ...] = ()
    """What makes the photos of its sources poor ones: sentences without their ends, usually none."""

    @property
    def image(self) -> Image.Image:
        """The result as a PIL image. What you save from it carries no mark; `save` does."""
        return Image.fromarray(self.pixels)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """`np.asarray(result)`: (H, W, 3) uint8 RGB, or another dtype if asked."""
        changed = dtype is not None and np.dtype(dtype) != self.pixels.dtype
        return np.array(self.pixels, dtype=dtype) if copy or changed else self.pixels

    def _repr_png_(self) -> bytes:
        """A notebook shows the result, at most `NOTEBOOK_SIDE_PX` wide or high, marked as every result is."""
        shown = self._shown()
        factor = NOTEBOOK_SIDE_PX / max(shown.shape[:2])
        if factor < 1.0:
            height, width = (max(1, round(side * factor)) for side in shown.shape[:2])
            shown = np.asarray(Image.fromarray(shown).resize((width, height), Image.Resampling.LANCZOS))
        return marked_image(shown, self.target, self.claim, format="PNG")

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        seconds = self.timings_ms.get("total", 0.0) / 1e3
        swapped = f"{self.num_swapped} of {len(self.faces)} faces swapped"
        return f"SwapResult({width} x {height} px, {swapped}, {seconds:.2f} s)"

    @property
    def num_swapped(self) -> int:
        """How many faces were swapped."""
        return sum(outcome.swapped for outcome in self.faces)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a file of this result lacks of its target's: sentences without their ends, usually none."""
        notes = []
        if self.target.num_frames > 1:
            notes.append(f"only the first of its {self.target.num_frames} images was swapped and is kept")
        if self.target.bit_depth > 8:
            notes.append(f"its {self.target.bit_depth} bits per channel became 8")
        notes += self.target.notes.left_out
        return tuple(notes)

    def mask(self) -> FloatArray:
        """(H, W) 0..1: how much of each pixel of the image was generated."""
        height, width = self.pixels.shape[:2]
        whole = np.zeros((height, width), np.float32)
        for outcome in self.faces:
            if outcome.mask is not None and outcome.matrix is not None:
                whole = np.maximum(whole, warp(outcome.mask, invert(outcome.matrix), (width, height)))
        return np.clip(whole, 0.0, 1.0)

    def side_by_side(self) -> RGBImage:
        """(H, 2 W, 3) target and result."""
        return np.concatenate([self.target.pixels, self.pixels], axis=1)

    def save(self, path: str | os.PathLike[str], *, quality: int | None = None) -> Path:
        """Write the result, whole or not at all, marked as a face swap.

        Args:
            path: where; its ending names the format, none keeps the target's.
            quality: 1 to 100 for lossy formats.

        Raises:
            ImageError: a format that cannot be written or marked.
            HififaceError: a place that cannot be written to.
        """
        return save_image(self._shown(), self.target, path, self.claim, quality=quality)

    def to_bytes(self, format: str | None = None, *, quality: int | None = None) -> bytes:
        """The same file as bytes; `format` is Pillow's name, None keeps the target's."""
        return marked_image(self._shown(), self.target, self.claim, format=format, quality=quality)

    def to_json(self) -> dict[str, Any]:
        """For programs: numbers and words, no pixels."""
        return {
            "model": self.claim.model,
            "model_version": self.claim.model_version,
            "size": [self.pixels.shape[1], self.pixels.shape[0]],
            "num_swapped": self.num_swapped,
            "faces": [outcome.to_json() for outcome in self.faces],
            "notes": list(self.notes),
            "source_notes": list(self.source_notes),
            "timings_ms": {stage: round(spent, 2) for stage, spent in self.timings_ms.items()},
        }

    def _shown(self) -> RGBImage:
        return self.side_by_side() if self.compare else self.pixels


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
