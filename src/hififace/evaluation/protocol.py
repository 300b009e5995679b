"""Which pairs are measured: fixed by a seed and the photos, the same for every bundle and on every machine.

`open` has three parts:

- `swap`: every person of `identities-val` in turn as source, by one photo of theirs, into the portraits of
  `photos-val`: 1,000 pairs; sources and targets each come equally often.
- `same_person`: two photos of one person, one as source, one as target: 1,000 pairs, people in turn.
- `reconstruction`: each portrait as its own source and target.

`portraits` asks what large photos show; its parts stand in `portraits.py`.

A photo takes part where the embedded parts find a face in its middle that is large enough and not turned away; which
were left out stands in the report. The first N pairs of a part are a fair small version of it.
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
        known: SHA-256 of a photo -> what is known of its face.
        num_pairs: of `swap` and `same_person`, at most.

    Raises:
        OptionError: another name.
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
    """Ordered pairs of two photos of one person; people take turns until theirs are used up."""
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
