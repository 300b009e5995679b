"""A prepared set in a small file: AVIF images, compact facts, no masks.

The reader needs numpy, Pillow 11.3 or later (AVIF) and pydantic only: no OpenCV, pyarrow or PyTorch, so that it also
runs on a machine that was only lent for training. `preparation/pack.py` writes these files.

A part is a plain zip archive: `pack.json` (`PackHeader`), one raw little-endian array per fact, and `images.bin`.
`pack.json` names the type, shape and SHA-256 of every other member. The parts of one set hold whole people and an even
share of every input, so each is a smaller set of its own; opened together they give the rows of the prepared set in
their order, and therefore the same pairs.

N photos, S side of the crop, D identity vector, C coefficients, P landmarks, K principal numbers of the landmarks.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from pydantic import BaseModel, ConfigDict, ValidationError

from hififace.data.index import SetCard
from hififace.errors import DataError, RuntimeUnavailableError
from hififace.types import FloatArray, RGBImage

PACK_SUFFIX: Final = ".hfpack"
PACK_LAYOUT: Final = 1
HEADER_NAME: Final = "pack.json"

LABELS: Final = ("identity", "source", "gender", "group")
"""What may be known of a photo: its person, the input that it came from, and what that input says of the person."""

CODE_STEPS: Final = 65535
"""Facts with a range are stored in so many steps: an error of 0.002 px in a translation of 256 px, where float16
has 0.06."""

OUTLINE_PX: Final = 0.45
"""OpenCV also fills the pixels that a polygon's outline touches: by so much its regions are wider."""

_MAX_HEADER_BYTES: Final = 64 << 20
_MAX_SHARED_BYTES: Final = 64 << 20
_MAX_FACT_BYTES: Final = 1 << 16
"""What one array may unfold to, and per photo."""

_MAX_HEAD_BYTES: Final = 4096
"""What one AVIF header may unfold to; they are about 275 bytes."""


class StoredArray(BaseModel):
    """One member of the archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def num_bytes(self) -> int:
        """Size of the array."""
        size = int(np.dtype(self.dtype).itemsize)
        for length in self.shape:
            size *= length
        return size


class MaskOutline(BaseModel):
    """How the face region follows from the landmarks (`faces.masks.face_polygon`): a pack explains itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    oval: tuple[int, ...]
    image_left_eye: tuple[int, ...]
    image_right_eye: tuple[int, ...]
    chin: int
    forehead_rise: float


