"""Inputs of a preparation: folders, tar shards, archives; each an ordered stream of references to photos.

The order is fixed (sorted names, or the order in a compressed archive), and determines each photo's number, block and
key. A compressed archive has no random access, so its references hold their bytes; all others are read by the worker
that processes them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, NamedTuple, Protocol

from hififace.data.shards import iterate_members
from hififace.errors import DataError, OptionError
from hififace.json_values import parse_json
from hififace.media.image import MAX_FILE_BYTES
from hififace.preparation.landmark_list import LandmarkList, is_landmark_list

Layout = Literal["auto", "people", "flat"]

BLOCK_SIZE: Final = 128
"""Photos per unit of work, about ten seconds of one core. Results do not depend on it, but resuming does."""

MAX_FACTS_BYTES: Final = 1_000_000
"""Maximum size of the JSON of one photo in a shard."""

IMAGE_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".heic", ".heif"}
)


@dataclass(frozen=True, slots=True)
class PhotoRef:
    """One photograph, not yet read."""

    source: str
    """Name in reports: input and path within it, such as "portraits-000.tar/000017.jpg"."""
    path: str = ""
    """The file that contains it."""
    offset: int = 0
    size: int = -1
    """Bytes from `offset` on; -1 is the whole file."""
    identity: str | None = None
    age: int | None = None
    gender: str | None = None
    group: str | None = None
    """As in the input's JSON."""
    points: tuple[float, ...] | None = None
    """Ten numbers x, y of the five points, from a landmark list; None without one."""
    data: bytes | None = field(default=None, repr=False)
    """The file's bytes, if its archive has no random access."""

    def read(self) -> bytes:
        """The bytes of the image file.

        Raises:
            DataError: the file cannot be read.
        """
        if self.data is not None:
            return self.data
        try:
            with Path(self.path).open("rb") as file:
                if (self.size if self.size >= 0 else os.fstat(file.fileno()).st_size) > MAX_FILE_BYTES:
                    raise DataError(
                        f"{self.source} has more than {MAX_FILE_BYTES / 1e9:.3g} GB; no photo is that large."
                    )
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}.") from error


