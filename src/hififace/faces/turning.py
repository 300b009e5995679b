"""Faces that lean, lie on their side or stand on their head.

YuNet finds a face at almost any angle, but reads it as if it stood upright: at a lean of 20 degrees its points are a
tenth of the face off, at 45 degrees eyes and mouth are simply invented. So eighths of a turn are searched apart (the
upright one scores best), and a face that leans is looked at again, turned upright by its own points, until it leans
no more. Without this, the identity vector of a face leaning by 30 degrees has a cosine of 0.4 with its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from hififace.faces.alignment import compose, invert, transform_points
from hififace.faces.candidates import Candidates
from hififace.faces.views import cut_out
from hififace.types import FloatArray, Matrix23, RGBImage

LEANING_DEG = 7.0
"""A face whose own points say it leans by less counts as upright: about the noise of the points themselves."""

HASTE = 1.6
"""The points understate the lean by about half, as they are drawn towards upright; so each step goes further, until
one goes too far."""

MOST_LOOKS = 6

LOOK_FACE_PX = 64.0
LOOK_PX = 160


def straighten(look: Callable[[RGBImage], Candidates], image: RGBImage, found: Candidates) -> Candidates:
    """Find the points of leaning faces anew, on the face turned upright.

    Args:
        look: the network on one small picture.
        image: (H, W, 3) that `found` lies in.
        found: one candidate a face.

    Returns:
        The same faces, boxes and scores with better points.
    """
    points, ranks = found.points.copy(), found.ranks.copy()
    for i in np.flatnonzero(np.abs(leaning_deg(found.points)) > LEANING_DEG):
        points[i], ranks[i] = _straight_points(look, image, found.take(np.array([i])))
    return Candidates(found.boxes, found.scores, points, ranks)


def _straight_points(
    look: Callable[[RGBImage], Candidates], image: RGBImage, one: Candidates
) -> tuple[FloatArray, float]:
    """Points (5, 2) of one face, and its rank by the score it has upright: nought where it is lost on the way."""
    small, to_small = _shrunken(image, one.boxes[0])
    centre = transform_points(to_small, (one.boxes[0, :2] + one.boxes[0, 2:]) * 0.5 - 0.5)
    angle, last, now, back = 0.0, 0.0, one, None
    for _ in range(MOST_LOOKS):
        lean = float(leaning_deg(now.points)[0])
        if abs(lean) < LEANING_DEG:
            break
        angle += lean * (HASTE if lean * last >= 0 else 0.5)
        last = lean
        radians = np.deg2rad(-angle)
        turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
        matrix = np.concatenate([turn, ((LOOK_PX - 1) / 2 - turn @ centre)[:, None]], axis=1)
        turned = cv2.warpAffine(small, matrix, (LOOK_PX, LOOK_PX), flags=cv2.INTER_LINEAR)
        seen = look(np.asarray(turned, np.uint8))
        middles = (seen.boxes[:, :2] + seen.boxes[:, 2:]) * 0.5
        seen = seen.take(np.linalg.norm(middles - LOOK_PX / 2, axis=1) < LOOK_FACE_PX * 0.4)
        if not len(seen):
            return one.points[0], 0.0
        now, back = seen.take(np.array([np.argmax(seen.scores)])), invert(compose(to_small, matrix))
    if back is None:
        return one.points[0], float(one.ranks[0])
    return now.turned(back).points[0], float(now.scores[0])


def _shrunken(image: RGBImage, box: FloatArray) -> tuple[RGBImage, Matrix23]:
    """The surroundings of a face, resized once so that it is `LOOK_FACE_PX` large; and the matrix into them."""
    size = max(float(np.sqrt(np.prod(box[2:] - box[:2]))), 1.0)
    # A square of this side holds the look in whatever direction it is turned.
    side = max(round(size * 1.45 * LOOK_PX / LOOK_FACE_PX), 2)
    left, top = (int(v) for v in np.floor((box[:2] + box[2:]) * 0.5 - side * 0.5))
    target = max(round(side * LOOK_FACE_PX / size), 2)
    flags = cv2.INTER_AREA if target < side else cv2.INTER_CUBIC
    small = np.asarray(
        cv2.resize(cut_out(image, left, top, side), (target, target), interpolation=flags), np.uint8
    )
    scale = target / side
    shift = [(0.5 - left) * scale - 0.5, (0.5 - top) * scale - 0.5]
    return small, np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])


def search_turned(
    search: Callable[[RGBImage], Candidates],
    image: RGBImage,
    *,
    angles_deg: Sequence[int] = tuple(range(0, 360, 45)),
) -> Candidates:
    """Search a picture turned by several angles and map what was found back.

    Args:
        search: finds upright faces and those leaning by up to half a step.
        image: (H, W, 3).
        angles_deg: clockwise turns.
    """
    several = []
    for angle in angles_deg:
        turned, back = turn_picture(image, angle)
        found = search(turned)
        several.append(found.turned(back))
    return Candidates.joined(several)


def turn_picture(image: RGBImage, angle_deg: int) -> tuple[RGBImage, Matrix23]:
    """Turn a picture clockwise onto a canvas that holds all of it; the matrix maps turned pixels back to it."""
    height, width = image.shape[:2]
    if angle_deg % 360 == 0:
        return image, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    radians = np.deg2rad(angle_deg)
    cos, sin = np.cos(radians), np.sin(radians)
    canvas_w = int(np.ceil(abs(cos) * width + abs(sin) * height - 1e-6))
    canvas_h = int(np.ceil(abs(sin) * width + abs(cos) * height - 1e-6))
    turn = np.array([[cos, -sin], [sin, cos]])  # clockwise, as y points down
    middle, canvas_middle = np.array([width - 1, height - 1]) / 2, np.array([canvas_w - 1, canvas_h - 1]) / 2
    forward = np.concatenate([turn, (canvas_middle - turn @ middle)[:, None]], axis=1)
    back = np.concatenate([turn.T, (middle - turn.T @ canvas_middle)[:, None]], axis=1)
    if angle_deg % 90 == 0:
        return np.ascontiguousarray(np.rot90(image, -angle_deg // 90)), back
    turned = cv2.warpAffine(image, forward, (canvas_w, canvas_h), flags=cv2.INTER_LINEAR)
    return np.asarray(turned, np.uint8), back


def leaning_deg(points: FloatArray) -> FloatArray:
    """Roll of faces by their five points: (N, 5, 2) to (N,) degrees, 0 upright, positive clockwise.

    The vertical from the eyes to the mouth is used, not the line through the eyes, which foreshortens in profile.
    """
    down = points[:, 3:].mean(axis=1) - points[:, :2].mean(axis=1)
    return np.asarray(np.rad2deg(np.arctan2(-down[:, 0], down[:, 1])), np.float32)
