"""Outputs of the literature's networks for the faces of a clip, computed once and cached."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hififace.evaluation.description import detect_reduced
from hififace.evaluation.detection import portrait_face
from hififace.evaluation.papers.clips import Clip
from hififace.evaluation.papers.networks import Facts, Networks
from hififace.faces.detection import YuNetDetector
from hififace.media.atomic import atomic_write
from hififace.types import Detection, FloatArray, RGBImage

FACTS_VERSION: Final = 1
"""To be increased with every change of facts, so that cached ones are computed again."""


@dataclass(frozen=True)
class ClipFacts:
    """The faces of N frames."""

    found: NDArray[np.bool_]
    """(N,) whether a face was detected; other rows of facts are NaN."""
    boxes: FloatArray
    """(N, 4)"""
    points: FloatArray
    """(N, 5, 2)"""
    sizes_hw: FloatArray
    """(N, 2) of the frames."""
    facts: Facts

    def face(self, place: int) -> Detection:
        """Detection of the face in a frame."""
        return Detection(self.boxes[place], 1.0, self.points[place])

    @property
    def first(self) -> int | None:
        """Index of the first frame with a face, which is the source of a swap."""
        return int(np.argmax(self.found)) if self.found.any() else None


def choose_face(detector: YuNetDetector, image: RGBImage, *, portrait: bool) -> Detection | None:
    """The face to use: in a photo the one in its middle, in a frame the largest."""
    faces = detect_reduced(detector, image)
    if portrait:
        return portrait_face(image, faces)
    return max(faces, key=lambda face: face.size_px, default=None)


def describe_frames(
    networks: Networks, frames: Sequence[RGBImage], faces: Sequence[Detection | None]
) -> ClipFacts:
    """Run the networks on one face of each frame; None is a frame without a face."""
    found = np.array([face is not None for face in faces], bool)
    shown = [(frame, face) for frame, face in zip(frames, faces, strict=True) if face is not None]
    facts: dict[str, FloatArray] = {}
    if shown:
        told = networks.describe([frame for frame, _ in shown], [face for _, face in shown])
        for name, rows in told.items():
            whole = np.full((len(frames), rows.shape[1]), np.nan, np.float32)
            whole[found] = rows
            facts[name] = whole
    boxes = np.full((len(frames), 4), np.nan, np.float32)
    points = np.full((len(frames), 5, 2), np.nan, np.float32)
    for place, face in enumerate(faces):
        if face is not None:
            boxes[place], points[place] = face.box, face.points
    sizes = np.array([frame.shape[:2] for frame in frames], np.float32)
    return ClipFacts(found, boxes, points, sizes, facts)


class FactsCache:
    """Cache of facts, one file per clip and set of networks.

    Args:
        folder: of the cache.
        networks: networks in use, part of the key.
        num_frames: number of frames of each clip, likewise.
    """

    def __init__(self, folder: Path, networks: Networks, num_frames: int) -> None:
        crops = [(one.name, one.crop.__name__) for one in networks.adapters]
        self._folder = folder
        self._key = json.dumps([FACTS_VERSION, num_frames, sorted(networks.hashes.items()), crops])

    def load(self, what: str) -> ClipFacts | None:
        """The cached facts of the key `what`; None if there are none, or the file is damaged."""
        try:
            with np.load(self._path(what), allow_pickle=False) as stored:
                facts = {name[2:]: stored[name] for name in stored.files if name.startswith("f.")}
                return ClipFacts(
                    stored["found"], stored["boxes"], stored["points"], stored["sizes_hw"], facts
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def save(self, what: str, found: ClipFacts) -> None:
        """Write facts."""
        buffer = io.BytesIO()
        facts = {f"f.{name}": rows for name, rows in found.facts.items()}
        np.savez(
            buffer,
            allow_pickle=False,
            found=found.found,
            boxes=found.boxes,
            points=found.points,
            sizes_hw=found.sizes_hw,
            **facts,
        )
        atomic_write(self._path(what), buffer.getvalue())

    def _path(self, what: str) -> Path:
        return self._folder / f"{hashlib.sha256(f'{self._key} {what}'.encode()).hexdigest()}.npz"


def of_clip(
    clip: Clip, num_frames: int, networks: Networks, detector: YuNetDetector, *, portrait: bool
) -> ClipFacts:
    """Read a clip, detect its faces and run the networks on them."""
    frames = clip.frames(num_frames)
    return describe_frames(networks, frames, [choose_face(detector, f, portrait=portrait) for f in frames])