class PackHeader(BaseModel):
    """`pack.json`: what one part holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: int = PACK_LAYOUT
    card: SetCard
    """Of the whole prepared set."""
    set_sha256: str
    """The same in all parts of a set, and different for any other set."""
    part: int
    """From 0."""
    num_parts: int
    num_photos: int
    """In this part."""
    keys: tuple[str, ...]
    labels: dict[str, tuple[str, ...]]
    """The names that the code arrays of `LABELS` number, per label."""
    outline: MaskOutline | None = None
    """None where the landmarks are no face mesh."""
    image_head: str
    """Hexadecimal bytes of a typical AVIF header: the headers are stored as differences from it."""
    settings: dict[str, Any]
    """Options of the packing."""
    figures: dict[str, float]
    """What packing cost, measured over the whole set: see `preparation.pack.PackReport`."""
    arrays: dict[str, StoredArray]


def to_codes(values: NDArray[np.floating]) -> tuple[NDArray[np.uint16], FloatArray]:
    """Columns of numbers as 16-bit steps between each column's smallest and largest value.

    Args:
        values: (N, C), finite, N of 1 or more.

    Returns:
        (N, C) codes and the (2, C) range that `from_codes` needs.
    """
    spans = np.stack([values.min(axis=0), values.max(axis=0)]).astype(np.float32)
    low, width = spans[0].astype(np.float64), (spans[1].astype(np.float64) - spans[0])
    steps = np.where(width > 0, CODE_STEPS / np.where(width > 0, width, 1.0), 0.0)
    codes = np.rint((values.astype(np.float64) - low) * steps)
    return np.clip(codes, 0, CODE_STEPS).astype(np.uint16), spans


def from_codes(codes: NDArray[np.uint16], spans: FloatArray) -> FloatArray:
    """What `to_codes` was given, to within half a step; float32."""
    width = (spans[1].astype(np.float64) - spans[0]) / CODE_STEPS
    values: FloatArray = (codes * width + spans[0]).astype(np.float32)
    return values


def fold_head(data: bytes, typical: bytes) -> bytes:
    """An AVIF file with its header stored as a difference from a typical one: 20 bytes instead of 275."""
    end = data.find(b"mdat", 0, _MAX_HEAD_BYTES) + 4
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=typical)
    head = squeeze.compress(data[:end]) + squeeze.flush() if end >= 4 else b""
    if not 0 < len(head) < 256:
        return b"\0" + data
    return bytes([len(head)]) + head + data[end:]


def unfold_head(data: bytes, typical: bytes) -> bytes:
    """The file that `fold_head` was given.

    Raises:
        zlib.error: damaged.
    """
    length = data[0] if data else 0
    if length == 0:
        return data[1:]
    return (
        zlib.decompressobj(-15, zdict=typical).decompress(data[1 : 1 + length], _MAX_HEAD_BYTES)
        + (data[1 + length :])
    )


class _Part(NamedTuple):
    """One opened file."""

    path: Path
    header: PackHeader
    arrays: dict[str, NDArray[Any]]
    images: bytes
    head: bytes
    ends: NDArray[np.int64]
    """(n,) where each image ends in `images`."""


@dataclass(frozen=True)
class PackedSet:
    """A packed set, opened: everything but the decoded images is in memory as arrays.

    Use `PackedSet.open(path)`.
    """

    card: SetCard
    """Of the set as it was prepared, with the numbers of photos and people that are here."""
    keys: NDArray[Any]
    """(N,) str."""
    labels: dict[str, NDArray[Any]]
    """For each of `LABELS` (N,) str, or None where it is not known."""
    identity_codes: NDArray[np.int32]
    """(N,) number of each photo's person, -1 for photos without an identity."""
    identity: NDArray[np.float16]
    """(N, D) unit-length identity vectors."""
    coefficients: FloatArray
    """(N, C) of the crops."""
    coefficients_mirrored: FloatArray
    """(N, C) of their mirror images."""
    matrix: FloatArray
    """(N, 2, 3) photo pixels to crop pixels."""
    photo_size: FloatArray
    """(N, 2) width and height in pixels."""
    native_px: FloatArray
    """(N,) real resolution of each crop, in pixels of its side (`preparation.detail.native_px`)."""
    image_px: NDArray[np.int32]
    """(N,) side at which each image is stored; `images` enlarges it to S."""
    figures: dict[str, float]
    """What packing cost, see `preparation.pack.PackReport`; of the first part's set."""
    _parts: tuple[_Part, ...] = field(repr=False)
    _places: NDArray[np.int64] = field(repr=False)
    """(N, 2) part and place within it of each row."""

    @classmethod
    def open(cls, path: Path | str | Sequence[Path | str]) -> PackedSet:
        """Read and check one part, several parts, or all parts in a folder.

        Parts of one set come in the order of the prepared set; parts of several sets with equal crops and frozen
        parts one set after the other, with their people kept apart.

        Raises:
            DataError: missing, damaged, of another layout, or parts that do not belong together.
            RuntimeUnavailableError: this Pillow reads no AVIF.
        """
        _require_avif()
        paths = _part_paths(path)
        parts = tuple(_open_part(one) for one in paths)
        _check_together(parts)
        return _join(parts)

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def landmark_numbers(self) -> FloatArray:
        """(N, K) principal numbers of the landmarks: landmarks = numbers @ basis + mean."""
        self._one_basis()
        numbers = [
            from_codes(part.arrays["landmark_numbers"], part.arrays["landmark_numbers_range"])
            for part in self._parts
        ]
        return np.concatenate(numbers)[self._order]

    @property
    def landmark_basis(self) -> FloatArray:
        """(K, P · 3) the directions that `landmark_numbers` counts along.

        Raises:
            DataError: parts of several sets, each with a basis of its own; use `landmarks`.
        """
        return self._one_basis().arrays["landmark_basis"].astype(np.float32)

    @property
    def landmark_mean(self) -> FloatArray:
        """(P · 3,) in crop pixels; raises as `landmark_basis`."""
        return cast("FloatArray", self._one_basis().arrays["landmark_mean"])

    def landmarks(self, rows: Iterable[int] | None = None) -> FloatArray:
        """(n, P, 3) landmarks in crop pixels, of all photos or of some rows."""
        chosen = self._rows(rows)
        num_points = len(self.card.landmark_mirror)
        points = np.empty((len(chosen), num_points, 3), np.float32)
        for number, part in enumerate(self._parts):
            here = np.flatnonzero(self._places[chosen, 0] == number)
            codes = part.arrays["landmark_numbers"][self._places[chosen[here], 1]]
            numbers = from_codes(codes, part.arrays["landmark_numbers_range"])
            flat = numbers @ part.arrays["landmark_basis"].astype(np.float32) + part.arrays["landmark_mean"]
            points[here] = flat.reshape(-1, num_points, 3)
        return points

    def image(self, row: int) -> RGBImage:
        """(S, S, 3) uint8 crop of one row, enlarged to S where it is stored smaller.

        Raises:
            DataError: it cannot be decoded.
        """
        stored, size = self.stored_image(row), self.card.resolution
        if stored.width != size:
            stored = stored.resize((size, size), Image.Resampling.LANCZOS)
        return np.asarray(stored, dtype=np.uint8)

    def images(self, rows: Iterable[int] | None = None, workers: int = 1) -> RGBImage:
        """(n, S, S, 3) uint8 crops of all photos or of some rows.

        Args:
            rows: which, in the order of the result.
            workers: threads; Pillow decodes and resizes outside Python's lock.

        Raises:
            DataError: one cannot be decoded.
        """
        chosen, size = self._rows(rows), self.card.resolution
        pixels = np.empty((len(chosen), size, size, 3), np.uint8)

        def fill(place: int) -> None:
            pixels[place] = self.image(int(chosen[place]))

        if workers <= 1:
            for place in range(len(chosen)):
                fill(place)
        else:
            with ThreadPoolExecutor(workers, thread_name_prefix="hififace-unpack") as pool:
                for _ in pool.map(fill, range(len(chosen)), chunksize=16):
                    pass
        return pixels

    def stored_image(self, row: int) -> Image.Image:
        """The crop of one row at its stored side, RGB.

        Raises:
            DataError: it cannot be decoded.
        """
        number, place = (int(value) for value in self._places[row])
        part = self._parts[number]
        side, start = int(self.image_px[row]), int(part.ends[place - 1]) if place else 0
        try:
            data = unfold_head(part.images[start : int(part.ends[place])], part.head)
            with Image.open(io.BytesIO(data), formats=("AVIF",)) as picture:
                if picture.size != (side, side):
                    raise ValueError(f"{picture.width} x {picture.height} pixels instead of {side} x {side}")
                return picture.convert("RGB")
        except (
            OSError, RuntimeError, ValueError, SyntaxError, MemoryError, zlib.error, EOFError,
        ) as error:  # fmt: skip
            raise DataError(
                f"Photo {self.keys[row]} of {part.path} cannot be decoded ({error}). Copy or pack the set again."
            ) from error

    def masks(self, rows: Iterable[int] | None = None, workers: int = 1) -> NDArray[np.uint8]:
        """(n, S, S) face regions, 0 or 255, drawn from the landmarks.

        The same region as `faces.masks.region_mask(landmarks, (S, S), dilate_px=0, feather_px=0)`, which preparation
        stores, drawn without OpenCV: some pixels on the outline differ.

        Raises:
            DataError: the landmarks are no face mesh.
        """
        chosen, size = self._rows(rows), self.card.resolution
        masks = np.empty((len(chosen), size, size), np.uint8)

        def fill(start: int) -> None:
            some = chosen[start : start + 64]
            for place, corners in enumerate(self._polygons(some)):
                masks[start + place] = draw_polygon(corners, size)

        with ThreadPoolExecutor(max(workers, 1), thread_name_prefix="hififace-unpack") as pool:
            for _ in pool.map(fill, range(0, len(chosen), 64)):
                pass
        return masks

    def _polygons(self, rows: NDArray[np.int64]) -> FloatArray:
        outline = self._parts[0].header.outline
        if outline is None:
            raise DataError(
                f"{self._parts[0].path} was packed from landmarks that are no face mesh, so that masks cannot be drawn "
                f"from them. Train from the prepared set."
            )
        return widen(face_polygons(self.landmarks(rows), outline), OUTLINE_PX)

    def _rows(self, rows: Iterable[int] | None) -> NDArray[np.int64]:
        if rows is None:
            return np.arange(len(self), dtype=np.int64)
        return np.asarray(rows if isinstance(rows, np.ndarray) else list(rows), dtype=np.int64).reshape(-1)

    @property
    def _order(self) -> NDArray[np.int64]:
        """Places in the concatenated parts, by row."""
        starts = np.cumsum([0, *(part.header.num_photos for part in self._parts)])
        return starts[self._places[:, 0]] + self._places[:, 1]

    def _one_basis(self) -> _Part:
        if len({part.header.set_sha256 for part in self._parts}) > 1:
            raise DataError(
                "These parts come from several prepared sets, each with a landmark basis of its own. "
                "Use landmarks(), or open each set by itself."
            )
        return self._parts[0]


