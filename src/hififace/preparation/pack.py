"""Pack a prepared set into small files that `data/packed.py` reads on any machine.

Images become AVIF, at a smaller side where the photo has no more pixels; identity vectors float16; coefficients and
landmarks 16-bit steps; landmarks some eighty principal numbers. Masks are left out: they follow from the landmarks.
Images wait in a temporary file beside the output until all are known, since what a part holds depends on all sizes.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any, Final, NamedTuple

import cv2
import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray
from PIL import Image, features

from hififace.data.index import PreparedSet
from hififace.data.shards import unpack_arrays
from hififace.errors import DataError, RuntimeUnavailableError
from hififace.option_fields import check
from hififace.preparation.detail import native_px, psnr_db, reduced_and_enlarged
from hififace.preparation.pack_facts import STORED, compact, label_codes, labels_of
from hififace.preparation.pack_parts import Contents, PackReport, SpooledImages, refuse_existing, write_parts
from hififace.spread import in_this_process, over_processes
from hififace.types import FloatArray

BLOCK_ROWS: Final = 256
AVIF_SPEED: Final = 8
"""At 4 a file is 4 % smaller and takes fifteen times as long."""

STORED_SHARES: Final = (3 / 8, 1 / 2, 3 / 4)
"""Sides at which an image may be stored, in shares of the crop's side."""

CHECK_EVERY: Final = 8
"""One photo in so many is decoded again to measure what packing costs."""


@dataclass(frozen=True)
class PackOptions:
    """Options that decide the content of a packed set."""

    quality: Annotated[int, Interval(ge=1, le=100)] = 88
    """Quality of the AVIF images, 1 to 100."""
    # With `same_db` about 42 dB of the enlarged image to the crop; a higher `same_db` and a lower quality reach as many
    # with more bytes.
    same_db: Annotated[float, Interval(gt=0)] = 44.0
    """An image is stored at the smallest side that, enlarged again, is at least so near to the crop."""
    landmark_numbers: Annotated[int, Interval(ge=1)] = 80
    """Principal numbers per photo, at most."""
    part_mb: Annotated[float, Interval(gt=0)] | None = None
    """Maximum size of a file, in 10^6 bytes; writes NAME-000.hfpack, NAME-001.hfpack, ..., each usable alone."""

    def __post_init__(self) -> None:
        check(self)


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
    refuse_existing(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=output.parent) as spool:
        found = _gather(prepared, options, workers, spool, progress)
        arrays, figures = compact(found.facts, options.landmark_numbers)
        figures |= {
            "image_db_median": float(np.nanmedian(found.db)),
            "image_db_p05": float(np.nanpercentile(found.db, 5)),
        }
        names = labels_of(prepared)
        codes, words = label_codes(names)
        settings = {name: value for name, value in asdict(options).items() if name != "part_mb"}
        arrays |= codes | {"native_px": found.native_px, "image_px": found.image_px}
        contents = Contents(prepared, settings, arrays, words, figures, found.images, _typical_head(found))
        return write_parts(contents, output, options.part_mb, names["identity"], names["source"])


class _Gathered(NamedTuple):
    """All photos, in the order of the set."""

    facts: dict[str, NDArray[Any]]
    image_px: NDArray[np.int32]
    native_px: FloatArray
    db: FloatArray
    images: SpooledImages


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
) -> _Gathered:
    total = len(prepared)
    blocks = (range(start, min(start + BLOCK_ROWS, total)) for start in range(0, total, BLOCK_ROWS))
    spread: Any = over_processes if workers > 1 else in_this_process
    work = partial(pack_rows, folder=prepared.folder, options=options)
    facts: dict[str, NDArray[Any]] = {}
    images = SpooledImages(spool, np.zeros(total, np.int64), np.zeros(total, np.int64))
    image_px, native, db = np.zeros(total, np.int32), np.zeros(total, np.float32), np.zeros(total, np.float32)
    done = 0
    try:
        for rows, photos in spread(work, blocks, workers):
            for row, photo in zip(rows, photos, strict=True):
                image_px[row], native[row], db[row] = photo.side, photo.native_px, photo.db
                images.offsets[row], images.sizes[row] = spool.tell(), len(photo.image)
                spool.write(photo.image)
                for name in STORED:
                    value = photo.arrays[name]
                    facts.setdefault(name, np.zeros((total, *value.shape), np.float32))[row] = value
            done += len(photos)
            if progress is not None:
                progress(done, total)
    except (KeyError, ValueError) as error:
        raise DataError(
            f"The facts of {prepared.folder} do not fit together ({error}). Prepare it again."
        ) from error
    finally:
        _opened.clear()
    return _Gathered(facts, image_px, native, db, images)


def _typical_head(found: _Gathered) -> bytes:
    """The header of the first image at the commonest side."""
    sides, counts = np.unique(found.image_px, return_counts=True)
    data = found.images.read(int(np.flatnonzero(found.image_px == sides[counts.argmax()])[0]))
    return data[: data.find(b"mdat") + 4]
