"""Photos of the evaluation: validation shards, read by offset, and folders of large photos."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hififace.data.shards import iterate_members
from hififace.errors import DataError
from hififace.json_values import parse_json
from hififace.media.image import read_image
from hififace.types import RGBImage

IDENTITY_SHARDS: Final = "identities-val-*.tar"
PHOTO_SHARDS: Final = "photos-val-*.tar"
PORTRAIT_SHARDS: Final = "portraits-val-*.tar"
PHOTOS_OF_A_PERSON: Final = 3
"""Photos per person that `portraits` takes from `identities-val`: source, second gallery, one spare."""
IMAGE_ENDINGS: Final = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a shard: its location and metadata, without its pixels."""

    key: str
    identity: str | None
    """The person it shows, if labelled."""
    shard: Path
    offset: int
    size: int
    sha256: str
    """SHA-256 of the JPEG file."""
    group: str | None = None
    """The person's group, as labelled by the publisher of the photos."""
    gender: str | None = None
    """Likewise."""

    def data(self) -> bytes:
        """The JPEG file.

        Raises:
            DataError: the shard was removed or truncated since it was indexed.
        """
        try:
            with self.shard.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise DataError(f"{self.shard} cannot be read: {error.strerror or error}.") from error
        if len(data) != self.size:
            raise DataError(f"{self.shard} ends in the middle of {self.key}.jpg. Copy or make it again.")
        return data

    def pixels(self) -> RGBImage:
        """(H, W, 3).

        Raises:
            DataError: as `data`.
            ImageError: the JPEG is damaged.
        """
        return read_image(self.data()).pixels


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """All photos of the validation shards of a folder."""

    people: tuple[Photo, ...]
    """Several of each person; in the order of the shards."""
    portraits: tuple[Photo, ...]
    """One photo of each person."""

    def all(self) -> tuple[Photo, ...]:
        """People first, then portraits; a photo that is both appears once."""
        return tuple({photo.sha256: photo for photo in (*self.people, *self.portraits)}.values())


def read_photo_set(folder: Path, protocol: str = "open", people: Path | None = None) -> PhotoSet:
    """Index the validation shards of a folder.

    Args:
        folder: of the shards.
        protocol: `open` takes its portraits from `photos-val`, `portraits` from `portraits-val`.
        people: a folder of further large photos named `PERSON_WHAT.jpg`, used as sources and targets.

    Raises:
        DataError: no photos of one of the two kinds, a damaged shard, or a photo of `identities-val` without a person.
    """
    if protocol == "open":
        return PhotoSet(_read_people(folder), _read_shards(folder, PHOTO_SHARDS))
    large = () if people is None else read_people(people)
    several = _first_of_each(_read_people(folder))
    return PhotoSet((*several, *large), (*_read_shards(folder, PORTRAIT_SHARDS), *large))


def _first_of_each(photos: tuple[Photo, ...]) -> tuple[Photo, ...]:
    """At most `PHOTOS_OF_A_PERSON` photos of each person, since describing photos takes time."""
    seen: Counter[str] = Counter()
    chosen = []
    for photo in photos:
        if seen[str(photo.identity)] < PHOTOS_OF_A_PERSON:
            seen[str(photo.identity)] += 1
            chosen.append(photo)
    return tuple(chosen)


def read_people(folder: Path) -> tuple[Photo, ...]:
    """Photos named `PERSON_WHAT.jpg`, ordered by name.

    Raises:
        DataError: there is none, or one cannot be read.
    """
    photos = []
    for path in sorted(folder.glob("*_*")) if folder.is_dir() else []:
        if path.suffix.lower() in IMAGE_ENDINGS:
            try:
                data = path.read_bytes()
            except OSError as error:
                raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
            person = f"{folder.name}/{path.stem.split('_')[0]}"
            key = f"{folder.name}/{path.stem}"
            photos.append(Photo(key, person, path, 0, len(data), hashlib.sha256(data).hexdigest()))
    if not photos:
        raise DataError(f"No photo PERSON_WHAT.jpg in {folder}; a folder of such photos was expected.")
    return tuple(photos)


def _read_people(folder: Path) -> tuple[Photo, ...]:
    people = _read_shards(folder, IDENTITY_SHARDS)
    nameless = next((photo.key for photo in people if photo.identity is None), None)
    if nameless is not None:
        raise DataError(
            f'{nameless}.json in the {IDENTITY_SHARDS} of {folder} does not say who it shows; {{"identity": ...}} '
            "was expected."
        )
    return people


def _read_shards(folder: Path, pattern: str) -> tuple[Photo, ...]:
    shards = sorted(folder.glob(pattern))
    if not shards:
        raise DataError(f"No shard {pattern} in {folder}; give the folder that holds the validation shards.")
    photos = [photo for shard in shards for photo in _read_shard(shard)]
    keys = [photo.key for photo in photos]
    if len(set(keys)) != len(keys):
        raise DataError(f"Two photos of the shards {pattern} in {folder} have the same key.")
    return tuple(photos)


def _read_shard(shard: Path) -> list[Photo]:
    places, notes = {}, {}
    with shard.open("rb") as file:
        for name, place in iterate_members(shard):
            key, _, ending = name.partition(".")
            file.seek(place.offset)
            if ending == "jpg":
                digest = hashlib.sha256(file.read(place.size)).hexdigest()
                places[key] = (place.offset, place.size, digest)
            elif ending == "json":
                notes[key] = _labels(file.read(place.size), f"{name} of {shard}")
    return [
        Photo(key, identity, shard, *place, group, gender)
        for key, place in places.items()
        for identity, group, gender in [notes.get(key, (None, None, None))]
    ]


def _labels(text: bytes, where: str) -> tuple[str | None, ...]:
    """Identity, group and gender; None where not labelled."""
    try:
        content = parse_json(text)
    except ValueError as error:
        raise DataError(f"{where} is not valid JSON ({error}).") from error
    found = content if isinstance(content, dict) else {}
    values = (found.get(name) for name in ("identity", "group", "gender"))
    return tuple(None if value is None else str(value) for value in values)
