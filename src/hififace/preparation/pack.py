"""Pack a prepared set into small files that `data/packed.py` reads on any machine.

Images become AVIF, at a smaller side where the photo has no more pixels; identity vectors float16; coefficients and
landmarks 16-bit steps; landmarks some eighty principal numbers. Masks are left out: they follow from the landmarks.
Images wait in a temporary file beside the output until all are known, since what a part holds depends on all sizes.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from hififace.data.index import CARD_NAME, PreparedSet
from hififace.data.packed import (
    HEADER_NAME,
    LABELS,
    PACK_SUFFIX,
    MaskOutline,
    PackHeader,
    StoredArray,
    fold_head,
    from_codes,
    to_codes,
)
from hififace.data.shards import unpack_arrays
from hififace.errors import DataError, OptionError, RuntimeUnavailableError
from hififace.faces.landmarks import NUM_POINTS, point_groups
from hififace.faces.masks import CHIN, FOREHEAD_RISE
from hififace.media.atomic import atomic_path
from hififace.preparation.detail import native_px, psnr_db, reduced_and_enlarged
from hififace.preparation.spread import in_this_process, over_processes
from hififace.types import FloatArray

BLOCK_ROWS: Final = 256
AVIF_SPEED: Final = 8
"""At 4 a file is 4 % smaller and takes fifteen times as long."""

STORED_SHARES: Final = (3 / 8, 1 / 2, 3 / 4)
"""Sides at which an image may be stored, in shares of the crop's side."""

CHECK_EVERY: Final = 8
"""One photo in so many is decoded again to measure what packing costs."""

BASIS_PHOTOS: Final = 20_000
"""Photos that the landmarks' principal directions are fitted to, spread over the set."""


@dataclass(frozen=True)
class PackOptions:
    """What decides the content of a pack."""

    quality: int = 88
    """Of the AVIF images, 1 to 100. With `same_db` about 42 dB of the enlarged image to the crop; a higher `same_db`
    and a lower quality reach the same decibels with more bytes."""
    same_db: float = 44.0
    """An image is stored at the smallest side that, enlarged again, is at least so near to the crop."""
    landmark_numbers: int = 80
    """Principal numbers per photo, at most."""
    part_mb: float | None = None
    """Largest size of a part in megabytes (10^6 bytes); None writes one file."""

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100 or self.landmark_numbers < 1 or self.same_db <= 0:
            raise OptionError(
                f"quality is {self.quality}, landmark_numbers {self.landmark_numbers}, same_db {self.same_db}; "
                f"1 to 100, at least 1 and above 0 were expected."
            )
        if self.part_mb is not None and self.part_mb <= 0:
            raise OptionError(f"part_mb is {self.part_mb}; a size above 0 was expected.")


class PackReport(NamedTuple):
    """What was written, and what it cost."""

    paths: tuple[Path, ...]
    num_bytes: tuple[int, ...]
    num_photos: int
    figures: dict[str, float]
    """`image_db_median` and `image_db_p05` (decoded and enlarged image against the crop), `image_bytes` and
    `fact_bytes` per photo, `landmark_rms_px` and `landmark_max_px`, `coefficient_max_error`,
    `identity_min_cosine`."""


class PackedPhoto(NamedTuple):
    """One photo, ready to be stored."""

    image: bytes
    side: int
    db: float
    """Of the decoded and enlarged image to the crop; NaN where it was not measured."""
    native_px: float
    arrays: dict[str, NDArray[Any]]