def face_polygons(points: FloatArray, outline: MaskOutline) -> FloatArray:
    """Outlines of faces, raised over the forehead: `faces.masks.face_polygon` for many faces.

    Args:
        points: (n, P, 2) or (n, P, 3) in pixels.
        outline: which points make it.

    Returns:
        (n, V, 2) corners in order.
    """
    flat = points[..., :2].astype(np.float64)
    oval = flat[:, list(outline.oval)]
    left = flat[:, list(outline.image_left_eye)].mean(axis=1)
    right = flat[:, list(outline.image_right_eye)].mean(axis=1)
    across, middle = right - left, (left + right) / 2
    up = np.stack([across[:, 1], -across[:, 0]], axis=1)
    # In profile the eyes nearly meet: there, up points from the chin to the eyes.
    meet = np.linalg.norm(across, axis=1) < 1e-3
    up[meet] = (middle - flat[:, outline.chin])[meet]
    up /= np.maximum(np.linalg.norm(up, axis=1, keepdims=True), 1e-9)
    height = np.maximum(np.einsum("nvd,nd->nv", oval - middle[:, None], up), 0.0)
    raised: FloatArray = (oval + (outline.forehead_rise * height)[..., None] * up[:, None]).astype(np.float32)
    return raised


def widen(corners: FloatArray, by_px: float) -> FloatArray:
    """Polygons whose corners are moved outwards, away from their mean.

    Args:
        corners: (n, V, 2).
        by_px: how far.
    """
    away = corners - corners.mean(axis=1, keepdims=True)
    wider: FloatArray = corners + by_px * away / np.maximum(np.linalg.norm(away, axis=2, keepdims=True), 1e-6)
    return wider


