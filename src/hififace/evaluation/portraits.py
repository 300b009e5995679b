"""Protocol `portraits`: properties of swaps that only large photos show.

Targets are the portraits of `portraits-val` and those of a folder of large photos, sources the people of
`identities-val` and of that folder.

- `swap`: people in turn onto portraits in turn at full size, 1,000 pairs; never the same person. - `size_100`,
`size_200`, `size_400`: the same with photos reduced to that face size in pixels. Photos with smaller faces
  are left out: nothing is enlarged.
- `groups`: labelled portraits as sources, groups in turn, so that all groups have equally many pairs.
- `occluded`: an occluder drawn over the target's face, which should not change.
- `dim`: the target at a quarter of its levels. The result should be the bright one's at a quarter.
- `glasses`: frames drawn on the source. They should not appear.
- `reconstruction`: each portrait as its own source and target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hififace.evaluation.description import Description
from hififace.evaluation.pairs import SEED, Pair, Protocol, Usable, in_turn, shuffled
from hififace.evaluation.photos import Photo
from hififace.evaluation.scenes import DIM, OCCLUDERS, PLAIN, Scene

SIZES_PX: Final = (100, 200, 400)
SHARES: Final = {
    **{f"size_{size}": 0.2 for size in SIZES_PX},
    "groups": 0.5,
    "occluded": 0.2,
    "dim": 0.1,
    "glasses": 0.1,
    "reconstruction": 0.2,
}
"""Part -> its number of pairs relative to `swap`."""


def build_portraits(usable: Usable, known: Mapping[str, Description | None], *, num_pairs: int) -> Protocol:
    """Choose the pairs.

    Args:
        usable: photos that can be swapped.
        known: SHA-256 of a photo -> description of its face.
        num_pairs: number for `swap`; the other parts have their share of it.
    """
    targets = usable.targets
    gallery = tuple(group[0] for group in usable.people)
    sizes = {photo.sha256: found.size_px for photo in targets if (found := known[photo.sha256]) is not None}

    def count(part: str) -> int:
        return max(round(num_pairs * SHARES[part]), 1)

    parts = {"swap": _crossed(gallery, targets, num_pairs, "swap")}
    for size in SIZES_PX:
        part = f"size_{size}"
        large = [photo for photo in targets if sizes[photo.sha256] >= size]
        if large:
            parts[part] = _crossed(gallery, large, count(part), part, [Scene(face_px=size)])
    labelled = _by_group([photo for photo in targets if photo.group is not None])
    if labelled:
        parts["groups"] = _grouped(labelled, targets, count("groups"))
    occluded = [Scene(occluder=name) for name in OCCLUDERS]
    parts["occluded"] = _crossed(gallery, targets, count("occluded"), "occluded", occluded)
    parts["dim"] = _crossed(gallery, targets, count("dim"), "dim", [Scene(gain=DIM)])
    framed = _crossed(gallery, targets, count("glasses"), "glasses")
    parts["glasses"] = tuple(
        Pair(pair.source, pair.target, pair.person, source_scene=Scene(occluder="glasses")) for pair in framed
    )
    order = shuffled(len(targets), "reconstruction")[: count("reconstruction")]
    parts["reconstruction"] = tuple(Pair(targets[t], targets[t], -1) for t in order)
    return Protocol(
        "portraits",
        SEED,
        {name: tuple(pairs) for name, pairs in parts.items()},
        gallery,
        tuple(group[1] for group in usable.people),
        usable.left_out,
        SHARES,
    )


def _crossed(
    sources: Sequence[Photo],
    targets: Sequence[Photo],
    num: int,
    purpose: str,
    scenes: Sequence[Scene] = (PLAIN,),
) -> tuple[Pair, ...]:
    """Sources, targets and scenes in turn; where both show the same person, the next target is taken."""
    pairs = []
    places = in_turn(len(targets), num, f"{purpose} targets")
    for number, (s, t) in enumerate(
        zip(in_turn(len(sources), num, f"{purpose} sources"), places, strict=True)
    ):
        source = sources[s]
        others = (targets[(t + step) % len(targets)] for step in range(len(targets)))
        target = next(
            (one for one in others if one.identity is None or one.identity != source.identity), None
        )
        if target is not None:
            pairs.append(Pair(source, target, s, scenes[number % len(scenes)]))
    return tuple(pairs)


def _by_group(photos: Sequence[Photo]) -> list[list[Photo]]:
    groups: dict[str, list[Photo]] = {}
    for photo in photos:
        groups.setdefault(str(photo.group), []).append(photo)
    return [group for _, group in sorted(groups.items())]


def _grouped(groups: Sequence[Sequence[Photo]], targets: Sequence[Photo], num: int) -> tuple[Pair, ...]:
    """Groups in turn, within a group its people in turn, onto targets in turn; never a photo onto itself."""
    rounds = -(-num // len(groups))
    turns = [in_turn(len(group), rounds, f"group {n}") for n, group in enumerate(groups)]
    places = in_turn(len(targets), num, "groups targets")
    pairs = []
    for number, t in enumerate(places):
        n = number % len(groups)
        source = groups[n][turns[n][number // len(groups)]]
        target = targets[t] if targets[t] is not source else targets[(t + 1) % len(targets)]
        pairs.append(Pair(source, target, -1))
    return tuple(pairs)
