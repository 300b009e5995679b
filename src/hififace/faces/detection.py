"""Finding faces in images of any size: the protocol, and the detector that ships.

How `YuNetDetector` searches, and why (figures and commands in `docs/model-card.md`, "Parts"):

1. Views from coarse to fine (`views.py`), so that a face that fills the frame and one of 24 px in 4K are both found.
2. The network proposes with a low threshold; what scores high is a face.
3. What does not is looked at again, cut out and resized so that a face would be 48 and then 80 px (80 and
   112 if it was large). Real faces
   then score above 0.85 even if they were 16 px small; textures that resembled a face at one size do not at another.
   This buys a low rate of false faces and a high recall at once, for a few milliseconds a doubtful candidate.
4. The points of a face in dim light are found anew on the face made brighter (`exposure.py`).
5. The points of a face that leans or lies are found anew on the face turned upright (`turning.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from hififace.errors import OptionError
from hififace.faces.candidates import (
    SAME,
    SURE,
    Candidates,
    as_detections,
    averaged,
    iou_matrix,
    merge,
    parts_of,
)
from hififace.faces.exposure import BOX_SHARES, brightened, exposure_gain
from hififace.faces.scrfd import ScrfdDetector
from hififace.faces.turning import search_turned, straighten
from hififace.faces.views import Tile, View, check_image, cut_out, tiles, views, worth_searching
from hififace.faces.yunet import YuNet
from hififace.types import Detection, FloatArray, RGBImage

__all__ = ["FaceDetector", "ScrfdDetector", "YuNetDetector"]

PROPOSE = 0.3
"""Least score of a candidate that deserves a second look."""

SECOND_LOOKS_PX = (48.0, 80.0)
SECOND_LOOKS_LARGE_PX = (80.0, 112.0)
"""For faces seen at 96 px or more: half in shadow or cut by the frame, they say too little at 48."""
SECOND_LOOK_WIDTH = 2.6
"""Side of the square cut out for a second look, in face sizes."""

LEAST_GAIN = 1.2
"""Faces that need less are not looked at again for their light."""

DIM_LOOK_MARGIN, GRID_PX = 0.8, 32
"""That look goes so many face sizes beyond the box; the network's coarsest cells."""

MOST_SECOND_LOOKS = 64
"""Per view, the best first: bounds the time on an image of leaves or of a crowd too far away."""


class FaceDetector(Protocol):
    """Finds faces in an image."""

    def detect(self, image: RGBImage, *, rotated: bool = False) -> list[Detection]:
        """Faces of an image, left to right; an empty list where there is none.

        Args:
            image: (H, W, 3) uint8 RGB.
            rotated: also find faces turned by any angle in the image's plane, at several times the cost.
        """
        ...


