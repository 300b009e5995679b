"""dlib's 68 landmarks: its shape predictor, read and evaluated in numpy.

Face shape must not be measured with the mesh network, which the training loss uses. dlib's predictor (Kazemi and
Sullivan 2014, "One millisecond face alignment with an ensemble of regression trees") was trained on other photos, for
other points, by another method. Points 0-16 are the jaw line, 17-26 the brows, 27-35 the nose, 36-47 the eyes, 48-67
the mouth.

15 cascades of 500 trees of depth 4. Each cascade samples 500 pixels around the current shape; a tree compares pairs of
them; its leaf is added to the shape. The file is a stream of numbers in dlib's variable-length encoding, so it is
decoded once, which takes seconds, and cached as plain arrays.

`tools/check_landmarks68.py` compares with dlib itself: equal to 0.001 px on the same chip.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hififace.errors import WeightsError
from hififace.faces.alignment import estimate_similarity, invert, transform_points, warp
from hififace.media.atomic import atomic_path
from hififace.types import FloatArray, RGBImage

NUM_POINTS: Final = 68
JAW: Final = tuple(range(17))
BROWS: Final = tuple(range(17, 27))
NOSE: Final = tuple(range(27, 36))
EYES: Final = tuple(range(36, 48))
MOUTH: Final = tuple(range(48, 68))

ANCHORS: Final = ((36, 33), (39, 133), (42, 362), (45, 263), (33, 2), (48, 61), (54, 291))
"""(landmark, mesh point) at the same place of the face: eye corners, base of the nose, mouth corners. Used only to
align the face."""

BOX_PX: Final = 200
"""Side of dlib's face box in the predictor's input."""
MARGIN_PX: Final = 100
"""Margin around that box, for the jaw and the brows of turned heads."""
CHIP_PX: Final = BOX_PX + 2 * MARGIN_PX

STRETCH_BYTES: Final = 1 << 16
"""Length of the parts in which the file is decoded: their tables fit a CPU's cache."""


@dataclass(frozen=True, slots=True)
class ShapePredictor:
    """The regression trees as arrays: K cascades, T trees, S = 15 splits, L = 16 leaves, P points, F pixels."""

    initial: FloatArray
    """(P, 2) the mean shape; 0..1 across the face box."""
    anchors: NDArray[np.int32]
    """(K, F) the landmark to which each sampled pixel is attached."""
    deltas: FloatArray
    """(K, F, 2) offset from that landmark, in sides of the face box."""
    first: NDArray[np.int32]
    """(K, T, S) first pixel of each comparison."""
    second: NDArray[np.int32]
    """(K, T, S) second pixel."""
    thresholds: FloatArray
    """(K, T, S) levels of 255."""
    leaves: FloatArray
    """(K, T, L, P * 2) increments of the shape."""

    def predict(self, gray: NDArray[np.uint8], box: tuple[float, float, float, float]) -> FloatArray:
        """(P, 2) points in pixels of the image.

        Args:
            gray: (H, W) the mean of red, green and blue.
            box: left, top, right, bottom of the face as dlib's detector draws it.
        """
        corner, size = np.array(box[:2]), np.array([box[2] - box[0], box[3] - box[1]])
        height, width = gray.shape
        shape = self.initial.astype(np.float64)
        trees = np.arange(self.first.shape[1])
        for k in range(len(self.first)):
            turn = estimate_similarity(self.initial, shape)[:, :2]
            places = (self.deltas[k] @ turn.T + shape[self.anchors[k]]) * size + corner
            x, y = np.floor(places + 0.5).astype(np.int64).T
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            values = np.where(inside, gray[y.clip(0, height - 1), x.clip(0, width - 1)], 0).astype(np.float32)
            splits = values[self.first[k]] - values[self.second[k]] > self.thresholds[k]  # (T, S)
            node = np.zeros(len(trees), np.int64)
            while node[0] < splits.shape[1]:  # the trees are complete: all leaves have one depth
                node = 2 * node + np.where(splits[trees, node], 1, 2)
            added = self.leaves[k, trees, node - splits.shape[1]].sum(axis=0, dtype=np.float64)
            shape = shape + added.reshape(-1, 2)
        return np.asarray(shape * size + corner, np.float32)

    def locate(self, image: RGBImage, mesh: NDArray[np.floating]) -> FloatArray:
        """(P, 2) points in pixels of an image (H, W, 3) whose face has the mesh (468, 3).

        The face is first aligned upright in a chip of 400 px, so that its size and roll have no effect.
        """
        ours, theirs = (list(column) for column in zip(*ANCHORS, strict=True))
        wanted = self.initial[ours] * BOX_PX + MARGIN_PX
        matrix = estimate_similarity(np.asarray(mesh)[theirs, :2], wanted)
        chip = np.asarray(warp(image, matrix, CHIP_PX, border="edge"), np.uint8)
        end = float(MARGIN_PX + BOX_PX)
        points = self.predict(gray_of(chip), (MARGIN_PX, MARGIN_PX, end, end))
        return np.asarray(transform_points(invert(matrix), points), np.float32)


