"""Which pairs are measured: fixed by a seed and the photos, the same for every bundle and on every machine.

`open` has three parts:

- `swap`: every person of `identities-val` in turn as source, by one photo of theirs, into the portraits of
  `photos-val`: 1,000 pairs; sources and targets each come equally often.
- `same_person`: two photos of one person, one as source, one as target: 1,000 pairs, people in turn.
- `reconstruction`: each portrait as its own source and target.

A photo takes part where the embedded parts find a face in its middle that is large enough and not turned away; which
were left out stands in the report. The first N pairs of a part are a fair small version of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from hififace.errors import DataError, OptionError
from hififace.evaluation.description import Description
from hififace.evaluation.photos import Photo, PhotoSet
from hififace.faces.shape import align_to_mean, load_shape_basis, pose_of

SEED: Final = 20210616
NUM_PAIRS: Final = 1000
PROTOCOLS: Final = ("open",)
PARTS: Final = ("swap", "same_person", "reconstruction")

SMALLEST_PX: Final = 40.0
LARGEST_TURN_DEG: Final = 60.0
"""A swapper refuses sources beyond either (`swap/sources.py`); turn is the larger of pitch and yaw."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One swap to be measured."""

    source: Photo
    target: Photo
    person: int
    """Row of the source's person in `Protocol.gallery`; -1 in `reconstruction`, whose sources are not in it."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """Every pair, in order."""

    name: str
    seed: int
    parts: Mapping[str, tuple[Pair, ...]]
    """`PARTS` -> pairs."""
    gallery: tuple[Photo, ...]
    """The photo of each person that is the source in `swap`."""
    other_gallery: tuple[Photo, ...]
    """Another photo of the same people, in the same order."""
    left_out: Mapping[str, str]
    """Key of a photo -> why it takes no part."""

    @property
    def sha256(self) -> str:
        """Of all pairs, by their photos' content."""
        pairs = {part: [[p.source.sha256, p.target.sha256] for p in self.parts[part]] for part in PARTS}
        galleries = [[photo.sha256 for photo in photos] for photos in (self.gallery, self.other_gallery)]
        text = json.dumps([self.name, self.seed, pairs, galleries], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def first(self, num_pairs: int | None) -> Protocol:
        """The first pairs of each part only; all of them for None."""
        if num_pairs is None:
            return self
        parts = {name: pairs[:num_pairs] for name, pairs in self.parts.items()}
        return Protocol(self.name, self.seed, parts, self.gallery, self.other_gallery, self.left_out)


def build_protocol(
    name: str, photos: PhotoSet, known: Mapping[str, Description | None], *, num_pairs: int = NUM_PAIRS
) -> Protocol:
    """Choose the pairs.

    Args:
        name: one of `PROTOCOLS`.
        photos: of the validation shards.
        known: SHA-256 of a photo -> what is known of its face.
        num_pairs: of `swap` and `same_person`, at most.

    Raises:
        OptionError: another name.
        DataError: fewer than two people with two usable photos, or no usable portrait.
    """
    if name not in PROTOCOLS:
        raise OptionError(f"There is no protocol {name!r}; choose {', '.join(PROTOCOLS)}.")
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
    groups = [[group[i] for i in _shuffled(len(group), f"photos {n}")] for n, group in enumerate(groups)]
    gallery = [group[0] for group in groups]
    sources = _in_turn(len(groups), num_pairs, "sources")
    places = _in_turn(len(targets), num_pairs, "targets")
    swaps = [Pair(gallery[s], targets[t], s) for s, t in zip(sources, places, strict=True)]
    reconstructions = [Pair(targets[t], targets[t], -1) for t in _shuffled(len(targets), "reconstruction")]
    parts = {
        "swap": tuple(swaps),
        "same_person": tuple(_same_person(groups, num_pairs)),
        "reconstruction": tuple(reconstructions[:num_pairs]),
    }
    return Protocol(name, SEED, parts, tuple(gallery), tuple(group[1] for group in groups), left_out)


def _unusable(found: Description | None) -> str | None:
    if found is None:
        return "no face was found in its middle"
    if found.size_px < SMALLEST_PX:
        return f"its face is {found.size_px:.0f} px large"
    rotation = align_to_mean(found.mesh, load_shape_basis().mean)[2]
    turn = float(np.degrees(np.abs(pose_of(rotation)[:2]).max()))
    return f"its face is turned away by {turn:.0f} degrees" if turn > LARGEST_TURN_DEG else None


def _shuffled(size: int, purpose: str) -> list[int]:
    """A permutation that is the same with every version of every library: numbers in the order of their hashes."""
    hashes = {i: hashlib.sha256(f"{SEED} {purpose} {i}".encode()).digest() for i in range(size)}
    return sorted(hashes, key=hashes.__getitem__)


def _in_turn(size: int, count: int, purpose: str) -> list[int]:
    """`count` numbers below `size`: one permutation after the other, so that each comes equally often."""
    rounds = -(-count // size)
    return [i for turn in range(rounds) for i in _shuffled(size, f"{purpose} {turn}")][:count]


def _same_person(groups: list[list[Photo]], count: int) -> list[Pair]:
    """Ordered pairs of two photos of one person; people take turns until theirs are used up."""
    waiting = []
    for person, group in enumerate(groups):
        pairs = [Pair(a, b, person) for a in group for b in group if a is not b]
        waiting.append([pairs[i] for i in _shuffled(len(pairs), f"pairs {person}")])
    chosen: list[Pair] = []
    turn = 0
    while len(chosen) < count and any(waiting):
        for person in _shuffled(len(waiting), f"people {turn}"):
            if waiting[person]:
                chosen.append(waiting[person].pop())
        turn += 1
    return chosen[:count]
