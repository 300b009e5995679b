"""Pairs of a protocol, and the rules by which protocols choose photos and pairs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from hififace.errors import DataError, OptionError
from hififace.evaluation.description import Description
from hififace.evaluation.photos import Photo, PhotoSet
from hififace.evaluation.scenes import PLAIN, Scene
from hififace.faces.shape import align_to_mean, load_shape_basis, pose_of

SEED: Final = 20210616

SMALLEST_PX: Final = 40.0
LARGEST_TURN_DEG: Final = 60.0
"""A swapper refuses sources beyond either limit (`swap/sources.py`); the angle is the larger of pitch and yaw."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Source and target of one swap."""

    source: Photo
    target: Photo
    person: int
    """Row of the source's person in `Protocol.gallery`; -1 for a source that is not in it."""
    scene: Scene = PLAIN
    """Modification of the target before the swap."""
    source_scene: Scene = PLAIN
    """Modification of the source before the swap."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """All pairs of a protocol, in order."""

    name: str
    seed: int
    parts: Mapping[str, tuple[Pair, ...]]
    """Part -> pairs; `swap` is the first."""
    gallery: tuple[Photo, ...]
    """The photo of each person that is the source in `swap`."""
    other_gallery: tuple[Photo, ...]
    """Another photo of the same people, in the same order."""
    left_out: Mapping[str, str]
    """Key of a photo -> why it was left out."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Part -> its number of pairs relative to `swap`; 1 if not given."""

    @property
    def sha256(self) -> str:
        """Hash of all pairs, from the contents of their photos."""
        pairs = {
            part: [
                [p.source.sha256, p.target.sha256, *filter(None, (p.scene.tag, p.source_scene.tag))]
                for p in chosen
            ]
            for part, chosen in self.parts.items()
        }
        galleries = [[photo.sha256 for photo in photos] for photos in (self.gallery, self.other_gallery)]
        text = json.dumps([self.name, self.seed, pairs, galleries], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def first(self, num_pairs: int | None) -> Protocol:
        """The protocol reduced to the first pairs of each part, scaled by its share; unchanged for None."""
        if num_pairs is None:
            return self
        parts = {
            name: pairs[: max(round(num_pairs * self.shares.get(name, 1.0)), 1)]
            for name, pairs in self.parts.items()
        }
        return replace(self, parts=parts)

    def only(self, names: Sequence[str]) -> Protocol:
        """The protocol reduced to these parts; unchanged for none.

        Raises:
            OptionError: it has no part of that name.
        """
        for name in names:
            if name not in self.parts:
                raise OptionError(
                    f"The protocol {self.name} has no part {name!r}; choose among {', '.join(self.parts)}."
                )
        return replace(self, parts={name: self.parts[name] for name in names}) if names else self


@dataclass(frozen=True, slots=True)
class Usable:
    """The photos that can be swapped, shuffled by the seed."""

    people: tuple[tuple[Photo, ...], ...]
    """At least two photos of each person."""
    targets: tuple[Photo, ...]
    left_out: Mapping[str, str]
    """Key of a photo -> why it takes no part."""


def usable_photos(photos: PhotoSet, known: Mapping[str, Description | None]) -> Usable:
    """Leave out photos that swappers refuse.

    Raises:
        DataError: fewer than two people with two usable photos, or no usable portrait.
    """
    left_out = {p.key: why for p in photos.all() if (why := _unusable(known.get(p.sha256))) is not None}
    people: dict[str, list[Photo]] = {}
    for photo in photos.people:
        if photo.key not in left_out:
            people.setdefault(str(photo.identity), []).append(photo)
    groups = [group for _, group in sorted(people.items()) if len(group) >= 2]
    targets = [photo for photo in photos.portraits if photo.key not in left_out]
    if len(groups) < 2 or not targets:
        raise DataError(
            f"{len(groups)} people with two usable photos and {len(targets)} usable portraits were found; the protocol "
            "needs two people and a portrait. Give the folder of the whole validation shards."
        )
    order = [tuple(group[i] for i in shuffled(len(group), f"photos {n}")) for n, group in enumerate(groups)]
    return Usable(tuple(order), tuple(targets), left_out)


def _unusable(found: Description | None) -> str | None:
    if found is None:
        return "no face was found in its middle"
    if found.size_px < SMALLEST_PX:
        return f"its face is {found.size_px:.0f} px large"
    rotation = align_to_mean(found.mesh, load_shape_basis().mean)[2]
    turn = float(np.degrees(np.abs(pose_of(rotation)[:2]).max()))
    return f"its face is turned away by {turn:.0f} degrees" if turn > LARGEST_TURN_DEG else None


def shuffled(size: int, purpose: str) -> list[int]:
    """A permutation that does not depend on library versions: numbers in the order of their hashes."""
    hashes = {i: hashlib.sha256(f"{SEED} {purpose} {i}".encode()).digest() for i in range(size)}
    return sorted(hashes, key=hashes.__getitem__)


def in_turn(size: int, count: int, purpose: str) -> list[int]:
    """`count` numbers below `size`: one permutation after another, so that each number appears equally often."""
    rounds = -(-count // size)
    return [i for turn in range(rounds) for i in shuffled(size, f"{purpose} {turn}")][:count]
