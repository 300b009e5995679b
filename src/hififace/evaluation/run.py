"""A whole evaluation: photos described, pairs chosen, each contestant's swaps measured, everything summed up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from hififace.errors import DataError, OptionError
from hififace.evaluation.contestants import Entry, baseline_entries, bundle_entries
from hififace.evaluation.description import Description, DescriptionCache
from hififace.evaluation.features import feature_network_name
from hififace.evaluation.identity import distances, retrieved_within, verification_accuracy
from hififace.evaluation.measure import RETRIEVAL_DEPTHS, Measured, Summary, frechet, retrieval, summarise
from hififace.evaluation.photos import PhotoSet, read_photo_set
from hififace.evaluation.protocol import PARTS, Pair, Protocol, build_protocol
from hififace.evaluation.work import SwapOutcome, SwapTask, Worker, described, in_tasks, work_through
from hififace.faces.identity import SAME_PERSON_COSINE
from hififace.models.pretrained.dlib import SAME_PERSON_DISTANCE
from hififace.swap.options import SwapOptions
from hififace.types import RGBImage
from hififace.weights.registry import find_card
from hififace.weights.store import locate

SHEET_PAIRS: Final = 48

Progress = Callable[[str, int, int], None]
"""Told (what is being done, how many are done, how many there are)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to measure, and how.

    Raises:
        OptionError: a number out of its range.
    """

    data: Path
    """Folder of the validation shards."""
    protocol: str = "open"
    num_pairs: int | None = None
    """First pairs of each part only; None for all."""
    workers: int = 1
    cache: Path | None = None
    """Where descriptions of photos and results of baselines are kept; None: the user's data folder."""
    baselines: bool = True
    options: SwapOptions = field(default_factory=SwapOptions)
    """How bundles put faces back."""

    def __post_init__(self) -> None:
        if self.num_pairs is not None and self.num_pairs < 1:
            raise OptionError(f"{self.num_pairs} pairs were asked for; 1 or more was expected.")
        if self.workers < 1:
            raise OptionError(f"{self.workers} workers were asked for; 1 or more was expected.")


