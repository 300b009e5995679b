"""The photos that are measured on: validation shards, read by offset."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hififace.data.shards import iterate_members
from hififace.errors import DataError
from hififace.media.image import read_image
from hififace.types import RGBImage

IDENTITY_SHARDS: Final = "identities-val-*.tar"
PHOTO_SHARDS: Final = "photos-val-*.tar"


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a shard: where it lies and what it is, not its pixels."""

    key: str
    identity: str | None
    """Who it shows, where several photos of people are told apart."""
    shard: Path
    offset: int
    size: int
    sha256: str
    """Of the JPEG's bytes."""

    def data(self) -> bytes:
        """The JPEG.

        Raises:
            DataError: the shard has gone or was cut short since it was looked through.
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
    """One of each person."""

    def all(self) -> tuple[Photo, ...]:
        """People first, then portraits."""
        return (*self.people, *self.portraits)


def read_photo_set(folder: Path) -> PhotoSet:
    """Look through the validation shards of a folder.

    Raises:
        DataError: none of one of the two kinds, a damaged shard, a photo of `identities-val` without a person.
    """
    people = _read_shards(folder, IDENTITY_SHARDS)
    nameless = next((photo.key for photo in people if photo.identity is None), None)
    if nameless is not None:
        raise DataError(
            f'{nameless}.json in the {IDENTITY_SHARDS} of {folder} does not say who it shows; {{"identity": ...}} '
            "was expected."
        )
    return PhotoSet(people, _read_shards(folder, PHOTO_SHARDS))


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
                notes[key] = _identity(file.read(place.size), f"{name} of {shard}")
    return [Photo(key, notes.get(key), shard, *place) for key, place in places.items()]


def _identity(text: bytes, where: str) -> str | None:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where} is not valid JSON ({error}).") from error
    identity = content.get("identity") if isinstance(content, dict) else None
    return None if identity is None else str(identity)