def pack_set(
    folder: Path | str,
    output: Path | str,
    options: PackOptions | None = None,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> PackReport:
    """Pack a prepared set.

    Args:
        folder: the prepared set.
        output: the file; with several parts, `NAME-000.hfpack`, `NAME-001.hfpack` ... beside it.
        options: what decides the content.
        workers: processes; decides nothing about the content.
        progress: called with the photos done and all photos.

    Raises:
        DataError: the set is missing or damaged, of a family whose masks do not follow from landmarks, the output is
            there already, or a part would be larger than asked for.
        OptionError: an option out of range.
        RuntimeUnavailableError: this Pillow writes no AVIF.
    """
    options, output = options or PackOptions(), Path(output).absolute()
    if not features.check("avif"):
        raise RuntimeUnavailableError("This Pillow writes no AVIF. Run `pip install 'pillow>=11.3'`.")
    prepared = PreparedSet.open(folder)
    if prepared.card.family != "mesh":
        raise DataError(
            f"{folder} was described by the family {prepared.card.family!r}, whose masks are no function of its "
            f"landmarks: a packed set would lose them. Train from the prepared set."
        )
    _refuse_existing(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    names = _labels(prepared)
    with tempfile.TemporaryFile(dir=output.parent) as spool:
        facts = _gather(prepared, options, workers, spool, progress)
        numbers, figures = _compact(facts, options)
        codes, words = _label_codes(names, len(prepared))
        store = _Store(
            prepared, options, numbers | codes, words, figures, _typical_head(facts, spool), spool, facts
        )
        return _write_parts(store, output, names["identity"], names["source"])


# ---- First pass: images.


class _Facts(NamedTuple):
    """All photos, in the order of the set."""

    arrays: dict[str, NDArray[Any]]
    image_px: NDArray[np.int32]
    native_px: FloatArray
    db: FloatArray
    offsets: NDArray[np.int64]
    """(N,) of the images in the spool."""
    sizes: NDArray[np.int64]


_opened: dict[Path, PreparedSet] = {}


def pack_rows(rows: range, folder: Path, options: PackOptions) -> tuple[range, list[PackedPhoto]]:
    """The photos of some rows; runs in a worker.

    Raises:
        DataError: a photo is missing or damaged.
    """
    if folder not in _opened:
        cv2.setNumThreads(1)
        _opened[folder] = PreparedSet.open(folder)
    return rows, [pack_photo(_opened[folder], row, options) for row in rows]


def pack_photo(prepared: PreparedSet, row: int, options: PackOptions) -> PackedPhoto:
    """One photo: its image as AVIF at the side it deserves, and what is known about it.

    Raises:
        DataError: its files are missing or damaged.
    """
    size = prepared.card.resolution
    try:
        crop = Image.open(io.BytesIO(prepared.member(row, "jpg")), formats=("JPEG",)).convert("RGB")
        mask = np.asarray(
            Image.open(io.BytesIO(prepared.member(row, "mask.png")), formats=("PNG",)).convert("L"), np.uint8
        )
        if crop.size != (size, size) or mask.shape != (size, size):
            raise ValueError(f"{crop.width} x {crop.height} pixels")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"Photo {prepared.columns['key'][row]} of {prepared.folder} cannot be decoded ({error}); the shard is "
            f"damaged. Copy or prepare the set again."
        ) from error
    pixels = np.array(crop, dtype=np.uint8)
    known = float(prepared.native_px[row])
    native = known if np.isfinite(known) else native_px(pixels, mask)
    side = stored_side(crop, native, options.same_db)
    stored = crop if side == size else crop.resize((side, side), Image.Resampling.LANCZOS)
    image = encode_avif(stored, options.quality)
    db = float("nan")
    if row % CHECK_EVERY == 0:
        decoded = Image.open(io.BytesIO(image), formats=("AVIF",)).convert("RGB")
        again = decoded if side == size else decoded.resize((size, size), Image.Resampling.LANCZOS)
        db = psnr_db(pixels, np.asarray(again, np.uint8))
    return PackedPhoto(image, side, db, native, unpack_arrays(prepared.member(row, "npz")))


def stored_side(crop: Image.Image, native: float, same_db: float) -> int:
    """The smallest side above a crop's real resolution that holds all of it, to `same_db`."""
    pixels = np.asarray(crop, np.uint8)
    for share in STORED_SHARES:
        side = max(8, round(share * crop.width / 8) * 8)
        if not native < side < crop.width:
            continue
        if psnr_db(pixels, np.asarray(reduced_and_enlarged(crop, side), np.uint8)) >= same_db:
            return side
    return crop.width


def encode_avif(image: Image.Image, quality: int) -> bytes:
    """AVIF with colour at full resolution: at equal decibels no larger than 4:2:0, and irises keep their colour."""
    data = io.BytesIO()
    image.save(data, "AVIF", quality=quality, speed=AVIF_SPEED, subsampling="4:4:4", max_threads=1)
    return data.getvalue()


def _gather(
    prepared: PreparedSet,
    options: PackOptions,
    workers: int,
    spool: IO[bytes],
    progress: Callable[[int, int], None] | None,
) -> _Facts:
    total = len(prepared)
    blocks = (range(start, min(start + BLOCK_ROWS, total)) for start in range(0, total, BLOCK_ROWS))
    spread: Any = over_processes if workers > 1 else in_this_process
    work = partial(pack_rows, folder=prepared.folder, options=options)
    arrays: dict[str, NDArray[Any]] = {}
    facts = _Facts(
        arrays,
        np.zeros(total, np.int32),
        np.zeros(total, np.float32),
        np.zeros(total, np.float32),
        np.zeros(total, np.int64),
        np.zeros(total, np.int64),
    )
    done = 0
    try:
        for rows, photos in spread(work, blocks, workers):
            for row, photo in zip(rows, photos, strict=True):
                facts.image_px[row], facts.native_px[row], facts.db[row] = (
                    photo.side,
                    photo.native_px,
                    photo.db,
                )
                facts.offsets[row], facts.sizes[row] = spool.tell(), len(photo.image)
                spool.write(photo.image)
                for name in _STORED:
                    value = photo.arrays[name]
                    arrays.setdefault(name, np.zeros((total, *value.shape), np.float32))[row] = value
            done += len(photos)
            if progress is not None:
                progress(done, total)
    except (KeyError, ValueError) as error:
        raise DataError(
            f"The facts of {prepared.folder} do not fit together ({error}). Prepare it again."
        ) from error
    finally:
        _opened.clear()
    return facts


_STORED: Final = ("identity", "coefficients", "coefficients_mirrored", "landmarks", "matrix", "photo_size")


# ---- Compact facts.


def _compact(facts: _Facts, options: PackOptions) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """Arrays as they are stored, all photos at once, and what that costs."""
    known = facts.arrays
    out: dict[str, NDArray[Any]] = {
        "identity": known["identity"].astype(np.float16),
        "matrix": known["matrix"],
        "photo_size": known["photo_size"],
        "native_px": facts.native_px,
        "image_px": facts.image_px,
    }
    error = 0.0
    for name in ("coefficients", "coefficients_mirrored"):
        out[name], out[f"{name}_range"] = to_codes(known[name])
        error = max(
            error, float(np.abs(from_codes(out[name], out[f"{name}_range"]) - known[name]).max(initial=0))
        )
    landmarks = fit_landmarks(known["landmarks"], options.landmark_numbers)
    out |= landmarks
    rms, largest = landmark_error(known["landmarks"], landmarks)
    vectors = out["identity"].astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(known["identity"], axis=1)
    cosines = np.einsum("nd,nd->n", vectors, known["identity"]) / np.maximum(lengths, 1e-9)
    figures = {
        "image_db_median": float(np.nanmedian(facts.db)),
        "image_db_p05": float(np.nanpercentile(facts.db, 5)),
        "landmark_rms_px": rms,
        "landmark_max_px": largest,
        "coefficient_max_error": error,
        "identity_min_cosine": float(cosines.min(initial=1.0)),
    }
    return out, figures


def fit_landmarks(landmarks: FloatArray, num_numbers: int) -> dict[str, NDArray[Any]]:
    """Landmarks as a mean, principal directions, and each photo's numbers along them.

    Args:
        landmarks: (N, P, 3) in crop pixels.
        num_numbers: directions, at most.

    Returns:
        `landmark_mean` (3P,), `landmark_basis` (K, 3P) float16, `landmark_numbers` (N, K) codes and their range.
    """
    flat = landmarks.reshape(len(landmarks), -1)
    mean = flat.mean(axis=0, dtype=np.float64)
    some = (
        flat[np.unique(np.linspace(0, len(flat) - 1, min(len(flat), BASIS_PHOTOS)).astype(np.int64))] - mean
    )
    values, vectors = np.linalg.eigh(some.T @ some)
    count = int(min(num_numbers, max(1, int((values > values[-1] * 1e-12).sum()))))
    basis = vectors[:, ::-1][:, :count].T.astype(np.float16)
    # Fitted to the rounded directions, so that their rounding costs nothing.
    solve = np.linalg.pinv(basis.astype(np.float64))
    codes, spans = to_codes(((flat - mean) @ solve).astype(np.float32))
    return {
        "landmark_mean": mean.astype(np.float32),
        "landmark_basis": basis,
        "landmark_numbers": codes,
        "landmark_numbers_range": spans,
    }


def landmark_error(landmarks: FloatArray, fitted: dict[str, NDArray[Any]]) -> tuple[float, float]:
    """Root mean square over all coordinates, and the largest distance in the plane, in pixels."""
    squares, largest = 0.0, 0.0
    for start in range(0, len(landmarks), 1024):
        stop = start + 1024
        numbers = from_codes(fitted["landmark_numbers"][start:stop], fitted["landmark_numbers_range"])
        flat = numbers @ fitted["landmark_basis"].astype(np.float32) + fitted["landmark_mean"]
        away = flat.reshape(-1, *landmarks.shape[1:]) - landmarks[start:stop]
        squares += float(np.square(away, dtype=np.float64).sum())
        largest = max(largest, float(np.linalg.norm(away[..., :2], axis=-1).max()))
    return float(np.sqrt(squares / landmarks.size)), largest


def _labels(prepared: PreparedSet) -> dict[str, NDArray[Any]]:
    source = np.array([str(name).split("/")[0] for name in prepared.columns["source"]], dtype=object)
    return {
        "identity": prepared.columns["identity"],
        "source": source,
        "gender": prepared.columns["gender"],
        "group": prepared.columns["group"],
    }


def _label_codes(
    names: dict[str, NDArray[Any]], total: int
) -> tuple[dict[str, NDArray[Any]], dict[str, tuple[str, ...]]]:
    codes: dict[str, NDArray[Any]] = {}
    words: dict[str, tuple[str, ...]] = {}
    for label in LABELS:
        column = names[label]
        if len(column) != total:
            raise ValueError(f"{len(column)} names of {label} were given for {total} photos")
        words[label] = tuple(sorted({str(name) for name in column if name is not None}))
        number = {name: place for place, name in enumerate(words[label])}
        codes[f"{label}_code"] = np.array(
            [-1 if name is None else number[str(name)] for name in column], dtype=np.int32
        )
    return codes, words


# ---- Parts.


class _Store(NamedTuple):
    """Everything a part is cut from."""

    prepared: PreparedSet
    options: PackOptions
    arrays: dict[str, NDArray[Any]]
    """(N, ...) per photo, or shared by all."""
    words: dict[str, tuple[str, ...]]
    figures: dict[str, float]
    head: bytes
    spool: IO[bytes]
    facts: _Facts


_SHARED: Final = frozenset(
    {
        "coefficients_range",
        "coefficients_mirrored_range",
        "landmark_numbers_range",
        "landmark_basis",
        "landmark_mean",
    }
)


def _typical_head(facts: _Facts, spool: IO[bytes]) -> bytes:
    """The header of the first image at the commonest side."""
    sides, counts = np.unique(facts.image_px, return_counts=True)
    row = int(np.flatnonzero(facts.image_px == sides[counts.argmax()])[0])
    spool.seek(int(facts.offsets[row]))
    data = spool.read(int(facts.sizes[row]))
    return data[: data.find(b"mdat") + 4]


def _write_parts(store: _Store, output: Path, people: NDArray[Any], sources: NDArray[Any]) -> PackReport:
    """Write as few parts as hold everything."""
    limit = store.options.part_mb
    limit_bytes = None if limit is None else int(limit * 1e6)
    units = list(_units(people, sources))
    num_parts = 1
    if limit_bytes is not None:
        # What a photo takes beside its image, as a first guess; the loop below corrects it.
        num_parts = max(1, -(-int(store.facts.sizes.sum() + 500 * len(store.facts.sizes)) // limit_bytes))
    while True:
        if num_parts > len(units):
            raise DataError(
                f"{limit} MB do not even hold one person with the landmark basis. Give a larger --part-mb."
            )
        shares = spread_units(units, store.facts.sizes, num_parts)
        sizes, paths = [], _paths(output, num_parts)
        for number, (rows, path) in enumerate(zip(shares, paths, strict=True)):
            size = _write_part(store, path, rows, number, num_parts, limit_bytes)
            if size is None:
                break
            sizes.append(size)
        if len(sizes) == num_parts:
            break
        for path in paths:
            path.unlink(missing_ok=True)
        num_parts += 1
    total, images = len(store.facts.sizes), int(store.facts.sizes.sum())
    figures = store.figures | {
        "image_bytes": images / total,
        "fact_bytes": (sum(sizes) - images) / total,
    }
    return PackReport(tuple(paths), tuple(sizes), total, figures)


def _units(people: NDArray[Any], sources: NDArray[Any]) -> Iterator[tuple[str, list[int]]]:
    """Input, and rows that must stay together: a person's photos, or one photo without a person."""
    of_person: dict[str, list[int]] = {}
    for row, (person, source) in enumerate(zip(people, sources, strict=True)):
        if person is None:
            yield str(source), [row]
        else:
            of_person.setdefault(str(person), []).append(row)
    for rows in of_person.values():
        yield str(sources[rows[0]]), rows


def spread_units(
    units: Sequence[tuple[str, list[int]]], sizes: NDArray[np.int64], num_parts: int
) -> list[NDArray[np.int64]]:
    """Rows of each part: every input is spread evenly, so that each part resembles the whole.

    Args:
        units: see `_units`.
        sizes: (N,) bytes of each photo.
        num_parts: how many.
    """
    filled = np.zeros(num_parts, np.int64)
    of_source: dict[str, NDArray[np.int64]] = {}
    shares: list[list[int]] = [[] for _ in range(num_parts)]
    for source, rows in units:
        here = of_source.setdefault(source, np.zeros(num_parts, np.int64))
        # The emptiest of this input; among equals the emptiest of all.
        number = min(range(num_parts), key=lambda part: (here[part], filled[part], part))
        shares[number] += rows
        size = int(sizes[rows].sum())
        here[number] += size
        filled[number] += size
    return [np.array(sorted(rows), dtype=np.int64) for rows in shares]


def _paths(output: Path, num_parts: int) -> list[Path]:
    if num_parts == 1:
        return [output]
    stem = output.name.removesuffix(PACK_SUFFIX)
    return [output.with_name(f"{stem}-{number:03d}{PACK_SUFFIX}") for number in range(num_parts)]


def _refuse_existing(output: Path) -> None:
    stem = output.name.removesuffix(PACK_SUFFIX)
    there = (
        [output] if output.exists() else sorted(output.parent.glob(f"{stem}-[0-9][0-9][0-9]{PACK_SUFFIX}"))
    )
    if there:
        raise DataError(f"{there[0]} exists already. Delete it, or choose another name.")


def _write_part(
    store: _Store, path: Path, rows: NDArray[np.int64], number: int, num_parts: int, limit: int | None
) -> int | None:
    """Write one part; None if it would be larger than `limit`, and nothing is left."""
    folded = []
    for row in rows.tolist():
        store.spool.seek(int(store.facts.offsets[row]))
        folded.append(fold_head(store.spool.read(int(store.facts.sizes[row])), store.head))
    arrays: dict[str, NDArray[Any]] = {"rows": rows.astype(np.int32)}
    for name, array in store.arrays.items():
        arrays[name] = array if name in _SHARED else array[rows]
    words = dict(store.words)
    for label in LABELS:  # only the names that this part needs
        codes = arrays[f"{label}_code"]
        used = np.unique(codes[codes >= 0])
        arrays[f"{label}_code"] = np.where(codes < 0, -1, np.searchsorted(used, codes)).astype(np.int32)
        words[label] = tuple(store.words[label][code] for code in used.tolist())
    arrays["image_bytes"] = np.array([len(image) for image in folded], np.uint32)
    arrays["images"] = np.frombuffer(b"".join(folded), np.uint8)
    members = {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in arrays.items()
    }
    header = PackHeader(
        card=store.prepared.card,
        set_sha256=_set_hash(store.prepared),
        part=number,
        num_parts=num_parts,
        num_photos=len(rows),
        keys=tuple(str(key) for key in store.prepared.columns["key"][rows]),
        labels=words,
        outline=_outline(len(store.prepared.card.landmark_mirror)),
        image_head=store.head.hex(),
        settings={name: value for name, value in asdict(store.options).items() if name != "part_mb"},
        figures=store.figures,
        arrays={
            name: StoredArray(
                dtype=array.dtype.str, shape=array.shape, sha256=hashlib.sha256(array.tobytes()).hexdigest()
            )
            for name, array in members.items()
        },
    )
    data = _archive(header, members)
    if limit is not None and len(data) > limit:
        return None
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return len(data)


def _archive(header: PackHeader, members: dict[str, NDArray[Any]]) -> bytes:
    """A zip archive; equal contents give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in [
            (HEADER_NAME, header.model_dump_json().encode()),
            *((f"{name}.bin", array.tobytes()) for name, array in members.items()),
        ]:
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            # AVIF does not shrink any more.
            info.compress_type = zipfile.ZIP_STORED if name == "images.bin" else zipfile.ZIP_DEFLATED
            archive.writestr(info, content, compresslevel=6)
    return buffer.getvalue()


def _outline(num_points: int) -> MaskOutline | None:
    if num_points != NUM_POINTS:
        return None
    groups = point_groups()
    return MaskOutline(
        oval=groups["face_oval"],
        image_left_eye=groups["image_left_eye"],
        image_right_eye=groups["image_right_eye"],
        chin=CHIN,
        forehead_rise=FOREHEAD_RISE,
    )


def _set_hash(prepared: PreparedSet) -> str:
    """Names a prepared set: its card and every photo's key and hash."""
    card = (prepared.folder / CARD_NAME).read_bytes()
    rows = [list(map(str, prepared.columns[name])) for name in ("key", "sha256")]
    return hashlib.sha256(card + json.dumps(rows).encode()).hexdigest()
