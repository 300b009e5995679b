"""Packs a prepared set into small files that `data/packed.py` reads on any machine.

Images are stored as AVIF, at a smaller side if their real resolution is lower; identity vectors as float16;
coefficients quantised to 16 bits; landmarks as about 80 principal components. Masks are left out, since they follow
from the landmarks. Images are collected in a temporary file beside the output, since the division into parts depends on
all sizes.
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
"""Speed setting of the encoder: at 4, files are 4 % smaller and take 15 times as long."""

STORED_SHARES: Final = (3 / 8, 1 / 2, 3 / 4)
"""Sides at which an image may be stored, as shares of the crop's side."""

CHECK_EVERY: Final = 8
"""Interval of photos that are decoded again to measure the loss of packing."""


@dataclass(frozen=True)
class PackOptions:
    """Options that decide the content of a packed set."""

    quality: Annotated[int, Interval(ge=1, le=100)] = 88
    """Quality of the AVIF images, 1 to 100."""
    # With `same_db`, about 42 dB between the enlarged image and the crop; a higher `same_db` with a lower quality needs
    # more bytes for the same PSNR.
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
    """PSNR of the decoded and enlarged image against the crop; NaN where it was not measured."""
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
        options: these determine the content.
        workers: number of processes; the content does not depend on it.
        progress: called with the photos done and all photos.

    Raises:
        DataError: the set is missing or damaged, of a family whose masks do not follow from landmarks, the output
            exists already, or a part would exceed the limit.
        OptionError: an option out of range.
        RuntimeUnavailableError: the installed Pillow cannot write AVIF.
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
    """Packed data of all photos, in the order of the set."""

    facts: dict[str, NDArray[Any]]
    image_px: NDArray[np.int32]
    native_px: FloatArray
    db: FloatArray
    images: SpooledImages


_opened: dict[Path, PreparedSet] = {}


def pack_rows(rows: range, folder: Path, options: PackOptions) -> tuple[range, list[PackedPhoto]]:
    """Pack the photos of some rows; runs in a worker.

    Raises:
        DataError: a photo is missing or damaged.
    """
    if folder not in _opened:
        cv2.setNumThreads(1)
        _opened[folder] = PreparedSet.open(folder)
    return rows, [pack_photo(_opened[folder], row, options) for row in rows]


def pack_photo(prepared: PreparedSet, row: int, options: PackOptions) -> PackedPhoto:
    """Pack one photo: its image as AVIF at the side of its real resolution, and its features.

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
    """The smallest side above a crop's real resolution at which the PSNR is at least `same_db`."""
    pixels = np.asarray(crop, np.uint8)
    for share in STORED_SHARES:
        side = max(8, round(share * crop.width / 8) * 8)
        if not native < side < crop.width:
            continue
        if psnr_db(pixels, np.asarray(reduced_and_enlarged(crop, side), np.uint8)) >= same_db:
            return side
    return crop.width


def encode_avif(image: Image.Image, quality: int) -> bytes:
    """AVIF without chroma subsampling: no larger than 4:2:0 at equal PSNR, and irises keep their colour."""
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
    """The header of the first image of the most frequent side."""
    sides, counts = np.unique(found.image_px, return_counts=True)
    data = found.images.read(int(np.flatnonzero(found.image_px == sides[counts.argmax()])[0]))
    return data[: data.find(b"mdat") + 4]
