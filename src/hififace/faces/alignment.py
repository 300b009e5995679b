"""Aligning a face to a template: similarities by closed form, points both ways, and resampling that does not alias."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hififace.errors import FaceError
from hififace.faces.templates import Template, find_template
from hififace.types import Matrix23, RGBImage

Border = Literal["black", "edge", "mirror"]
"""What lies beyond the image: nothing, its last pixel drawn out, or its mirror image."""

_BORDERS: dict[Border, int] = {
    "black": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "mirror": cv2.BORDER_REFLECT_101,
}

MOST_SAMPLES = 16
"""Samples along each side of a crop's pixel, at most; a face of 2,000 px on 128 needs 16."""


class Aligned(NamedTuple):
    """A face cut out and aligned."""

    crop: RGBImage
    """(S, S, 3)."""
    matrix: Matrix23
    """Maps image pixels to crop pixels."""


def estimate_similarity(source_points: ArrayLike, target_points: ArrayLike) -> Matrix23:
    """The rotation, scale and shift that brings points nearest to others, in the least-squares sense.

    Umeyama (1991) for the plane, in closed form: with points as complex numbers about their means, the factor
    a = Σ conj(s)·t / Σ |s|² is scale and rotation at once. No singular value decomposition, hence no case in which a
    reflection slips in.

    Args:
        source_points: (N, 2), N ≥ 2.
        target_points: (N, 2).

    Returns:
        (2, 3) matrix from source to target.

    Raises:
        FaceError: the points coincide or are not finite, so that no face can be aligned by them.
    """
    source = np.asarray(source_points, np.float64)
    target = np.asarray(target_points, np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2 or len(source) < 2:
        raise ValueError(
            f"expected two equal lists of at least two (x, y), got {source.shape} and {target.shape}"
        )
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise FaceError(
            "The face's points are not finite numbers; detect the face again or choose another one."
        )
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    s = (source - source_mean) @ np.array([1.0, 1.0j])
    t = (target - target_mean) @ np.array([1.0, 1.0j])
    spread = float(np.sum(np.abs(s) ** 2))
    factor = np.sum(np.conj(s) * t) / spread if spread > 1e-12 else 0.0
    if abs(factor) < 1e-9:
        raise FaceError(
            f"The face's {len(source)} points lie on one spot or fit no face at all, so it cannot be aligned; "
            "expected eyes, nose and mouth apart from each other. Choose another face or a sharper image."
        )
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.concatenate([turn, (target_mean - turn @ source_mean)[:, None]], axis=1)


def invert(matrix: Matrix23) -> Matrix23:
    """The inverse of an affine (2, 3) matrix, in float64.

    Raises:
        FaceError: it has none.
    """
    linear = np.asarray(matrix, np.float64)[:, :2]
    determinant = linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0]
    if not np.isfinite(determinant) or abs(determinant) < 1e-18:
        raise FaceError(
            "A face's alignment has collapsed to a line, so nothing can be put back. Choose another face."
        )
    back = np.array([[linear[1, 1], -linear[0, 1]], [-linear[1, 0], linear[0, 0]]]) / determinant
    return np.concatenate([back, -(back @ np.asarray(matrix, np.float64)[:, 2:])], axis=1)


