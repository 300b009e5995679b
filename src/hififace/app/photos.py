"""A visitor's photo: where it lies, the faces found in it, and a small image of each to click on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from hififace.app.limits import Limits
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

    @property
    def shown_by_browsers(self) -> bool:
        """Whether a page can show the file itself."""
        return self.format in _SHOWN_BY_BROWSERS

    @property
    def main_face(self) -> int:
        """Number of the largest face."""
        return max(self.faces, key=lambda face: face.detection.size_px).index


def open_photo(path: Path, name: str, swapper: FaceSwapper, limits: Limits) -> Photo:
    """Read a photo and find its faces.

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
    return Photo(path, name, loaded.format, tuple(faces), thumbnails)


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
    """The face with some of its surroundings, (T, T, 3); black where the photo ends."""
    x0, y0, x1, y1 = (float(v) for v in face.detection.box)
    side = max(x1 - x0, y1 - y0) * (1 + 2 * _MARGIN)
    scale = THUMBNAIL_PX / max(side, 1.0)
    left, top = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
    height, width = image.shape[:2]
    # Cut first, so that a large photo is shrunk by averaging and not by skipping pixels.
    a, b = max(round(left), 0), max(round(top), 0)
    cut = image[b : min(round(top + side), height), a : min(round(left + side), width)]
    size = (max(round(cut.shape[1] * scale), 1), max(round(cut.shape[0] * scale), 1))
    small = cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
    canvas = np.zeros((THUMBNAIL_PX, THUMBNAIL_PX, 3), np.uint8)
    at_x = min(max(round((a - left) * scale), 0), THUMBNAIL_PX - 1)
    at_y = min(max(round((b - top) * scale), 0), THUMBNAIL_PX - 1)
    part = small[: THUMBNAIL_PX - at_y, : THUMBNAIL_PX - at_x]
    canvas[at_y : at_y + part.shape[0], at_x : at_x + part.shape[1]] = part
    return canvas
