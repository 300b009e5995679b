"""Prepares a block of photos, the unit of work, into one part file, which is written completely or not at all.

A part is a tar with the files of every photo that passed the checks on single photos, and a JSON file with the data of
the second pass. The JSON file is renamed into place last, so that its presence marks the part as complete. The content
of a part does not depend on the worker or the time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.data.shards import Place, TarWriter, pack_arrays, unpack_arrays
from hififace.errors import DataError, FaceError, ImageError
from hififace.json_values import parse_json_object
from hififace.media.atomic import atomic_write
from hififace.media.image import read_image
from hififace.preparation.crop import cut, encode_crop, encode_mask, find_face
from hififace.preparation.describe import Describer, DescriberSettings, valid_share
from hififace.preparation.detail import native_px
from hififace.preparation.families import create_describer
from hififace.preparation.quality import (
    QualityOptions,
    Reason,
    Rejection,
    check_photo,
    perceptual_hash,
    sharpness,
    too_small,
)
from hififace.preparation.sources import Block, PhotoRef

DescriberFactory = Callable[[DescriberSettings], Describer]


@dataclass(frozen=True)
class WorkSettings:
    """Settings of a worker; picklable."""

    describer: DescriberSettings = field(default_factory=DescriberSettings)
    quality: QualityOptions = field(default_factory=QualityOptions)
    min_age: int = 18
    factory: DescriberFactory = create_describer


class PreparedPhoto(NamedTuple):
    """A photo that passed the checks: its files and its index row."""

    members: dict[str, bytes]
    row: dict[str, Any]
    vector: NDArray[np.float32]


class BlockTally(NamedTuple):
    """Counts of the photos of a block."""

    kept: int
    rejected: int
    resumed: int
    """How many of them an earlier run had processed: all or none."""


class Part(NamedTuple):
    """A finished block, read back."""

    number: int
    num_photos: int
    rows: list[dict[str, Any]]
    """Index columns of the photos that passed, with "places" in the part's tar."""
    rejected: list[dict[str, Any]]
    """key, source, identity, reason, detail."""
    tar: Path
    vectors_place: Place

    def vectors(self) -> NDArray[np.float32]:
        """(N, D) identity vectors of `rows`."""
        with self.tar.open("rb") as file:
            file.seek(self.vectors_place.offset)
            return unpack_arrays(file.read(self.vectors_place.size))["identity"]


_describers: dict[DescriberSettings, Describer] = {}
"""One per process: ONNX sessions are slow to open and cannot be pickled."""


def describer_for(settings: WorkSettings) -> Describer:
    """The describer of this process, built on first use."""
    if settings.describer not in _describers:
        # Each worker is a process with one thread; OpenCV's own threads would compete for the cores.
        cv2.setNumThreads(1)
        _describers[settings.describer] = settings.factory(settings.describer)
    return _describers[settings.describer]


def process_block(block: Block, folder: Path, settings: WorkSettings) -> BlockTally:
    """Make the part of a block, unless it exists already.

    Raises:
        DataError: an input cannot be read any more, or changed since the part was made.
    """
    part = read_part(folder, block.number, block.fingerprint())
    if part is not None:
        return BlockTally(len(part.rows), len(part.rejected), len(part.rows) + len(part.rejected))
    describer = describer_for(settings)
    rows, rejected, vectors = [], [], []
    tar = folder / f"block-{block.number:06d}.tar"
    with TarWriter(tar) as writer:
        for place, photo in enumerate(block.photos):
            key = block.key(place)
            done = prepare_photo(describer, photo, key, settings)
            if isinstance(done, Rejection):
                rejected.append(rejection_row(key, photo.source, photo.identity, done))
                continue
            rows.append({**done.row, "places": writer.add_photo(key, done.members)})
            vectors.append(done.vector)
        stacked = np.stack(vectors) if vectors else np.zeros((0, describer.identity_size), np.float32)
        vectors_place = writer.add("vectors.npz", pack_arrays({"identity": stacked}))
    facts = {
        "fingerprint": block.fingerprint(),
        "num_photos": len(block.photos),
        "rows": rows,
        "rejected": rejected,
        "vectors": vectors_place,
    }
    atomic_write(part_path(folder, block.number), json.dumps(facts, indent=0).encode())
    return BlockTally(len(rows), len(rejected), 0)


