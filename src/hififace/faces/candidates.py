"""Faces as arrays while they are still only candidates: mapping between views, and merging into one each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hififace.types import Detection, FloatArray, Matrix23

MOST_CANDIDATES = 5000
"""Only so many of the best go into merging, which bounds its time on images of noise."""

COVERED = 0.75
"""A box that lies this much inside a better one is a part of the same face: a mouth and chin seen whole in a tile's
view. No real face hides another this far and is still found."""

SAME = 0.6
"""Boxes of one face in two views have at least this intersection over union."""

SURE = 0.85
"""Score from which on a candidate is a face without a second look."""

EQUAL_RANK = 0.1
"""A network's cells around one face often rank equal but for a hair, with points up to 4 % of the face apart; which of
them is first changes with a shift of the image by a pixel. Those that rank so much lower no longer count."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """N faces that a network proposes, not yet merged."""

    boxes: FloatArray
    """(N, 4) x0, y0, x1, y1 in pixels."""
    scores: FloatArray
    """(N,) 0 to 1."""
    points: FloatArray
    """(N, 5, 2) the five points in pixels."""
    ranks: FloatArray
    """(N,) who wins among candidates for one face: the score, less where the view was too fine or too coarse."""

    def __len__(self) -> int:
        return len(self.scores)

    @staticmethod
    def none() -> Candidates:
        """No candidate at all."""
        return Candidates(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros((0, 5, 2), np.float32),
            np.zeros(0, np.float32),
        )

    @staticmethod
    def joined(several: Sequence[Candidates]) -> Candidates:
        """All candidates of several lists, in order."""
        several = [c for c in several if len(c)]
        if not several:
            return Candidates.none()
        return Candidates(
            np.concatenate([c.boxes for c in several]),
            np.concatenate([c.scores for c in several]),
            np.concatenate([c.points for c in several]),
            np.concatenate([c.ranks for c in several]),
        )

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Candidates:
        """Those that an index or a mask names."""
        return Candidates(self.boxes[which], self.scores[which], self.points[which], self.ranks[which])

    def moved(
        self, scale_x: float, scale_y: float, offset_x: float = 0.0, offset_y: float = 0.0
    ) -> Candidates:
        """Map from a resized, cut-out view to the image: centre of pixel to centre of pixel.

        Args:
            scale_x: image pixels per view pixel, along x.
            scale_y: the same along y.
            offset_x: left edge of the view in the image, in pixels of the view.
            offset_y: top edge, likewise.
        """
        scale = np.array([scale_x, scale_y], np.float32)
        offset = np.array([offset_x, offset_y], np.float32)
        # Boxes are edges (0 = left edge of the first pixel), points are centres (0 = middle of it).
        boxes = (self.boxes.reshape(-1, 2, 2) + offset) * scale
        points = (self.points + offset + 0.5) * scale - 0.5
        return Candidates(boxes.reshape(-1, 4), self.scores, points.astype(np.float32), self.ranks)

    def turned(self, matrix: Matrix23) -> Candidates:
        """Map by a rotation (with any translation), the boxes as ellipses.

        A face fills its box about as an ellipse does, so the new box is the one around the turned ellipse: exact for
        quarter turns, and not swollen by the corners in between.
        """
        turn, shift = matrix[:, :2], matrix[:, 2]
        points = self.points @ turn.T + shift
        centres = (self.boxes[:, :2] + self.boxes[:, 2:]) * 0.5 - 0.5
        half = (self.boxes[:, 2:] - self.boxes[:, :2]) * 0.5
        centres = centres @ turn.T + shift + 0.5
        half = np.sqrt((half**2) @ (turn.T**2))
        boxes = np.concatenate([centres - half, centres + half], axis=1)
        return Candidates(boxes.astype(np.float32), self.scores, points.astype(np.float32), self.ranks)


def merge(candidates: Candidates, overlap: float = 0.3) -> Candidates:
    """Non-maximum suppression: one candidate for each face, best rank first.

    Args:
        candidates: N of them.
        overlap: intersection over union above which two are the same face.

    Returns:
        Those that remain, each `averaged`, by falling rank; one row of N overlaps is worked out for each that
        remains, so the cost is (faces found) x N.
    """
    order = np.argsort(-candidates.ranks, kind="stable")[:MOST_CANDIDATES]
    left = candidates.take(order)
    kept: list[Candidates] = []
    while len(left):
        kept.append(averaged(left))
        shared, union, smaller = _overlaps(left.boxes[0], left.boxes)
        same = (shared > overlap * union) | (shared > COVERED * smaller)
        same[0] = True
        left = left.take(~same)
    return Candidates.joined(kept)


def averaged(candidates: Candidates) -> Candidates:
    """The best candidate; a sure face's box and points are means with those that rank nearly as high for it.

    Between two looks at a face that differ by a few pixels, points move 0.7 % of the face where the best alone moves
    1.1 % (`docs/model-card.md`).

    Args:
        candidates: N of them, at least one.

    Returns:
        One, with the score and rank of the best. A doubtful one stays where the network saw it: the second look
        begins there.
    """
    best = int(np.argmax(candidates.ranks))
    if candidates.scores[best] < SURE:
        return candidates.take(np.array([best]))
    shared, union, _ = _overlaps(candidates.boxes[best], candidates.boxes)
    behind = (candidates.ranks[best] - candidates.ranks) / EQUAL_RANK
    weights = np.where(shared > SAME * union, np.maximum(1.0 - behind, 0.0), 0.0)
    weights[best] = 1.0  # a box without area overlaps with nothing, itself included
    weights = (weights / weights.sum()).astype(np.float32)
    return Candidates(
        np.tensordot(weights, candidates.boxes, 1)[None],
        candidates.scores[best : best + 1],
        np.tensordot(weights, candidates.points, 1)[None],
        candidates.ranks[best : best + 1],
    )


def parts_of(candidates: Candidates, faces: FloatArray) -> NDArray[np.bool_]:
    """Which candidates are only parts of faces that a coarser view saw whole.

    Args:
        candidates: N of them, of a finer view.
        faces: (M, 4) boxes of the coarser view, in the same pixels.

    Returns:
        (N,) true where a candidate lies inside a face and is clearly smaller. One of about the same box is the
        same face seen more sharply, and no part.
    """
    found = np.zeros(len(candidates), bool)
    for box in faces:
        shared, union, _ = _overlaps(box, candidates.boxes)
        areas = np.prod(np.maximum(candidates.boxes[:, 2:] - candidates.boxes[:, :2], 0.0), axis=1)
        found |= (shared > COVERED * areas) & (shared < SAME * union)
    return found


def iou_matrix(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union of every box of (N, 4) with every box of (M, 4): (N, M)."""
    if not len(first) or not len(second):
        return np.zeros((len(first), len(second)), np.float32)
    rows = []
    for box in first:
        shared, union, _ = _overlaps(box, second)
        rows.append(shared / np.maximum(union, 1e-9))
    return np.stack(rows).astype(np.float32)


def as_detections(candidates: Candidates) -> list[Detection]:
    """Detections from left to right (by the middle of their boxes, ties from top to bottom)."""
    centres = (candidates.boxes[:, :2] + candidates.boxes[:, 2:]) * 0.5
    order = np.lexsort((centres[:, 1], centres[:, 0]))
    return [
        Detection(
            candidates.boxes[i].astype(np.float32),
            float(candidates.scores[i]),
            candidates.points[i].astype(np.float32),
        )
        for i in order
    ]


def _overlaps(box: FloatArray, boxes: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(shared area, area of the union, area of the smaller) of one box with each of (N, 4)."""
    low = np.maximum(boxes[:, :2], box[:2])
    high = np.minimum(boxes[:, 2:], box[2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=1)
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1)
    area = float(np.prod(np.maximum(box[2:] - box[:2], 0.0)))
    return shared, areas + area - shared, np.minimum(areas, area)
