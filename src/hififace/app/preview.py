"""A swap at once: the target's faces are cut out when it arrives, and only these pieces are swapped at each change.

The page lays what comes back over the target. A piece is as large as a screen shows it, whatever the photo's size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np

from hififace.media.image import LoadedImage
from hififace.swap.engine import Target, generate_faces, paste_faces
from hififace.swap.image import claim_of
from hififace.swap.options import OutputOptions, SwapOptions
from hififace.swap.output import marked_image
from hififace.swap.source_map import Source
from hififace.swapper import FaceSwapper
from hififace.types import Detection, Face, Landmarks, RGBImage

MOST_PIECES: Final = 8
"""Faces of one target that are previewed; a crowd is swapped when the button is pressed."""
_SIDE_PX: Final = 512
"""Longest side of a piece."""
_MARGIN: Final = 0.8
"""Of the face's box on each side: what alignment and blending reach."""
_EDGE_PX: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A face of the target with its surroundings."""

    image: RGBImage = field(repr=False)
    """(h, w, 3), at most `_SIDE_PX` on a side."""
    face: Face
    """In pixels of the piece; its index is the target's."""
    place: tuple[float, float]
    """(x, y) of the piece's corner, in pixels of the target."""
    scale: float
    """Pixels of the piece for each of the target."""


@dataclass(frozen=True, slots=True)
class Patch:
    """What a swap changed of one piece, marked as every result is."""

    jpeg: bytes = field(repr=False)
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 in pixels of the target."""


def cut_pieces(pixels: RGBImage, faces: Sequence[Face]) -> dict[int, Piece]:
    """The largest faces of a target (H, W, 3) with their surroundings, by their index."""
    largest = sorted(faces, key=lambda face: -face.detection.size_px)[:MOST_PIECES]
    return {face.index: _cut(pixels, face) for face in largest}


def preview(
    swapper: FaceSwapper,
    pieces: Mapping[int, Piece],
    sources: Mapping[int, Source],
    options: SwapOptions,
    output: OutputOptions,
) -> list[Patch]:
    """Swap pieces whose face has a source; a face that is refused gives none.

    Args:
        swapper: the model.
        pieces: of one target.
        sources: by index of the face.
        options: see `SwapOptions`.
        output: what the patches' mark says.
    """
    asked = [(piece, sources[index]) for index, piece in pieces.items() if index in sources]
    targets = [Target(piece.image, [piece.face], [source]) for piece, source in asked]
    patches = []
    for (piece, _), made in zip(asked, generate_faces(swapper.engine, targets, options), strict=True):
        swapped, _ = paste_faces(swapper.engine, made.image, made.faces, options)
        changed = np.argwhere((swapped != piece.image).any(axis=2))
        if not len(changed):
            continue
        height, width = piece.image.shape[:2]
        top, left = np.maximum(changed.min(axis=0) - _EDGE_PX, 0)
        bottom, right = np.minimum(changed.max(axis=0) + 1 + _EDGE_PX, (height, width))
        cut = np.ascontiguousarray(swapped[top:bottom, left:right])
        claim = claim_of(swapper.engine, output)
        jpeg = marked_image(cut, LoadedImage.from_pixels(cut), claim, format="JPEG", quality=92)
        x, y = piece.place
        box = (
            x + left / piece.scale,
            y + top / piece.scale,
            x + right / piece.scale,
            y + bottom / piece.scale,
        )
        patches.append(Patch(jpeg, box))
    return patches


def _cut(pixels: RGBImage, face: Face) -> Piece:
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = (float(v) for v in face.detection.box)
    reach = _MARGIN * max(x1 - x0, y1 - y0)
    left, top = max(round(x0 - reach), 0), max(round(y0 - reach), 0)
    right, bottom = min(round(x1 + reach), width), min(round(y1 + reach), height)
    cut = np.ascontiguousarray(pixels[top : max(bottom, top + 1), left : max(right, left + 1)])
    scale = min(_SIDE_PX / max(cut.shape[:2]), 1.0)
    if scale < 1.0:
        size = (max(round(cut.shape[1] * scale), 1), max(round(cut.shape[0] * scale), 1))
        cut = np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.uint8)
    corner = np.array([left, top], np.float32)
    found = face.detection
    moved = Detection(
        ((found.box - np.tile(corner, 2)) * scale).astype(np.float32),
        found.score,
        ((found.points - corner) * scale).astype(np.float32),
    )
    landmarks = face.landmarks
    if landmarks is not None:
        points = (landmarks.points - np.array([left, top, 0.0], np.float32)) * scale
        landmarks = Landmarks(points.astype(np.float32), landmarks.score)
    piece_face = replace(face, detection=moved, landmarks=landmarks, irises=None, coefficients=None)
    return Piece(cut, piece_face, (float(left), float(top)), scale)