class Block(NamedTuple):
    """A fixed range of photos, the unit of work and of resuming."""

    number: int
    photos: tuple[PhotoRef, ...]

    def key(self, place: int) -> str:
        """The key of the photo at index `place` of this block: its number over all inputs."""
        return f"{self.number * BLOCK_SIZE + place:08d}"

    def fingerprint(self) -> str:
        """A hash of the photos in the block."""
        parts = [
            (p.source, p.size if p.data is None else len(p.data), p.identity, p.age, p.points)
            for p in self.photos
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Source(Protocol):
    """One input."""

    @property
    def kind(self) -> str:
        """Its kind, for reports."""

    @property
    def label(self) -> str:
        """Name of its file or folder."""

    def photos(self) -> Iterator[PhotoRef]:
        """References in their fixed order."""

    def count(self) -> int | None:
        """Number of photos, if it is cheap to determine; otherwise None."""


@dataclass(frozen=True)
class ShardSource:
    """A plain tar of KEY.jpg with KEY.json, or of folders of images."""

    path: Path
    label: str
    group: str
    """Prefix of identities, so that equal numbers of two data sets differ."""
    kind: str = "shard"

    def photos(self) -> Iterator[PhotoRef]:
        """One reference per image; metadata come from the .json with the same key, otherwise from the folder."""
        members = list(iterate_members(self.path))
        with self.path.open("rb") as file:
            facts: dict[str, dict[str, Any]] = {}
            for name, place in members:
                if name.endswith(".json"):
                    file.seek(place.offset)
                    text = file.read(min(place.size, MAX_FACTS_BYTES + 1))
                    facts[name.removesuffix(".json")] = self._parse(name, text)
        for name, place in sorted(members):
            stem, dot, suffix = name.rpartition(".")
            if dot + suffix.lower() not in IMAGE_SUFFIXES or ".mask" in name:
                continue
            known = facts.get(stem, {})
            identity = known.get("identity")
            if identity is None and not facts:
                identity = folder_identity(name)
            age = known.get("age")
            yield PhotoRef(
                source=f"{self.label}/{name}",
                path=str(self.path),
                offset=place.offset,
                size=place.size,
                identity=None if identity is None else f"{self.group}/{identity}",
                age=int(age) if isinstance(age, (int, float)) and 0 <= age <= 150 else None,
                gender=_word(known.get("gender")),
                group=_word(known.get("group")),
            )

    def count(self) -> int | None:
        """Number of images in the archive, from its headers."""
        names = (PurePosixPath(name) for name, _ in iterate_members(self.path))
        return sum(name.suffix.lower() in IMAGE_SUFFIXES for name in names)

    def _parse(self, name: str, text: bytes) -> dict[str, Any]:
        try:
            if len(text) > MAX_FACTS_BYTES:
                raise ValueError(f"it has more than {MAX_FACTS_BYTES} bytes")
            value = parse_json(text)
        except ValueError as error:
            raise DataError(f"{self.path}: {name} is not JSON ({error}).") from error
        if not isinstance(value, dict):
            raise DataError(f"{self.path}: {name} holds {type(value).__name__}; an object was expected.")
        return value


@dataclass(frozen=True)
class ArchiveSource:
    """A compressed tar, read once sequentially; a landmark list may give people and points."""

    path: Path
    label: str
    group: str
    landmarks: LandmarkList | None
    kind: str = "archive"

    def photos(self) -> Iterator[PhotoRef]:
        """References with their bytes, in the order of the archive.

        With a landmark list, images that are not in it are left out.
        """
        try:
            with tarfile.open(self.path, "r|*") as archive:
                for info in archive:
                    file = archive.extractfile(info) if info.isfile() else None
                    if file is None or PurePosixPath(info.name).suffix.lower() not in IMAGE_SUFFIXES:
                        continue
                    reference = PhotoRef(
                        source=f"{self.label}/{info.name}",
                        identity=_grouped(self.group, folder_identity(info.name)),
                    )
                    named = self.landmarks is None or info.name in self.landmarks
                    if named:
                        reference = _with_landmarks(reference, info.name, self.group, self.landmarks)
                        if info.size > MAX_FILE_BYTES:
                            raise DataError(
                                f"{self.path}: {info.name} has {info.size / 1e9:.1f} GB; no photo is that large."
                            )
                        yield replace(reference, data=file.read())
        except (tarfile.TarError, EOFError, OSError) as error:
            raise DataError(
                f"{self.path} is damaged or cut short ({error}). Compare its size with the publisher's."
            ) from error

    def count(self) -> int | None:
        """Length of the landmark list; unknown without one."""
        return None if self.landmarks is None else len(self.landmarks)


@dataclass(frozen=True)
class FolderSource:
    """Images below a folder; with `people`, the folder of an image is the name of its person."""

    path: Path
    label: str
    group: str
    people: bool
    landmarks: LandmarkList | None = None

    @property
    def kind(self) -> str:
        """Its kind, for reports."""
        return "people" if self.people else "flat"

    def photos(self) -> Iterator[PhotoRef]:
        """References in the order of their paths."""
        for path in _walk(self.path):
            name = path.relative_to(self.path).as_posix()
            identity = folder_identity(name) if self.people else None
            reference = PhotoRef(
                source=f"{self.label}/{name}",
                path=str(path),
                size=path.stat().st_size,
                identity=_grouped(self.group, identity),
            )
            yield _with_landmarks(reference, name, self.group, self.landmarks)

    def count(self) -> int | None:
        """Number of images, by walking the folder."""
        return sum(1 for _ in _walk(self.path))


def iterate_blocks(sources: Sequence[Source]) -> Iterator[Block]:
    """All photos of all inputs, in blocks of `BLOCK_SIZE`, numbered from 0."""
    stream = (photo for source in sources for photo in source.photos())
    number = 0
    while photos := tuple(islice(stream, BLOCK_SIZE)):
        yield Block(number, photos)
        number += 1


def contents_of(source: Source) -> str:
    """A digest of the photos of an input, which changes when one is added, removed, replaced or renamed.

    It covers name, size, person, age and points of photos; for a compressed archive its size.
    """
    digest = hashlib.sha256()
    if isinstance(source, ArchiveSource):
        digest.update(f"{source.path.stat().st_size} {source.count()}".encode())
    else:
        for photo in source.photos():
            facts = (photo.source, photo.size, photo.identity, photo.age, photo.points)
            digest.update(json.dumps(facts).encode())
    return digest.hexdigest()


def open_inputs(
    inputs: Sequence[Path], layout: Layout = "auto", landmarks: Path | None = None
) -> list[Source]:
    """Detect the kind of each input and open it.

    Args:
        inputs: folders, tar shards, compressed archives; a `.txt` or `*_lmk` among them is the landmark list.
        layout: for folders: "people" (one folder per person), "flat", or "auto".
        landmarks: list of "path label x y x y ..." for an archive or its unpacked folder.

    Raises:
        DataError: an input does not exist, or has no images.
        OptionError: the layout of an input cannot be detected, or there are no inputs.
    """
    named = [path for path in inputs if not path.is_dir() and is_landmark_list(path)]
    lists = named + ([landmarks] if landmarks else [])
    rest = [path for path in inputs if path not in named]
    if not rest:
        raise OptionError("No photographs were given: name a folder, a tar shard or an archive.")
    if len(lists) > 1:
        raise OptionError(f"{len(lists)} landmark lists were given; prepare each archive with its own.")
    table = LandmarkList.read(lists[0]) if lists else None
    sources: list[Source] = []
    groups: dict[str, Path] = {}
    for path in rest:
        sources.extend(_open_input(path, layout, table, groups))
    return sources


def folder_identity(name: str) -> str | None:
    """The folders of an image as one name; None at the top level."""
    parent = PurePosixPath(name).parent.as_posix()
    return None if parent == "." else parent


def _open_input(
    path: Path, layout: Layout, table: LandmarkList | None, groups: dict[str, Path]
) -> list[Source]:
    if not path.exists():
        raise DataError(f"{path} does not exist. Check the spelling of the path.")
    if path.is_dir():
        shards = sorted(path.glob("*.tar"))
        if shards:
            return [_shard(shard, groups) for shard in shards]
        return [_folder(path, layout, table, groups)]
    if path.name.endswith((".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")):
        return [ArchiveSource(path, path.name, _group(path.name.split(".")[0], path, groups), table)]
    if path.suffix == ".tar":
        return [_shard(path, groups)]
    raise OptionError(
        f"{path} is neither a folder nor an archive. Give a folder of images, tar shards (.tar) or a "
        f"compressed archive (.tar.gz)."
    )


def _shard(path: Path, groups: dict[str, Path]) -> Source:
    # portraits-000.tar and portraits-001.tar are one data set, with common numbers of people.
    return ShardSource(path, path.name, _group(re.sub(r"[-_.]?\d+$", "", path.stem), path, groups))


def _folder(path: Path, layout: Layout, table: LandmarkList | None, groups: dict[str, Path]) -> Source:
    at_top = any(p.suffix.lower() in IMAGE_SUFFIXES for p in path.iterdir() if p.is_file())
    below: set[Path] = set()
    for image in islice((p for p in _walk(path) if p.parent != path), 10_000):
        below.add(image.parent)
        if len(below) > 1:
            break
    if not at_top and not below:
        raise DataError(f"{path} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}) and no tar shards.")
    if layout == "auto":
        if at_top and below:
            raise OptionError(
                f"{path} holds images beside folders of images: it may be one folder per person or not. "
                f"Say which with --layout people or --layout flat."
            )
        if len(below) == 1:
            raise OptionError(
                f"{path} holds one folder of images only ({next(iter(below)).name}): is that one person, "
                f"or many? Say --layout people or --layout flat."
            )
        layout = "people" if below else "flat"
    group = _group(path.resolve().name, path / "x", groups)
    return FolderSource(path, path.resolve().name, group, layout == "people", table)


def _group(name: str, path: Path, groups: dict[str, Path]) -> str:
    """A name for the data set that no data set of another folder has."""
    parent, candidate, number = path.resolve().parent, name, 2
    while groups.setdefault(candidate, parent) != parent:
        candidate, number = f"{name}#{number}", number + 1
    return candidate


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _grouped(group: str, identity: str | None) -> str | None:
    return None if identity is None else f"{group}/{identity}"


def _with_landmarks(reference: PhotoRef, name: str, group: str, table: LandmarkList | None) -> PhotoRef:
    if table is None or name not in table:
        return reference
    label, points = table.find(name)
    return replace(reference, identity=f"{group}/{label}", points=points)


def _walk(folder: Path) -> Iterator[Path]:
    """Image files below a folder, ordered by name within each folder; without hidden files."""
    entries = sorted(folder.iterdir(), key=lambda path: path.name)
    for path in entries:
        if path.name.startswith((".", "__MACOSX")):
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            yield path