def draw_polygon(corners: FloatArray, size: int) -> NDArray[np.uint8]:
    """(size, size) 255 where a pixel's centre lies inside the polygon, by crossings along each line of pixels.

    Args:
        corners: (V, 2) in pixels, centres at integers.
        size: side of the picture.
    """
    x0, y0 = corners[:, 0].astype(np.float64), corners[:, 1].astype(np.float64)
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    lines = np.arange(size, dtype=np.float64)[:, None]
    crosses = (y0 <= lines) != (y1 <= lines)  # (size, V)
    slope = np.where(y1 != y0, (x1 - x0) / np.where(y1 != y0, y1 - y0, 1.0), 0.0)
    at = x0 + (lines - y0) * slope
    # Every crossing turns the rest of its line over: count them by column, and sum along the line.
    first = np.clip(np.ceil(at), 0, size).astype(np.int64)
    flips = np.zeros((size, size + 1), np.int64)
    np.add.at(flips, (np.broadcast_to(np.arange(size)[:, None], first.shape)[crosses], first[crosses]), 1)
    inside = np.cumsum(flips[:, :size], axis=1) % 2 == 1
    return np.where(inside, 255, 0).astype(np.uint8)


# ---- Opening.


def _require_avif() -> None:
    if not features.check("avif"):
        raise RuntimeUnavailableError(
            "This Pillow reads no AVIF, in which packed sets keep their images. Run `pip install 'pillow>=11.3'`."
        )