class YuNetDetector:
    """YuNet on ONNX Runtime, for images of any size.

    Args:
        score_threshold: least score of a face, 0 to 1, after the second look where there was one.
        overlap_threshold: intersection over union above which two candidates are one face.
        smallest_face_px: the smallest face to be found (square root of its box's area), in image pixels. Time
            grows as its inverse square: at 24 a 4K image is seen nearly at its own size, at 96 four times smaller.
        providers: see `weights.sessions.open_session`.
        threads: likewise.
        path: another file of the same layout; None is the one that ships.

    Raises:
        OptionError: a threshold or size out of range.
        WeightsError: the network's file is missing or broken.
    """

    def __init__(
        self,
        *,
        score_threshold: float = 0.7,
        overlap_threshold: float = 0.3,
        smallest_face_px: float = 24.0,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        path: Path | None = None,
    ) -> None:
        if not 0.0 < score_threshold < 1.0:
            raise OptionError(
                f"A detection threshold of {score_threshold} was given; it must lie between 0 and 1."
            )
        if smallest_face_px < 12.0:
            raise OptionError(
                f"Faces of {smallest_face_px:g} px were asked for; the detector sees nothing below 12 px. "
                "Ask for 12 or more, or enlarge the image first."
            )
        self.score_threshold = score_threshold
        self.overlap_threshold = overlap_threshold
        self.smallest_face_px = smallest_face_px
        self.network = YuNet(path, providers=providers, threads=threads)

    def detect(self, image: RGBImage, *, rotated: bool = False) -> list[Detection]:
        """See `FaceDetector.detect`.

        Raises:
            ImageError: not an RGB image of at least one pixel.
        """
        check_image(image)
        found = search_turned(self._search, image) if rotated else self._search(image)
        return as_detections(merge(found, self.overlap_threshold))

    def _search(self, image: RGBImage) -> Candidates:
        """All faces that do not lean far, in image pixels, merged and with straightened points."""
        found = Candidates.none()
        for view in views(image, self.smallest_face_px):
            scale = np.array([view.scale_x, view.scale_y], np.float32)
            known = np.asarray(found.boxes / np.tile(scale, 2), np.float32)
            seen = self._search_view(view, known)
            found = merge(
                Candidates.joined([found, seen.moved(view.scale_x, view.scale_y)]), self.overlap_threshold
            )
        return straighten(lambda part: self.network.propose(part, PROPOSE), image, found)

    def _search_view(self, view: View, known_boxes: FloatArray) -> Candidates:
        """Faces of one view, in its pixels; `known_boxes` (N, 4) come from coarser views."""
        height, width = view.image.shape[:2]
        cut = tiles(width, height)
        proposals = []
        for tile in cut:
            if len(cut) == 1 or worth_searching(tile, view, known_boxes):
                proposals.append(self._propose(view, tile))
        proposed = Candidates.joined(proposals)
        # What is too large for this view, or part of a face that a coarser one saw whole, it may not answer for.
        proposed = proposed.take(_sizes(proposed.boxes) <= view.largest_face_px)
        proposed = proposed.take(~parts_of(proposed, known_boxes))
        proposed = merge(proposed, self.overlap_threshold)
        sure = proposed.scores >= max(SURE, self.score_threshold)
        # A doubtful part of a face already found is not worth a second look.
        new = (iou_matrix(proposed.boxes, known_boxes) > self.overlap_threshold).sum(axis=1) == 0
        doubtful = proposed.take(np.flatnonzero(~sure & new)[:MOST_SECOND_LOOKS])
        confirmed = [self._look_again(view.image, doubtful.take(np.array([i]))) for i in range(len(doubtful))]
        faces = Candidates.joined([proposed.take(sure), *confirmed])
        return self._in_ordinary_light(view.image, faces)

    def _in_ordinary_light(self, image: RGBImage, faces: Candidates) -> Candidates:
        """The same faces, those in dim light with the points and boxes that they have when they are made brighter."""
        height, width = image.shape[:2]
        boxes, points = faces.boxes.copy(), faces.points.copy()
        for place, box in enumerate(faces.boxes):
            margin = float(_sizes(box[None])[0]) * DIM_LOOK_MARGIN
            # On the network's own grid of cells: beside it the points come out otherwise, by 4 % of the face.
            left, top = (max(int(v - margin) // GRID_PX * GRID_PX, 0) for v in box[:2])
            right, bottom = (int(v + margin) for v in box[2:])
            part = image[top : min(bottom, height), left : min(right, width)]
            x0, y0, x1, y1 = (int(v) for v in np.clip(box, 0, (width, height, width, height)))
            gain = exposure_gain(image[y0:y1, x0:x1], BOX_SHARES) if x1 > x0 and y1 > y0 else 1.0
            if gain < LEAST_GAIN:
                continue
            seen = self.network.propose(brightened(part, gain), PROPOSE).moved(1.0, 1.0, left, top)
            same = seen.take(iou_matrix(box[None], seen.boxes)[0] > SAME)
            if len(same):
                best = averaged(same)
                boxes[place], points[place] = best.boxes[0], best.points[0]
        return Candidates(boxes, faces.scores, points, faces.ranks)

    def _propose(self, view: View, tile: Tile) -> Candidates:
        """Candidates of one tile, in pixels of the view; those cut by an inner edge are left to the neighbour."""
        height, width = view.image.shape[:2]
        part = view.image[tile.y0 : tile.y1, tile.x0 : tile.x1]
        seen = self.network.propose(part, min(PROPOSE, self.score_threshold))
        cut = (
            ((seen.boxes[:, 0] < 1) & (tile.x0 > 0))
            | ((seen.boxes[:, 1] < 1) & (tile.y0 > 0))
            | ((seen.boxes[:, 2] > tile.x1 - tile.x0 - 1) & (tile.x1 < width))
            | ((seen.boxes[:, 3] > tile.y1 - tile.y0 - 1) & (tile.y1 < height))
        )
        return seen.take(~cut).moved(1.0, 1.0, tile.x0, tile.y0)

    def _look_again(self, image: RGBImage, one: Candidates) -> Candidates:
        """The same face as the second looks see it (mean score, last points), or none if either denies it."""
        box = one.boxes[0]
        size = float(_sizes(one.boxes)[0])
        middle = (box[:2] + box[2:]) * 0.5
        side = max(round(size * SECOND_LOOK_WIDTH), 1)
        left, top = (int(v) for v in np.floor(middle - side * 0.5))
        square = cut_out(image, left, top, side)
        scores, last = [], Candidates.none()
        for face_px in SECOND_LOOKS_PX if size < 96 else SECOND_LOOKS_LARGE_PX:
            target = round(side * face_px / size)
            smaller = target < side
            resized = cv2.resize(
                square, (target, target), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
            )
            seen = self.network.propose(np.asarray(resized, np.uint8), self.score_threshold)
            seen = seen.moved(side / target, side / target, left * target / side, top * target / side)
            same = iou_matrix(one.boxes, seen.boxes)[0] > 0.4
            if not same.any():
                return Candidates.none()
            last = averaged(seen.take(same))
            scores.append(float(last.scores[0]))
        score = np.array([np.mean(scores)], np.float32)
        return Candidates(last.boxes, score, last.points, score)


def _sizes(boxes: FloatArray) -> FloatArray:
    """(N, 4) to (N,) square roots of the boxes' areas."""
    return np.asarray(np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1)), np.float32)
