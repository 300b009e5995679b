"""Chooses the pairs of a protocol from a seed and the photos, equally for every bundle and on every machine.

`open` has three parts:

- `swap`: the people of `identities-val` in turn as sources, with one photo each, onto the portraits of `photos-val` in
  turn: 1,000 pairs; all sources, and all targets, are used equally often.
- `same_person`: two photos of the same person, one as source, one as target: 1,000 pairs, people in turn.
- `reconstruction`: each portrait as its own source and target.

`portraits` measures properties that only large photos show; `portraits.py` has its parts.

A photo is used if the embedded detector finds a face in its middle that is large enough and not turned away; the report
lists the photos left out. The first N pairs of a part are an unbiased subset of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hififace.errors import OptionError
from hififace.evaluation.description import Description
from hififace.evaluation.pairs import SEED, Pair, Protocol, in_turn, shuffled, usable_photos
from hififace.evaluation.photos import Photo, PhotoSet
from hififace.evaluation.portraits import build_portraits

NUM_PAIRS: Final = 1000
PROTOCOLS: Final = ("open", "portraits")


def build_protocol(
    name: str, photos: PhotoSet, known: Mapping[str, Description | None], *, num_pairs: int = NUM_PAIRS
) -> Protocol:
    """Choose the pairs.

    Args:
        name: one of `PROTOCOLS`.
        photos: of the validation shards.
        known: SHA-256 of a photo -> description of its face.
        num_pairs: maximum number for `swap` and `same_person`.

    Raises:
        OptionError: unknown name.
        DataError: fewer than two people with two usable photos, or no usable portrait.
    """
    if name not in PROTOCOLS:
        raise OptionError(f"There is no protocol {name!r}; choose {', '.join(PROTOCOLS)}.")
    usable = usable_photos(photos, known)
    if name == "portraits":
        return build_portraits(usable, known, num_pairs=num_pairs)
    groups, targets = usable.people, usable.targets
    gallery = [group[0] for group in groups]
    sources = in_turn(len(groups), num_pairs, "sources")
    places = in_turn(len(targets), num_pairs, "targets")
    swaps = [Pair(gallery[s], targets[t], s) for s, t in zip(sources, places, strict=True)]
    reconstructions = [Pair(targets[t], targets[t], -1) for t in shuffled(len(targets), "reconstruction")]
    parts = {
        "swap": tuple(swaps),
        "same_person": tuple(_same_person(groups, num_pairs)),
        "reconstruction": tuple(reconstructions[:num_pairs]),
    }
    return Protocol(name, SEED, parts, tuple(gallery), tuple(group[1] for group in groups), usable.left_out)


def _same_person(groups: Sequence[Sequence[Photo]], count: int) -> list[Pair]:
    """Ordered pairs of two photos of the same person, people in turn until their pairs are exhausted."""
    waiting = []
    for person, group in enumerate(groups):
        pairs = [Pair(a, b, person) for a in group for b in group if a is not b]
        waiting.append([pairs[i] for i in shuffled(len(pairs), f"pairs {person}")])
    chosen: list[Pair] = []
    turn = 0
    while len(chosen) < count and any(waiting):
        for person in shuffled(len(waiting), f"people {turn}"):
            if waiting[person]:
                chosen.append(waiting[person].pop())
        turn += 1
    return chosen[:count]