def _part_paths(path: Path | str | Sequence[Path | str]) -> list[Path]:
    if isinstance(path, (str, Path)):
        one = Path(path)
        paths = sorted(one.glob(f"*{PACK_SUFFIX}")) if one.is_dir() else [one]
    else:
        paths = [Path(each) for each in path]
    if not paths:
        raise DataError(f"{path} holds no packed set (*{PACK_SUFFIX}). Make one with `hififace pack`.")
    return paths


def _open_part(path: Path) -> _Part:
    try:
        with zipfile.ZipFile(path) as archive:
            header = _read_header(path, archive)
            _check_sizes(path, header, archive)
            arrays = {
                name: _read_array(path, archive, name, stored) for name, stored in header.arrays.items()
            }
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path} cannot be read as a packed set ({reason}). Copy it again, or pack the set again."
        ) from error
    _check_part(path, header, arrays)
    ends = np.cumsum(arrays["image_bytes"].astype(np.int64))
    images = arrays.pop("images").tobytes()
    return _Part(path, header, arrays, images, bytes.fromhex(header.image_head), ends)


def _read_header(path: Path, archive: zipfile.ZipFile) -> PackHeader:
    try:
        info = archive.getinfo(HEADER_NAME)
        if info.file_size > _MAX_HEADER_BYTES:
            raise DataError(f"{path}: its {HEADER_NAME} has {info.file_size} bytes; it is no packed set.")
        header = PackHeader.model_validate_json(archive.read(info))
        bytes.fromhex(header.image_head)
    except KeyError as error:
        raise DataError(f"{path} holds no {HEADER_NAME}, so it is no packed set.") from error
    except ValidationError as error:
        fields = error.errors()
        if any(one["loc"][:1] == ("layout",) for one in fields):
            raise DataError(f"{path} is no packed set of layout {PACK_LAYOUT}.") from error
        raise DataError(
            f"{path} is damaged ({fields[0]['loc']}: {fields[0]['msg']}). Copy it again, or pack the set again."
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}). Copy it again, or pack the set again.") from error
    if header.layout != PACK_LAYOUT:
        raise DataError(
            f"{path} is of layout {header.layout}; this program reads layout {PACK_LAYOUT}. Pack the set again."
        )
    return header


def _check_sizes(path: Path, header: PackHeader, archive: zipfile.ZipFile) -> None:
    """Bounds what reading will unpack by what the file itself holds, so that a hostile one cannot fill the memory."""
    n = header.num_photos
    if n < 1 or len(header.keys) != n:
        raise DataError(
            f"{path} is damaged: it speaks of {n} photos and names {len(header.keys)}. Copy it again."
        )
    for name, stored in header.arrays.items():
        if stored.dtype not in _DTYPES or any(length < 0 for length in stored.shape):
            raise DataError(
                f"{path} is damaged: {name} is of type {stored.dtype} {stored.shape}. Copy it again."
            )
        limit = path.stat().st_size if name == "images" else _MAX_SHARED_BYTES + n * _MAX_FACT_BYTES
        if stored.num_bytes > limit:
            raise DataError(f"{path} is damaged: {name} would have {stored.num_bytes} bytes. Copy it again.")


def _read_array(path: Path, archive: zipfile.ZipFile, name: str, stored: StoredArray) -> NDArray[Any]:
    try:
        info = archive.getinfo(f"{name}.bin")
    except KeyError as error:
        raise DataError(f"{path} lacks {name}.bin. Copy it again, or pack the set again.") from error
    if info.file_size != stored.num_bytes:
        raise DataError(
            f"{path}: {name}.bin has {info.file_size} bytes, {stored.num_bytes} were expected. Pack the set again."
        )
    data = archive.read(info)
    if hashlib.sha256(data).hexdigest() != stored.sha256:
        raise DataError(f"{path}: {name}.bin is not what was packed (its SHA-256 differs). Copy it again.")
    return np.frombuffer(data, dtype=stored.dtype).reshape(stored.shape)