def prepare_photo(
    describer: Describer, photo: PhotoRef, key: str, settings: WorkSettings
) -> PreparedPhoto | Rejection:
    """Prepare one photo, or return why it is left out."""
    if photo.age is not None and photo.age < settings.min_age:
        return Rejection(Reason.UNDER_AGE, f"age {photo.age}, below {settings.min_age}")
    data = photo.read()
    try:
        image = read_image(data).pixels
    except ImageError as error:
        return Rejection(Reason.UNREADABLE, str(error))
    face = find_face(describer, image, photo.points, settings.quality.max_rival)
    if isinstance(face, Rejection):
        return face
    try:
        crop = cut(image, face.points, describer.template)
        small = too_small(crop.magnification, settings.quality, named=photo.identity is not None)
        if small is not None:
            return small
        description = describer.describe(image, face, crop)
    except FaceError as error:
        return Rejection(Reason.NO_FACE, str(error))
    size = (image.shape[1], image.shape[0])
    share = valid_share(description.mask, crop, size)
    rejection = check_photo(
        settings.quality,
        magnification=crop.magnification,
        named=photo.identity is not None,
        mesh_score=description.mesh_score,
        valid_share=share,
        pose_deg=description.pose_deg,
    )
    if rejection is not None:
        return rejection
    numbers = {
        "face_px": face.size_px,
        "magnification": crop.magnification,
        "native_px": native_px(crop.image, description.mask),
        "sharpness": sharpness(crop.image, description.mask),
        "detection_score": face.score,
        "mesh_score": description.mesh_score,
        "valid_share": share,
        "pitch_deg": float(description.pose_deg[0]),
        "yaw_deg": float(description.pose_deg[1]),
        "roll_deg": float(description.pose_deg[2]),
    }
    numbers = {name: round(float(value), 4) for name, value in numbers.items()}
    points = face.points @ crop.matrix[:, :2].T + crop.matrix[:, 2]
    facts = {
        "key": key,
        "identity": photo.identity,
        "source": photo.source,
        "age": photo.age,
        "gender": photo.gender,
        "group": photo.group,
    }
    members = {
        "jpg": encode_crop(crop.image),
        "mask.png": encode_mask(description.mask),
        "npz": pack_arrays(
            {
                name: np.asarray(value, dtype=np.float32)
                for name, value in {
                    "identity": description.identity,
                    "coefficients": description.coefficients,
                    "coefficients_mirrored": description.coefficients_mirrored,
                    "landmarks": description.landmarks,
                    "points": points,
                    "matrix": crop.matrix,
                    "photo_size": size,
                }.items()
            }
        ),
        "json": json.dumps({**facts, "quality": numbers}, ensure_ascii=False).encode(),
    }
    row = {
        **facts,
        **numbers,
        "perceptual_hash": f"{perceptual_hash(crop.image):016x}",
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return PreparedPhoto(members, row, np.asarray(description.identity, dtype=np.float32))


def rejection_row(key: str, source: str, identity: str | None, rejection: Rejection) -> dict[str, Any]:
    """One line of `rejected.csv`."""
    return {
        "key": key,
        "source": source,
        "identity": identity,
        "reason": rejection.reason.value,
        "detail": rejection.detail,
    }


def part_path(folder: Path, number: int) -> Path:
    """The JSON file whose presence marks a block as finished."""
    return folder / f"block-{number:06d}.json"


def read_part(folder: Path, number: int, fingerprint: str | None = None) -> Part | None:
    """A finished block, or None if it is not finished.

    Raises:
        DataError: it is damaged, or was made from other photos.
    """
    path = part_path(folder, number)
    if not path.is_file():
        return None
    try:
        facts = parse_json_object(path.read_text(encoding="utf-8"))
        if fingerprint is not None and facts["fingerprint"] != fingerprint:
            raise DataError(
                f"The photos changed since this preparation began (block {number} of {folder}). "
                f"Delete {folder} to start again, or restore the photos."
            )
        rows = [{**row, "places": [Place(*place) for place in row["places"]]} for row in facts["rows"]]
        return Part(
            number,
            facts["num_photos"],
            rows,
            facts["rejected"],
            path.with_suffix(".tar"),
            Place(*facts["vectors"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}). Delete it and run the same command again.") from error
