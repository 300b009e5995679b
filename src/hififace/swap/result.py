"""The result of a swap: its pixels, the outcome for each face, timings, and how it is saved."""

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
from hififace.media.image import LoadedImage, format_named
from hififace.provenance.claim import Claim
from hififace.swap.output import marked_image, save_image
from hififace.types import Face, FloatArray, Matrix23, RGBImage

NOTEBOOK_SIDE_PX: Final = 1024
"""Longest side of the image in a notebook."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceOutcome:
    """Outcome for one face of the target."""

    face: Face
    swapped: bool
    reason: str = ""
    """Why the face was left unchanged; empty if it was swapped."""
    source: str = ""
    """Name of its source."""
    target_crop: RGBImage | None = field(default=None, repr=False)
    """(S, S, 3) uint8, the aligned crop that the generator received."""
    crop: RGBImage | None = field(default=None, repr=False)
    """(N, N, 3) uint8, the generated face."""
    mask: FloatArray | None = field(default=None, repr=False)
    """(N, N) 0..1, the mask with which the generated face was blended."""
    matrix: Matrix23 | None = field(default=None, repr=False)
    """Maps image pixels to pixels of `crop`."""
    similarity_source: float | None = None
    """Cosine similarity of result and source, if `similarity` was set."""
    similarity_target: float | None = None
    """Cosine similarity of result and target, if `similarity` was set."""
    warning: str = ""
    """Problem that was measured on the generated face, without a full stop; usually empty."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, without pixels."""
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
    """Result of swapping one image; `save` writes it to a file, marked as a face swap."""

    pixels: RGBImage = field(repr=False)
    """(H, W, 3) uint8 RGB, the result."""
    target: LoadedImage = field(repr=False)
    """The target; saved files keep its format, colour profile and transparency."""
    faces: tuple[FaceOutcome, ...]
    """Every face found, left to right."""
    timings_ms: Mapping[str, float]
    """Stage -> milliseconds; `total` is the whole swap."""
    claim: Claim
    """The claim that the file's mark will carry."""
    compare: bool = False
    """Whether saved files show target and result side by side."""
    source_notes: tuple[str, ...] = ()
    """Warnings about the photos of the sources, without full stops; usually empty."""

    @property
    def image(self) -> Image.Image:
        """The result as a PIL image. Files saved from it carry no mark; use `save` for that."""
        return Image.fromarray(self.pixels)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Support `np.asarray(result)`: (H, W, 3) uint8 RGB, or another dtype if asked for."""
        changed = dtype is not None and np.dtype(dtype) != self.pixels.dtype
        return np.array(self.pixels, dtype=dtype) if copy or changed else self.pixels

    def _repr_png_(self) -> bytes:
        """PNG for notebooks, at most `NOTEBOOK_SIDE_PX` wide or high, marked as a face swap."""
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
        """Number of swapped faces."""
        return sum(outcome.swapped for outcome in self.faces)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a saved file will lack that the target's file has, without full stops; usually empty."""
        notes = []
        if self.target.num_frames > 1:
            notes.append(f"only the first of its {self.target.num_frames} images was swapped and is kept")
        if self.target.bit_depth > 8:
            notes.append(f"its {self.target.bit_depth} bits per channel became 8")
        notes += self.target.notes.left_out
        return tuple(notes)

    def mask(self) -> FloatArray:
        """(H, W) 0..1, the generated share of each pixel."""
        height, width = self.pixels.shape[:2]
        whole = np.zeros((height, width), np.float32)
        for outcome in self.faces:
            if outcome.mask is not None and outcome.matrix is not None:
                whole = np.maximum(whole, warp(outcome.mask, invert(outcome.matrix), (width, height)))
        return np.clip(whole, 0.0, 1.0)

    def side_by_side(self) -> RGBImage:
        """(H, 2 W, 3) uint8, target and result."""
        return np.concatenate([self.target.pixels, self.pixels], axis=1)

    def save(self, path: str | os.PathLike[str], *, quality: int | None = None) -> Path:
        """Write the result to a file, atomically and marked as a face swap.

        Args:
            path: its ending chooses the format; without one, the target's format is kept.
            quality: quality of lossy formats, 1 to 100.

        Raises:
            ImageError: the format cannot be written or cannot carry the mark.
            HififaceError: the path cannot be written to.
        """
        return save_image(self._shown(), self.target, path, self.claim, quality=quality)

    def to_bytes(self, format: str | None = None, *, quality: int | None = None) -> bytes:
        """The file that `save` would write, as bytes.

        Args:
            format: "JPEG", "png", ".webp", ...; None keeps the target's.
            quality: quality of lossy formats, 1 to 100.

        Raises:
            ImageError: the format cannot be written or cannot carry the mark.
        """
        format = None if format is None else format_named(format)
        return marked_image(self._shown(), self.target, self.claim, format=format, quality=quality)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, without pixels."""
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