_DTYPES: Final = frozenset({"|u1", "<u2", "<u4", "<i4", "<f2", "<f4"})


def _shapes(
    header: PackHeader, num_numbers: int, num_image_bytes: int
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of every array of a part."""
    card, n = header.card, header.num_photos
    flat = 3 * len(card.landmark_mirror)
    return {
        "rows": ("<i4", (n,)),
        **{f"{label}_code": ("<i4", (n,)) for label in LABELS},
        "identity": ("<f2", (n, card.identity_size)),
        "coefficients": ("<u2", (n, card.coefficient_size)),
        "coefficients_mirrored": ("<u2", (n, card.coefficient_size)),
        "coefficients_range": ("<f4", (2, card.coefficient_size)),
        "coefficients_mirrored_range": ("<f4", (2, card.coefficient_size)),
        "landmark_numbers": ("<u2", (n, num_numbers)),
        "landmark_numbers_range": ("<f4", (2, num_numbers)),
        "landmark_basis": ("<f2", (num_numbers, flat)),
        "landmark_mean": ("<f4", (flat,)),
        "matrix": ("<f4", (n, 2, 3)),
        "photo_size": ("<f4", (n, 2)),
        "native_px": ("<f4", (n,)),
        "image_px": ("<i4", (n,)),
        "image_bytes": ("<u4", (n,)),
        "images": ("|u1", (num_image_bytes,)),
    }


def _check_part(path: Path, header: PackHeader, arrays: dict[str, NDArray[Any]]) -> None:
    """Everything that later code relies on; what fails is a sentence."""

    def require(holds: object, what: str) -> None:
        if not holds:
            raise DataError(f"{path} is damaged: {what}. Copy it again, or pack the set again.")

    card = header.card
    require(0 <= header.part < header.num_parts, f"it is part {header.part} of {header.num_parts}")
    require(sorted(header.labels) == sorted(LABELS), f"its labels are {sorted(header.labels)}")
    numbers, images = arrays.get("landmark_numbers"), arrays.get("images")
    num_numbers = numbers.shape[1] if numbers is not None and numbers.ndim == 2 else 0
    for name, (dtype, shape) in _shapes(header, num_numbers, 0 if images is None else images.size).items():
        require(name in arrays, f"it lacks {name}")
        found = arrays[name]
        require(
            found.dtype == np.dtype(dtype) and found.shape == shape,
            f"{name} is {found.dtype} {found.shape}, {np.dtype(dtype)} {shape} was expected",
        )
    for name, array in arrays.items():
        require(
            array.dtype.kind != "f" or np.isfinite(array).all(), f"{name} holds numbers that are not finite"
        )
    require(
        int(arrays["image_bytes"].sum(dtype=np.int64)) == arrays["images"].size, "its images are cut short"
    )
    sides = arrays["image_px"]
    require(sides.min() >= 8 and sides.max() <= card.resolution, "images are larger than the crops")
    for label in LABELS:
        codes = arrays[f"{label}_code"]
        require(
            codes.min() >= -1 and codes.max() < len(header.labels[label]), f"a photo has an unknown {label}"
        )
    points = len(card.landmark_mirror)
    require(sorted(card.landmark_mirror) == list(range(points)), "its landmark mirror is no permutation")
    outline = header.outline
    if outline is not None:
        used = [*outline.oval, *outline.image_left_eye, *outline.image_right_eye, outline.chin]
        require(outline.oval and outline.image_left_eye and outline.image_right_eye, "its outline is empty")
        require(min(used) >= 0 and max(used) < points, "its outline names landmarks that are not there")


def _check_together(parts: Sequence[_Part]) -> None:
    first = parts[0]
    seen: dict[tuple[str, int], Path] = {}
    for part in parts:
        name = (part.header.set_sha256, part.header.part)
        if name in seen:
            raise DataError(f"{part.path} and {seen[name]} hold the same photos. Give each part once.")
        seen[name] = part.path
        one, two = _crops_of(first.header.card), _crops_of(part.header.card)
        differing = [field_name for field_name in one if one[field_name] != two[field_name]]
        if differing:
            raise DataError(
                f"{first.path} and {part.path} cannot be used together: they differ in {', '.join(differing)}. "
                f"Prepare both with the same options and the same version."
            )
        counts = part.header.num_parts, first.header.num_parts
        if part.header.set_sha256 == first.header.set_sha256 and counts[0] != counts[1]:
            raise DataError(
                f"{first.path} is one of {counts[1]} parts and {part.path} one of {counts[0]}, of the same set. "
                f"Use the parts of one packing."
            )


def _crops_of(card: SetCard) -> dict[str, Any]:
    """What must be equal for crops of two sets to be used together."""
    names = ("family", "template", "resolution", "coefficients", "identity_embedder", "identity_size")
    return {name: getattr(card, name) for name in (*names, "landmark_mirror", "parts")}


def _join(parts: tuple[_Part, ...]) -> PackedSet:
    sets = list(dict.fromkeys(part.header.set_sha256 for part in parts))
    order_of_set = np.concatenate(
        [np.full(part.header.num_photos, sets.index(part.header.set_sha256)) for part in parts]
    )
    rows = _all(parts, "rows")
    order = np.lexsort((rows, order_of_set))
    if len(np.unique(np.stack([order_of_set, rows]), axis=1).T) != len(rows):
        raise DataError(f"{parts[0].path} is damaged: a photo is there twice. Pack the set again.")
    places = np.concatenate(
        [
            np.stack([np.full(part.header.num_photos, number), np.arange(part.header.num_photos)], axis=1)
            for number, part in enumerate(parts)
        ]
    ).astype(np.int64)[order]
    labels = {label: _label(parts, label, sets)[order] for label in LABELS}
    codes = codes_of(labels["identity"])
    card = parts[0].header.card.model_copy(
        update={"num_photos": len(rows), "num_identities": int(codes.max(initial=-1)) + 1}
    )
    return PackedSet(
        card=card,
        keys=np.concatenate([np.array(part.header.keys, dtype=object) for part in parts])[order],
        labels=labels,
        identity_codes=codes,
        identity=_all(parts, "identity")[order],
        coefficients=_decoded(parts, "coefficients")[order],
        coefficients_mirrored=_decoded(parts, "coefficients_mirrored")[order],
        matrix=_all(parts, "matrix")[order],
        photo_size=_all(parts, "photo_size")[order],
        native_px=_all(parts, "native_px")[order],
        image_px=_all(parts, "image_px")[order].astype(np.int32),
        figures=dict(parts[0].header.figures),
        _parts=parts,
        _places=places,
    )


def codes_of(names: NDArray[Any]) -> NDArray[np.int32]:
    """(N,) number of each name in alphabetical order, -1 for None."""
    known = np.array([name is not None for name in names], dtype=bool)
    codes = np.full(len(names), -1, dtype=np.int32)
    if known.any():
        codes[known] = np.unique(names[known].astype(str), return_inverse=True)[1]
    return codes


def _all(parts: Sequence[_Part], name: str) -> NDArray[Any]:
    return np.concatenate([part.arrays[name] for part in parts])


def _decoded(parts: Sequence[_Part], name: str) -> FloatArray:
    return np.concatenate([from_codes(part.arrays[name], part.arrays[f"{name}_range"]) for part in parts])


def _label(parts: Sequence[_Part], label: str, sets: Sequence[str]) -> NDArray[Any]:
    """(N,) names; people of several sets are kept apart by the set's number."""
    found: list[NDArray[Any]] = []
    for part in parts:
        number = sets.index(part.header.set_sha256)
        before = f"{number}:" if label == "identity" and len(sets) > 1 else ""
        names = np.array([*(before + name for name in part.header.labels[label]), None], dtype=object)
        found.append(names[part.arrays[f"{label}_code"]])
    return np.concatenate(found)