def compose(first: Matrix23, second: Matrix23) -> Matrix23:
    """One matrix that does `first`, then `second`."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return np.concatenate([b[:, :2] @ a[:, :2], b[:, :2] @ a[:, 2:] + b[:, 2:]], axis=1)


def transform_points(matrix: Matrix23, points: ArrayLike) -> NDArray[np.float64]:
    """Map (..., 2) points; of (..., 3) points z is multiplied by the scale, so that the mesh keeps its proportions."""
    array = np.asarray(points, np.float64)
    linear, shift = np.asarray(matrix, np.float64)[:, :2], np.asarray(matrix, np.float64)[:, 2]
    plane = array[..., :2] @ linear.T + shift
    if array.shape[-1] == 2:
        return plane
    return np.concatenate([plane, array[..., 2:] * matrix_scale(matrix)], axis=-1)


def matrix_scale(matrix: Matrix23) -> float:
    """How many target pixels one source pixel becomes, along a side."""
    linear = np.asarray(matrix, np.float64)[:, :2]
    return float(np.sqrt(abs(linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0])))


def warp(
    image: NDArray[Any], matrix: Matrix23, size: int | tuple[int, int], *, border: Border = "black"
) -> NDArray[Any]:
    """Resample an image through a matrix, averaging over areas where it shrinks.

    Where the image grows, cubic interpolation; where it shrinks n times, each pixel is the mean of ⌈n⌉² linear
    samples, which is what keeps a face of a large photograph from sparkling in a crop of 128 px.

    Args:
        image: (H, W) or (H, W, C), uint8 or float32.
        matrix: image pixels to crop pixels.
        size: side of a square crop, or (width, height).
        border: what is seen beyond the image.

    Returns:
        (height, width[, C]) of the same type.
    """
    width, height = (size, size) if isinstance(size, int) else size
    num = min(int(np.ceil(1.0 / max(matrix_scale(matrix), 1e-6) - 1e-3)), MOST_SAMPLES)
    if num <= 1:
        return cv2.warpAffine(
            image,
            np.asarray(matrix, np.float64),
            (width, height),
            flags=cv2.INTER_CUBIC,
            borderMode=_BORDERS[border],
        )
    # Pixel centres at integers: sample k of pixel i lies at (i + 0.5) · num - 0.5 in the finer grid.
    shift = (num - 1) / 2
    finer = compose(matrix, np.array([[num, 0.0, shift], [0.0, num, shift]]))
    there = (width * num, height * num)
    inside = _needed(finer, there, image.shape) if image.ndim == 3 and image.shape[2] == 3 else None
    if inside is None or image.dtype != np.uint8:
        samples = cv2.warpAffine(image, finer, there, flags=cv2.INTER_LINEAR, borderMode=_BORDERS[border])
        return cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA)
    # With a fourth channel OpenCV resamples bytes two and a half times as fast, to the same levels.
    x0, y0, x1, y1 = inside
    part = cv2.cvtColor(image[y0:y1, x0:x1], cv2.COLOR_RGB2RGBA)
    nearer = compose(np.array([[1.0, 0.0, x0], [0.0, 1.0, y0]]), finer)
    samples = cv2.warpAffine(part, nearer, there, flags=cv2.INTER_LINEAR)
    four = cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(four, cv2.COLOR_RGBA2RGB)


def _needed(
    matrix: Matrix23, size: tuple[int, int], shape: tuple[int, ...]
) -> tuple[int, int, int, int] | None:
    """x0, y0, x1, y1 of the pixels that resampling by linear interpolation reads; None where it reads beyond them.

    Args:
        matrix: image pixels to pixels of the result.
        size: width and height of the result.
        shape: of the image: height, width...
    """
    last = (size[0] - 1.0, size[1] - 1.0)
    corners = transform_points(invert(matrix), [(0.0, 0.0), (last[0], 0.0), last, (0.0, last[1])])
    x0, y0 = np.floor(corners.min(axis=0)).astype(int) - 1
    x1, y1 = np.ceil(corners.max(axis=0)).astype(int) + 2
    fits = x0 >= 0 and y0 >= 0 and x1 <= shape[1] and y1 <= shape[0]
    return (int(x0), int(y0), int(x1), int(y1)) if fits else None


def align(
    image: RGBImage, points5: ArrayLike, template: Template | str, *, border: Border = "black"
) -> Aligned:
    """Cut out a face so that its five points lie nearest to a template's.

    Args:
        image: (H, W, 3) RGB.
        points5: (5, 2) in pixels of the image.
        template: itself or its name in `TEMPLATES`.
        border: what the crop shows beyond the image.

    Raises:
        FaceError: points by which no face can be aligned.
    """
    chosen = find_template(template) if isinstance(template, str) else template
    matrix = estimate_similarity(points5, chosen.points)
    return Aligned(np.asarray(warp(image, matrix, chosen.size, border=border), np.uint8), matrix)
