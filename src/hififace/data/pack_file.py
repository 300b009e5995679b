"""One part of a packed set, as a file: a plain zip archive that is checked whole when it is opened.

`pack.json` (`PackHeader`) names the type, shape and SHA-256 of every other member: one raw little-endian array per
fact, and `images.bin`. `data/packed.py` makes a set of one or several.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from hififace.data.face_region import MaskOutline
from hififace.data.index import SetCard
from hififace.errors import DataError
from hififace.types import FloatArray

PACK_SUFFIX: Final = ".hfpack"
PACK_LAYOUT: Final = 1
HEADER_NAME: Final = "pack.json"

LABELS: Final = ("identity", "source", "gender", "group")
"""What may be known of a photo: its person, the input that it came from, and what that input says of the person."""

CODE_STEPS: Final = 65535
"""Facts with a range are stored in so many steps: an error of 0.002 px in a translation of 256 px, where float16
has 0.06."""

_MAX_HEADER_BYTES: Final = 64 << 20
_MAX_SHARED_BYTES: Final = 64 << 20
_MAX_FACT_BYTES: Final = 1 << 16
"""What one array may decompress to, and per photo."""

_MAX_HEAD_BYTES: Final = 4096
"""What one AVIF header may decompress to; they are about 275 bytes."""


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
    """What packing cost, measured over the whole set: see `preparation.pack_parts.PackReport`."""
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


def compress_head(data: bytes, typical: bytes) -> bytes:
    """An AVIF file with its header stored as a difference from a typical one: 20 bytes instead of 275."""
    end = data.find(b"mdat", 0, _MAX_HEAD_BYTES) + 4
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=typical)
    head = squeeze.compress(data[:end]) + squeeze.flush() if end >= 4 else b""
    if not 0 < len(head) < 256:
        return b"\0" + data
    return bytes([len(head)]) + head + data[end:]


def decompress_head(data: bytes, typical: bytes) -> bytes:
    """The file that `compress_head` was given.

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


class Part(NamedTuple):
    """One opened file."""

    path: Path
    header: PackHeader
    arrays: dict[str, NDArray[Any]]
    images: bytes
    head: bytes
    ends: NDArray[np.int64]
    """(n,) where each image ends in `images`."""


def open_part(path: Path) -> Part:
    """Read one part and check all of it.

    Raises:
        DataError: missing, damaged, or of another layout.
    """
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
    return Part(path, header, arrays, images, bytes.fromhex(header.image_head), ends)


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
            f"{path} is of layout {header.layout}; this version of hififace reads layout {PACK_LAYOUT}. "
            "Pack the set again."
        )
    return header


def _check_sizes(path: Path, header: PackHeader, archive: zipfile.ZipFile) -> None:
    """Bounds what reading will unpack by what the file itself holds, so that a hostile one cannot fill the memory."""
    n = header.num_photos
    if n < 1 or len(header.keys) != n:
        raise DataError(
            f"{path} is damaged: it counts {n} photos and names {len(header.keys)}. Copy it again."
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
