"""A visitor's photo: where it lies, the faces found in it, and a small image of each to click on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from hififace.app.limits import Limits
from hififace.app.preview import MOST_PIECES, Piece, cut_pieces
from hififace.errors import ImageError, NoFaceFoundError
from hififace.media.image import LoadedImage, read_image
from hififace.swapper import FaceSwapper
from hififace.types import Face, RGBImage

THUMBNAIL_PX: Final = 128
"""Side of the small images."""

_MARGIN: Final = 0.3
"""Of the face's box, added on each side: a face cut at the chin is hard to recognise."""

_SHOWN_BY_BROWSERS: Final = {"JPEG", "PNG", "WEBP", "AVIF", "GIF"}


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One uploaded photo. Its pixels are read again when they are needed: many visitors must fit into memory."""

    path: Path
    name: str
    """As the visitor's file was called."""
    format: str
    faces: tuple[Face, ...] = field(default=(), repr=False)
    thumbnails: tuple[RGBImage, ...] = field(default=(), repr=False)
    """(T, T, 3) for each face."""
    size: tuple[int, int] = (0, 0)
    """(width, height) in pixels, upright."""
    pieces: Mapping[int, Piece] = field(default_factory=dict, repr=False)
    """Of a target: its largest faces with their surroundings, by index, for previews."""

    @property
    def shown_by_browsers(self) -> bool:
        """Whether a page can show the file itself."""
        return self.format in _SHOWN_BY_BROWSERS

    @property
    def main_face(self) -> int:
        """Number of the largest face."""
        return max(self.faces, key=lambda face: face.detection.size_px).index


def open_photo(
    path: Path, name: str, swapper: FaceSwapper, limits: Limits, *, is_target: bool = False
) -> Photo:
    """Read a photo and find its faces.

    Args:
        path: where it lies.
        name: what the visitor calls it.
        swapper: whose detector is used.
        limits: of the page.
        is_target: also find the landmarks of its largest faces, and keep these faces for previews.

    Raises:
        ImageError: it cannot be read, or has more pixels than the page takes.
        NoFaceFoundError: it shows no face.
    """
    loaded = read_photo(path, name, limits)
    faces = swapper.find_faces(loaded.pixels)
    if not faces:
        raise NoFaceFoundError(
            f"No face was found in {name}. Choose a photo that shows a face from the front, sharp and well lit."
        )
    thumbnails = tuple(thumbnail(loaded.pixels, face) for face in faces)
    pieces: dict[int, Piece] = {}
    if is_target:
        # Once, here: every preview and the swap itself start from them.
        faces = with_landmarks_of_largest(swapper, loaded.pixels, faces)
        pieces = cut_pieces(loaded.pixels, faces)
    return Photo(path, name, loaded.format, tuple(faces), thumbnails, loaded.size, pieces)


def with_landmarks_of_largest(swapper: FaceSwapper, pixels: RGBImage, faces: Sequence[Face]) -> list[Face]:
    """The faces of an image (H, W, 3), the largest with the 468 points of each."""
    largest = sorted(faces, key=lambda face: -face.detection.size_px)[:MOST_PIECES]
    known = {face.index: face for face in swapper.engine.with_landmarks(pixels, largest)}
    return [known.get(face.index, face) for face in faces]


def read_photo(path: Path, name: str, limits: Limits) -> LoadedImage:
    """The pixels of an uploaded photo; messages call it by the visitor's name for it, never by its place here.

    Raises:
        ImageError: it cannot be read, or has more pixels than the page takes.
    """
    try:
        loaded = read_image(path.read_bytes(), max_megapixels=limits.megapixels)
    except ImageError as error:
        raise ImageError(str(error).replace("the image", name, 1)) from error
    return replace(loaded, path=Path(name))


def thumbnail(image: RGBImage, face: Face) -> RGBImage:
    """The face with some of its surroundings, (T, T, 3), moved inward where the photo ends."""
    x0, y0, x1, y1 = (float(v) for v in face.detection.box)
    height, width = image.shape[:2]
    side = min(round(max(x1 - x0, y1 - y0) * (1 + 2 * _MARGIN)), width, height)
    left = min(max(round((x0 + x1 - side) / 2), 0), width - side)
    top = min(max(round((y0 + y1 - side) / 2), 0), height - side)
    # Cut first, so that a large photo is shrunk by averaging and not by skipping pixels.
    cut = image[top : top + max(side, 1), left : left + max(side, 1)]
    return np.asarray(cv2.resize(cut, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA), np.uint8)
