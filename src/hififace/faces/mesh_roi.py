"""Where the mesh network looks: the rotated square of an image that becomes its 192 px input.

As the network's original does, the square lies along the line through the eyes and is 1.5 times as wide as
the face. `roi_from_points` guesses it from a detection; `roi_from_landmarks` takes it from a first pass of
the network itself, and a second pass through it gives the final points.

The network's numbers count from the outer edge of the first pixel, ours from its centre: what it says of its
input is half a pixel more than a position in the sense of `types.py`. `mesh_to_image` takes that half
pixel off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hififace.types import FloatArray, Matrix23

INPUT_SIZE_PX = 192
ENLARGEMENT = 1.5
"""Side of the square over the longer side of the face's bounding box."""

SIDE_PER_POINT_SPREAD, SIDE_PER_BOX_SIZE = 0.82, 1.09
"""Side of the square from a detection: times the hypotenuse of (distance of the eyes, distance from the
eyes' middle to the mouth's), plus times the square root of the box's area. Fitted on 744 portraits to the
squares that the second pass settles on: 4 % standard deviation; the box alone gives 4.5 %."""

CENTRE_BELOW_BOX = 0.035
"""How far the square's centre lies below the centre of the box, along the face, in sides (deviation 1.5
%)."""

EYE_CORNERS = (33, 263)
"""Outer corners of the eyes, image-left first: the line that gives the rotation."""


def square_to_input(
    centre: NDArray[np.floating], side: float, angle: float, size: int = INPUT_SIZE_PX
) -> Matrix23:
    """Matrix from image pixels to the pixels of a `size` px input that shows a rotated square.

    Args:
        centre: (2,) of the square, image pixels.
        side: of the square, image pixels.
        angle: radians by which the square is turned, clockwise as one sees it.
        size: of the input.
    """
    scale = size / side
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cosine, sine], [-sine, cosine]], dtype=np.float64)
    middle = np.full(2, (size - 1) / 2)
    return np.column_stack([turn, middle - turn @ np.asarray(centre, dtype=np.float64)])


def roi_from_points(
    points5: NDArray[np.floating], box: NDArray[np.floating], size: int = INPUT_SIZE_PX
) -> Matrix23:
    """Matrix from image pixels to the input, from a detection: the first pass.

    The points it leads to are within about 2 % of the eye distance of the final ones: a second pass is
    needed.

    Args:
        points5: (5, 2) image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.
        box: (4,) x0, y0, x1, y1.
        size: of the input.
    """
    points = np.asarray(points5, dtype=np.float64)
    x0, y0, x1, y1 = (float(v) for v in box)
    across = points[1] - points[0]
    along = (points[3] + points[4] - points[0] - points[1]) / 2
    angle = float(np.arctan2(across[1], across[0]))
    spread = float(np.hypot(np.linalg.norm(across), np.linalg.norm(along)))
    area = max(x1 - x0, 1.0) * max(y1 - y0, 1.0)
    side = SIDE_PER_POINT_SPREAD * spread + SIDE_PER_BOX_SIZE * float(np.sqrt(area))
    down = np.array([-np.sin(angle), np.cos(angle)])
    centre = np.array([x0 + x1, y0 + y1]) / 2 + CENTRE_BELOW_BOX * side * down
    return square_to_input(centre, side, angle, size)


def roi_from_landmarks(points: NDArray[np.floating], size: int = INPUT_SIZE_PX) -> Matrix23:
    """Matrix from image pixels to the input, from the mesh points of a first pass.

    Args:
        points: (468, 2) or (468, 3), image pixels.
        size: of the input.
    """
    flat = np.asarray(points, dtype=np.float64)[:, :2]
    across = flat[EYE_CORNERS[1]] - flat[EYE_CORNERS[0]]
    angle = float(np.arctan2(across[1], across[0]))
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    upright = flat @ turn.T
    low, high = upright.min(axis=0), upright.max(axis=0)
    centre = turn.T @ ((low + high) / 2)
    return square_to_input(centre, ENLARGEMENT * float((high - low).max()), angle, size)


def mesh_to_image(points: NDArray[np.floating], matrix: Matrix23) -> FloatArray:
    """Points as the network gives them, in the image.

    Args:
        points: (468, 3) in pixels of the network's input, counted from the outer edge of the first.
        matrix: the matrix from image to input that the input was cut out with.

    Returns:
        (468, 3) x, y in image pixels (centres at integers), z on the same scale.
    """
    turn = np.asarray(matrix, dtype=np.float64)[:, :2]
    flat = (np.asarray(points, dtype=np.float64)[:, :2] - 0.5 - matrix[:, 2]) @ np.linalg.inv(turn).T
    scale = float(np.sqrt(np.linalg.det(turn)))
    return np.column_stack([flat, np.asarray(points, dtype=np.float64)[:, 2] / scale]).astype(np.float32)
