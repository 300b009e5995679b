"""Divides the photos of a packed set into parts, and writes the files."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hififace.data.face_region import MaskOutline
from hififace.data.index import CARD_NAME, PreparedSet
from hififace.data.pack_file import HEADER_NAME, LABELS, PACK_SUFFIX, PackHeader, StoredArray, compress_head
from hififace.errors import DataError
from hififace.faces.landmarks import NUM_POINTS, point_groups
from hififace.faces.masks import CHIN, FOREHEAD_RISE
from hififace.media.atomic import atomic_path
from hififace.preparation.pack_facts import SHARED


class PackReport(NamedTuple):
    """The files written, and the errors of compression."""

    paths: tuple[Path, ...]
    num_bytes: tuple[int, ...]
    num_photos: int
    figures: dict[str, float]
    """`image_db_median` and `image_db_p05` (decoded and enlarged image against the crop), `image_bytes` and
    `fact_bytes` per photo, `landmark_rms_px` and `landmark_max_px`, `coefficient_max_error`,
    `identity_min_cosine`."""


class SpooledImages(NamedTuple):
    """AVIF images in a temporary file, by row."""

    file: IO[bytes]
    offsets: NDArray[np.int64]
    """(N,)"""
    sizes: NDArray[np.int64]
    """(N,)"""

    def read(self, row: int) -> bytes:
        """The AVIF image of one row."""
        self.file.seek(int(self.offsets[row]))
        return self.file.read(int(self.sizes[row]))


class Contents(NamedTuple):
    """The content to divide into parts."""

    prepared: PreparedSet
    settings: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    """(N, ...) per photo, or of the whole set (`SHARED`)."""
    words: dict[str, tuple[str, ...]]
    """Label -> names, indexed by its codes."""
    figures: dict[str, float]
    images: SpooledImages
    image_head: bytes
    """The header of a typical image."""


def write_parts(
    store: Contents, output: Path, limit: float | None, people: NDArray[Any], sources: NDArray[Any]
) -> PackReport:
    """Write the smallest possible number of parts.

    Args:
        store: the content.
        output: the file, if one is enough.
        limit: maximum size of a part in megabytes.
        people: (N,) names or None.
        sources: (N,) inputs.

    Raises:
        DataError: the photos of one person do not fit into a part.
    """
    limit_bytes = None if limit is None else int(limit * 1e6)
    units = list(_units(people, sources))
    num_parts = 1
    if limit_bytes is not None:
        # First estimate of a photo's bytes beside its image; the loop below corrects it.
        num_parts = max(1, -(-int(store.images.sizes.sum() + 500 * len(store.images.sizes)) // limit_bytes))
    while True:
        if num_parts > len(units):
            raise DataError(
                f"{limit} MB do not even hold one person with the landmark basis. Give a larger --part-mb."
            )
        shares = spread_units(units, store.images.sizes, num_parts)
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
    total, images = len(store.images.sizes), int(store.images.sizes.sum())
    figures = store.figures | {
        "image_bytes": images / total,
        "fact_bytes": (sum(sizes) - images) / total,
    }
    return PackReport(tuple(paths), tuple(sizes), total, figures)


def _units(people: NDArray[Any], sources: NDArray[Any]) -> Iterator[tuple[str, list[int]]]:
    """Input, and rows that must be in the same part: a person's photos, or one photo without a person."""
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
    """Rows of each part; photos of every input are spread evenly, so that each part is representative of the set.

    Args:
        units: see `_units`.
        sizes: (N,) bytes of each photo.
        num_parts: number of parts.
    """
    filled = np.zeros(num_parts, np.int64)
    of_source: dict[str, NDArray[np.int64]] = {}
    shares: list[list[int]] = [[] for _ in range(num_parts)]
    for source, rows in units:
        here = of_source.setdefault(source, np.zeros(num_parts, np.int64))
        # The part with the fewest bytes of this input; among equals, the one with the fewest bytes in all.
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


def refuse_existing(output: Path) -> None:
    """Raises a DataError if the output file, or a part with its name, exists already."""
    stem = output.name.removesuffix(PACK_SUFFIX)
    there = (
        [output] if output.exists() else sorted(output.parent.glob(f"{stem}-[0-9][0-9][0-9]{PACK_SUFFIX}"))
    )
    if there:
        raise DataError(f"{there[0]} exists already. Delete it, or choose another name.")


def _write_part(
    store: Contents, path: Path, rows: NDArray[np.int64], number: int, num_parts: int, limit: int | None
) -> int | None:
    """Write one part and return its size; None, without a file, if it would be larger than `limit`."""
    folded = []
    for row in rows.tolist():
        folded.append(compress_head(store.images.read(row), store.image_head))
    arrays: dict[str, NDArray[Any]] = {"rows": rows.astype(np.int32)}
    for name, array in store.arrays.items():
        arrays[name] = array if name in SHARED else array[rows]
    words = dict(store.words)
    for label in LABELS:  # only the names of this part's codes
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
        image_head=store.image_head.hex(),
        settings=store.settings,
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
    """A reproducible zip archive: equal contents give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in [
            (HEADER_NAME, header.model_dump_json().encode()),
            *((f"{name}.bin", array.tobytes()) for name, array in members.items()),
        ]:
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            # AVIF is not compressible any further.
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
    """A hash of a prepared set: of its card, and every photo's key and hash."""
    card = (prepared.folder / CARD_NAME).read_bytes()
    rows = [list(map(str, prepared.columns[name])) for name in ("key", "sha256")]
    return hashlib.sha256(card + json.dumps(rows).encode()).hexdigest()