def gray_of(image: RGBImage) -> NDArray[np.uint8]:
    """(H, W) grey levels as in dlib: the sum of the three channels over 3, rounded down."""
    return np.asarray(image.astype(np.uint16).sum(axis=2) // 3, np.uint8)


def load_shape_predictor(path: Path, kept: Path | None = None) -> ShapePredictor:
    """Read `shape_predictor_68_face_landmarks.dat`, or its cached arrays.

    Args:
        path: the user-supplied file.
        kept: `.npz` file that caches the arrays; None does not cache.

    Raises:
        WeightsError: the file cannot be read or is not a shape predictor.
    """
    if kept is not None and kept.is_file():
        try:
            with np.load(kept, allow_pickle=False) as stored:
                return ShapePredictor(**{name: stored[name] for name in ShapePredictor.__slots__})
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
            pass  # damaged: decoded again
    try:
        predictor = parse_shape_predictor(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, IndexError) as error:
        raise WeightsError(
            f"{path} is not dlib's shape predictor ({error}); the file shape_predictor_68_face_landmarks.dat was "
            "expected. Fetch it again: hififace weights fetch dlib_landmarks68."
        ) from error
    if kept is not None:
        keep_shape_predictor(predictor, kept)
    return predictor


def keep_shape_predictor(predictor: ShapePredictor, path: Path) -> None:
    """Write the cache of `load_shape_predictor`, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file, allow_pickle=False, **{name: getattr(predictor, name) for name in ShapePredictor.__slots__}
        )


def parse_shape_predictor(data: bytes) -> ShapePredictor:
    """Decode a `.dat` file of dlib 18 or later.

    Raises:
        ValueError: another kind of file, or a truncated one.
        IndexError: the file ends too early.
    """
    stream = _Numbers(unpack_numbers(data))
    version = stream.integer()
    if version != 1:
        raise ValueError(f"version {version}, expected 1")
    initial = stream.matrix()
    splits, leaves = [], []
    num_cascades = stream.integer()
    for _ in range(num_cascades):
        for _ in range(stream.integer()):
            splits.append(
                stream.take(4 * stream.integer())
            )  # two pixels, mantissa and exponent of the threshold
            leaves.append([stream.matrix() for _ in range(stream.integer())])
    anchors = [stream.take(stream.integer()) for _ in range(stream.integer())]
    deltas = [stream.reals(2 * stream.integer()) for _ in range(stream.integer())]
    if not stream.at_end:
        raise ValueError("numbers are left over")
    table = np.stack(splits).reshape(num_cascades, -1, len(splits[0]) // 4, 4)
    return ShapePredictor(
        initial=initial.reshape(-1, 2),
        anchors=np.stack(anchors).astype(np.int32),
        deltas=np.stack(deltas).reshape(num_cascades, -1, 2),
        first=table[..., 0].astype(np.int32),
        second=table[..., 1].astype(np.int32),
        thresholds=np.ldexp(table[..., 2].astype(np.float64), table[..., 3]).astype(np.float32),
        leaves=np.array(leaves, np.float32).reshape(*table.shape[:2], -1, initial.size),
    )


def unpack_numbers(data: bytes) -> NDArray[np.int64]:
    """All integers of a stream in dlib's encoding, in order; a real number is two integers m and e: m · 2^e.

    Each integer is a byte with its length (and the sign in the highest bit), then its magnitude, lowest byte first. The
    start of a number is known only from the one before, so each part is decoded by pointer doubling: tables hold, for
    every byte, the position 1, 2, 4, ... numbers later.

    Raises:
        ValueError: this is not such a stream, or it is truncated.
    """
    raw = np.frombuffer(data, np.uint8)
    start, found = 0, []
    while start < len(raw):
        part = raw[start : start + STRETCH_BYTES]
        jumps = np.minimum(np.arange(1, len(part) + 1) + (part & 0x0F), len(part)).astype(np.int32)
        jumps = np.append(jumps, np.int32(len(part)))  # the end points to itself
        places = np.zeros(1, np.int32)
        while places[-1] < len(part):
            places = np.concatenate([places, jumps[places]])
            jumps = jumps[jumps]
        places = places[places < len(part)]
        lengths = (part[places] & 0x0F).astype(np.int64)
        if (lengths > 8).any() or (part[places] & 0x70).any():
            raise ValueError("no stream of dlib's numbers")
        whole = places + 1 + lengths <= len(part)
        end = len(part) if whole.all() else int(places[np.argmin(whole)])
        if end == 0 or (not whole.all() and start + len(part) == len(raw)):
            raise ValueError("it ends inside a number")
        places, lengths = places[whole], lengths[whole]
        values = np.zeros(len(places), np.int64)
        for byte in range(int(lengths.max(initial=0))):
            has = lengths > byte
            values[has] |= part[places[has] + 1 + byte].astype(np.int64) << (8 * byte)
        found.append(np.where(part[places] & 0x80, -values, values))
        start += end
    return np.concatenate(found) if found else np.zeros(0, np.int64)


class _Numbers:
    """A cursor over unpacked numbers."""

    def __init__(self, values: NDArray[np.int64]) -> None:
        self._values = values
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._values)

    def take(self, num: int) -> NDArray[np.int64]:
        if not 0 <= num <= len(self._values) - self._at:
            raise ValueError(f"{num} numbers were announced and {len(self._values) - self._at} are there")
        self._at += num
        return self._values[self._at - num : self._at]

    def integer(self) -> int:
        return int(self.take(1)[0])

    def reals(self, num: int) -> FloatArray:
        pairs = self.take(2 * num).reshape(num, 2)
        return np.ldexp(pairs[:, 0].astype(np.float64), pairs[:, 1]).astype(np.float32)

    def matrix(self) -> FloatArray:
        """A matrix of one column, as (rows,)."""
        rows, columns = -self.integer(), -self.integer()
        if rows < 1 or columns != 1:
            raise ValueError(f"a matrix of {rows} x {columns}, expected one column")
        return self.reals(rows)
