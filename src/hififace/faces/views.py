"""How an image of any size is looked at: a pyramid of views, each cut into tiles of bounded size.

Measured on the detector (see `docs/model-card.md`, "Parts"): it finds 98 % of faces that are 20 px in what it is
shown and all from 24 to 500 px; below 16 px and above 640 px it fails, and from about 250 px on it may see the lower
half of a face as a face of its own. So each view answers for faces of 24 px to `LARGEST_FACE_PX` in its own pixels and
says nothing of larger ones; the next view, four times smaller, answers for the next four times, and the coarsest for
everything up to a face that fills the frame. The finest view holds at most `MOST_VIEW_PIXELS`, which bounds time; the
tiles bound memory, and small tiles are also quicker: their activations stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from hififace.errors import ImageError
from hififace.types import FloatArray, RGBImage

VIEW_FACE_PX = 24.0
"""The smallest face that the detector surely finds, in pixels of a view."""

SPARING_FACE_PX = 20.0
"""The same for images above `LARGE_PIXELS`, where looking costs most: 98 % of faces of this size are found, for 30 %
less time."""

LARGE_PIXELS = 1_000_000

STEP = 4
"""Each view is this many times smaller than the one before."""

LARGEST_SHORT_SIDE_PX = 512
"""A view whose short side is at most this shows even a face that fills it at a size at which the detector proposes it;
where it is not sure, the second look decides."""

MOST_VIEW_PIXELS = 10_000_000
"""Slightly more than 4K: larger images are first made smaller, so that time has a bound."""

TILE_PX = 640
OVERLAP_PX = 128
"""A face up to this size lies whole in some tile; larger ones (96 px and more) are surely found in the next view."""

LARGEST_FACE_PX = 200.0
"""The largest face that a view answers for, in its own pixels, where there is a coarser view: that one sees the face at
50 px and more, and whole. What a finer view takes for a larger face is often a part of one: of 28 studio portraits
of 1,088 to 1,365 px, 64 % gave two faces or half a face before there was a limit."""

FLAT_LEVELS = 6.0
"""A tile whose darkest and brightest block averages differ by less holds no face worth finding (sky, walls, blur)."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of a view, in pixels of the view."""

    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, slots=True)
class View:
    """The image at one size."""

    image: RGBImage
    scale_x: float
    """Image pixels per view pixel, along x; along y it differs by the rounding of the height."""
    scale_y: float
    largest_face_px: float = float("inf")
    """The largest face that this view answers for, in its own pixels."""


def view_sizes(width: int, height: int, smallest_face_px: float) -> list[tuple[int, int]]:
    """(width, height) of each view, coarsest first.

    Args:
        width: of the image, pixels.
        height: of the image, pixels.
        smallest_face_px: the smallest face to be found, in image pixels; below 24 the image is enlarged,
            at most twice.
    """
    in_view = VIEW_FACE_PX if width * height <= LARGE_PIXELS else SPARING_FACE_PX
    scale = min(in_view / smallest_face_px, 2.0)
    if width * height * scale**2 > MOST_VIEW_PIXELS:
        scale = float(np.sqrt(MOST_VIEW_PIXELS / (width * height)))
    sizes = []
    while True:
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        sizes.append(size)
        if min(size) <= LARGEST_SHORT_SIDE_PX:
            return sizes[::-1]
        scale /= STEP


def make_view(image: RGBImage, size: tuple[int, int], largest_face_px: float = float("inf")) -> View:
    """Resize an image to (width, height), averaging over areas where it shrinks."""
    height, width = image.shape[:2]
    if size == (width, height):
        return View(image, 1.0, 1.0, largest_face_px)
    smaller = size[0] < width
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return View(np.asarray(resized, np.uint8), width / size[0], height / size[1], largest_face_px)


def tiles(width: int, height: int) -> list[Tile]:
    """Cover a view with tiles of about equal size; one alone where the view is hardly larger than a tile."""
    if width * height <= TILE_PX * TILE_PX * 2:
        return [Tile(0, 0, width, height)]
    return [Tile(x0, y0, x1, y1) for y0, y1 in _spans(height) for x0, x1 in _spans(width)]


def worth_searching(tile: Tile, view: View, known_boxes: FloatArray) -> bool:
    """Whether a tile can hold a face not known yet.

    Args:
        tile: which part of the view.
        view: the view.
        known_boxes: (N, 4) faces that coarser views found, in pixels of this view. Nothing is sought in a tile
            that lies wholly on one of them.
    """
    if len(known_boxes):
        inside = (
            (known_boxes[:, 0] <= tile.x0)
            & (known_boxes[:, 1] <= tile.y0)
            & (known_boxes[:, 2] >= tile.x1)
            & (known_boxes[:, 3] >= tile.y1)
        )
        if bool(inside.any()):
            return False
    part = view.image[tile.y0 : tile.y1, tile.x0 : tile.x1]
    blocks = cv2.resize(
        part, (max(part.shape[1] // 8, 1), max(part.shape[0] // 8, 1)), interpolation=cv2.INTER_AREA
    )
    levels = np.asarray(blocks).reshape(-1, 3)
    return float((levels.max(axis=0) - levels.min(axis=0)).max()) >= FLAT_LEVELS


def views(image: RGBImage, smallest_face_px: float) -> Iterator[View]:
    """Every view of an image, coarsest first, made one at a time."""
    height, width = image.shape[:2]
    for place, size in enumerate(view_sizes(width, height, smallest_face_px)):
        yield make_view(image, size, LARGEST_FACE_PX if place else float("inf"))


def cut_out(image: RGBImage, left: int, top: int, side: int) -> RGBImage:
    """A square of an image, black where it reaches beyond: (side, side, 3)."""
    height, width = image.shape[:2]
    square = np.zeros((side, side, 3), np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    if x1 > x0 and y1 > y0:
        square[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return square


def check_image(image: RGBImage) -> None:
    """Refuse what is no RGB image.

    Raises:
        ImageError: another layout, or no pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ImageError(
            f"An image of layout {image.shape} and type {image.dtype} was given; "
            "expected (height, width, 3) uint8 RGB."
        )
    if image.shape[0] < 1 or image.shape[1] < 1:
        raise ImageError(
            f"The image is empty ({image.shape[1]} x {image.shape[0]} pixels); nothing can be found in it."
        )


def _spans(length: int) -> list[tuple[int, int]]:
    """Even spans that cover 0..length with the overlap; their length is a multiple of 32 where there are several."""
    if length <= TILE_PX:
        return [(0, length)]
    num = -(-(length - OVERLAP_PX) // (TILE_PX - OVERLAP_PX))
    span = -(-(length + (num - 1) * OVERLAP_PX) // num)
    span = min(-(-span // 32) * 32, length)
    starts = np.linspace(0, length - span, num).round().astype(int)
    return [(int(start), int(start) + span) for start in starts]