@dataclass(frozen=True)
class Standing:
    """One contestant's numbers."""

    entry: Entry
    parts: Mapping[str, Mapping[str, Summary]]
    """Part of the protocol -> measure -> summary."""
    rows: Mapping[str, Sequence[Measured | None]] = field(repr=False)
    """Part -> pair by pair; None where the swapper refused."""
    refusals: Mapping[str, Mapping[int, str]]
    """Part -> number of the pair -> why."""
    images: Sequence[RGBImage | None] = field(repr=False)
    """Results of the first pairs of `swap`, of bundles."""
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Everything that a report says."""

    settings: Settings
    protocol: Protocol
    complete: bool
    """Whether every pair of the protocol was measured."""
    network: str
    """Whose features the Fréchet distance compares."""
    recognisers: Mapping[str, Mapping[str, float]]
    """How well each tells the people of the validation photos apart."""
    standings: Sequence[Standing]


def evaluate(bundles: Sequence[str], settings: Settings, progress: Progress | None = None) -> Evaluation:
    """Measure bundles, and the baselines.

    Args:
        bundles: names or folders; none measures the baselines alone.
        settings: see there.
        progress: told what is done.

    Raises:
        BundleError: a bundle is missing, incomplete or altered.
        WeightsError: dlib's recogniser is not on this machine; says how to fetch it.
        DataError: the shards are missing, damaged or too few.
        OptionError: no such protocol, or nothing to measure.
    """
    tell = progress or (lambda *_: None)
    # Cheap failures first: everything that can be missing is looked for before minutes of work.
    entries = (baseline_entries() if settings.baselines else []) + bundle_entries(
        list(bundles), settings.options
    )
    if not entries:
        raise OptionError("There is nothing to measure: give a bundle, or leave the baselines in.")
    for name in ("dlib_recogniser_tfjs", "dlib_recogniser_tfjs_layout"):
        locate(find_card(name))
    photos = read_photo_set(settings.data)
    known = describe_photos(photos, settings, tell)
    whole = build_protocol(settings.protocol, photos, known)
    protocol = whole.first(settings.num_pairs)
    network = feature_network_name()
    real = [_known(known, pair.target.sha256) for pair in whole.parts["reconstruction"]]
    standings = [_measure(entry, protocol, known, real, network, settings, tell) for entry in entries]
    complete = all(len(protocol.parts[part]) == len(whole.parts[part]) for part in PARTS)
    return Evaluation(settings, protocol, complete, network, tell_apart(photos, known, whole), standings)


def describe_photos(
    photos: PhotoSet, settings: Settings, progress: Progress
) -> dict[str, Description | None]:
    """SHA-256 -> description of every photo; those that are not kept yet are made."""
    cache = DescriptionCache(settings.cache, feature_network_name())
    known = described(photos.all(), cache)
    missing = [photo for photo in photos.all() if photo.sha256 not in known]
    num_done = 0
    for count in work_through(
        Worker.describe, in_tasks(missing), workers=settings.workers, cache_folder=settings.cache
    ):
        num_done += count
        progress("photos", num_done, len(missing))
    return known | described(missing, cache)


def tell_apart(
    photos: PhotoSet, known: Mapping[str, Description | None], protocol: Protocol
) -> dict[str, dict[str, float]]:
    """How well the recognisers tell real people apart: what no swap can be expected to exceed.

    Verification at the threshold that each was published with; retrieval of each person's photo of the gallery by their
    other photo, in percent.
    """
    seen = [(photo.identity, found) for photo in photos.people if (found := known.get(photo.sha256))]
    people = [str(identity) for identity, _ in seen]
    thresholds = {"sface": math.sqrt(2 - 2 * SAME_PERSON_COSINE), "dlib": SAME_PERSON_DISTANCE}
    names = np.array(people)
    first, second = np.triu_indices(len(people), 1)
    same = names[first] == names[second]
    told: dict[str, dict[str, float]] = {}
    for name, threshold in thresholds.items():
        vectors = np.stack([getattr(found, name) for _, found in seen])
        between = distances(vectors, vectors)[first, second]
        told[name] = {
            "accuracy": verification_accuracy(vectors, people, threshold=threshold),
            "threshold_distance": threshold,
            "mean_distance_same": float(between[same].mean()),
            "mean_distance_different": float(between[~same].mean()),
        }
        gallery, others = (
            np.stack([getattr(_known(known, photo.sha256), name) for photo in group])
            for group in (protocol.gallery, protocol.other_gallery)
        )
        for depth in RETRIEVAL_DEPTHS:
            hits = retrieved_within(others, gallery, np.arange(len(gallery)), depth)
            told[name][f"top{depth}_real_photos"] = 100.0 * float(hits.mean())
    return told


def _measure(
    entry: Entry,
    protocol: Protocol,
    known: Mapping[str, Description | None],
    real: Sequence[Description],
    network: str,
    settings: Settings,
    progress: Progress,
) -> Standing:
    start = time.perf_counter()
    outcomes = {part: _swap_all(entry, part, protocol.parts[part], settings, progress) for part in PARTS}
    summaries: dict[str, dict[str, Summary]] = {}
    for part in PARTS:
        pairs = [
            (pair, one.measured)
            for pair, one in zip(protocol.parts[part], outcomes[part], strict=True)
            if one.measured is not None
        ]
        measured = [one for _, one in pairs]
        summaries[part] = summarise(measured)
        if part == "swap" and measured:
            galleries = {
                name: [_known(known, photo.sha256) for photo in gallery]
                for name, gallery in (("", protocol.gallery), ("other", protocol.other_gallery))
            }
            summaries[part] |= retrieval(measured, [pair.person for pair, _ in pairs], galleries)
            summaries[part] |= frechet(measured, real, network)
    return Standing(
        entry=entry,
        parts=summaries,
        rows={part: [one.measured for one in outcomes[part]] for part in PARTS},
        refusals={
            part: {n: one.refusal for n, one in enumerate(outcomes[part]) if one.measured is None}
            for part in PARTS
        },
        images=[one.image for one in outcomes["swap"][:SHEET_PAIRS]],
        seconds=time.perf_counter() - start,
    )


def _swap_all(
    entry: Entry, part: str, pairs: Sequence[Pair], settings: Settings, progress: Progress
) -> list[SwapOutcome]:
    tasks = []
    for group in in_tasks(enumerate(pairs)):
        shown = part == "swap" and entry.folder is not None and group[0][0] < SHEET_PAIRS
        tasks.append(SwapTask(entry, tuple((pair.source, pair.target) for _, pair in group), shown))
    outcomes: list[SwapOutcome] = []
    for answer in work_through(Worker.swap, tasks, workers=settings.workers, cache_folder=settings.cache):
        outcomes += answer
        progress(f"{entry.name}: {part}", len(outcomes), len(pairs))
    return outcomes


def _known(known: Mapping[str, Description | None], sha256: str) -> Description:
    found = known[sha256]
    if found is None:
        raise DataError("A photo without a face is part of the protocol.")
    return found
