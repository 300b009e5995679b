"""Runs an evaluation: describes photos, chooses pairs, measures each method's swaps, and averages."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from hififace.errors import DataError, OptionError
from hififace.evaluation.breakdown import by_group, shares_moved, skin_tones
from hififace.evaluation.description import OPEN, Asked, Description, DescriptionCache
from hififace.evaluation.features import feature_network_name
from hififace.evaluation.identity import distances, retrieved_within, verification_accuracy
from hififace.evaluation.measure import RETRIEVAL_DEPTHS, Measured, Summary, frechet, retrieval, summarise
from hififace.evaluation.methods import PERFECT, Entry, baseline_entries, bundle_entries
from hififace.evaluation.moved import ShapeModel, fit_shape_model
from hififace.evaluation.pairs import Pair, Protocol
from hififace.evaluation.photos import PhotoSet, read_photo_set
from hififace.evaluation.protocol import build_protocol
from hififace.evaluation.work import (
    SwapOutcome,
    SwapTask,
    VideoOutcome,
    VideoTask,
    Worker,
    Workforce,
    described,
    in_tasks,
)
from hififace.faces.identity import SAME_PERSON_COSINE, cosine
from hififace.models.pretrained.dlib import SAME_PERSON_DISTANCE
from hififace.swap.options import SwapOptions
from hififace.types import RGBImage
from hififace.weights.registry import find_card
from hififace.weights.store import expected_path, locate

SHEET_PAIRS: Final = 48

PARTS_OF_BOUNDS: Final = {
    **dict.fromkeys(PERFECT, ("size_100", "size_200", "size_400")),
    "paste": ("swap", "same_person", "groups", "occluded", "glasses", "reconstruction"),
}
"""Baseline -> the parts it is measured on, to save minutes; baselines not listed are measured on all parts."""

Progress = Callable[[str, int, int], None]
"""Called with (stage, number done, total number)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of an evaluation.

    Raises:
        OptionError: a number out of its range.
    """

    data: Path
    """Folder of the validation shards."""
    protocol: str = "open"
    num_pairs: int | None = None
    """Measure only the first pairs of each part; None measures all."""
    workers: int = 1
    cache: Path | None = None
    """Cache folder for descriptions of photos and results of baselines; None takes the user's data folder."""
    baselines: bool = True
    options: SwapOptions = field(default_factory=SwapOptions)
    """Swap options of bundles."""
    people: Path | None = None
    """Folder of large photos `PERSON_WHAT.jpg`: further sources and targets for `portraits`."""
    videos: tuple[Path, ...] = ()
    """Real videos: each bundle swaps their beginning, and flicker and similarity over time are measured."""
    video_s: float = 4.0
    """Duration of that beginning, in seconds."""
    parts: tuple[str, ...] = ()
    """Measure only these parts of the protocol; none given measures all."""

    def __post_init__(self) -> None:
        if self.num_pairs is not None and self.num_pairs < 1:
            raise OptionError(f"{self.num_pairs} pairs were asked for; 1 or more was expected.")
        if not self.video_s > 0:
            raise OptionError(
                f"{self.video_s} seconds of each video were asked for; more than 0 was expected."
            )
        missing = next((video for video in self.videos if not video.is_file()), None)
        if missing is not None:
            raise OptionError(f"There is no video {missing}.")
        if self.workers < 1:
            raise OptionError(f"{self.workers} workers were asked for; 1 or more was expected.")


@dataclass(frozen=True)
class MethodResult:
    """Figures of one method."""

    entry: Entry
    parts: Mapping[str, Mapping[str, Summary]]
    """Part of the protocol -> measure -> summary."""
    rows: Mapping[str, Sequence[Measured | None]] = field(repr=False)
    """Part -> measures of each pair; None where the swapper refused."""
    refusals: Mapping[str, Mapping[int, str]]
    """Part -> index of the pair -> reason."""
    images: Sequence[RGBImage | None] = field(repr=False)
    """Result images of the first pairs of `swap`, for bundles."""
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Content of a report."""

    settings: Settings
    protocol: Protocol
    complete: bool
    """Whether every pair of the protocol was measured."""
    network: str
    """Feature network of the Fréchet distance."""
    recognisers: Mapping[str, Mapping[str, float]]
    """Verification and retrieval figures of each recogniser on real photos."""
    results: Sequence[MethodResult]
    middles: Mapping[str, tuple[float, float]] = field(default_factory=dict, repr=False)
    """SHA-256 of a photo -> (x, y) centre of its face."""
    videos: Sequence[VideoOutcome] = ()
    """For each video, the outcome of each bundle."""


def evaluate(bundles: Sequence[str], settings: Settings, progress: Progress | None = None) -> Evaluation:
    """Measure bundles, and the baselines.

    Args:
        bundles: names or folders; empty measures only the baselines.
        settings: what to measure.
        progress: called with the progress.

    Raises:
        BundleError: a bundle is missing, incomplete or changed.
        WeightsError: dlib's recogniser is not on this machine; says how to fetch it.
        DataError: the shards are missing, damaged or too few.
        OptionError: no such protocol, or nothing to measure.
    """
    tell = progress or (lambda *_: None)
    # Cheap checks first, so that a missing file is an error before minutes of work.
    plain = settings.protocol == "portraits"
    entries = (baseline_entries(settings.protocol) if settings.baselines else []) + bundle_entries(
        list(bundles), settings.options, plain=plain
    )
    if not entries:
        raise OptionError("There is nothing to measure: give a bundle, or leave the baselines in.")
    asked = what_is_asked(settings.protocol)
    for name in (*asked.parts, "dlib_recogniser_tfjs_layout"):
        locate(find_card(name))
    photos = read_photo_set(settings.data, settings.protocol, settings.people)
    with Workforce(settings.workers, settings.cache, asked) as force:
        known = describe_photos(photos, settings, force, tell)
        whole = build_protocol(settings.protocol, photos, known)
        protocol = whole.first(settings.num_pairs).only(settings.parts)
        facts = Facts.of(whole, photos, known, asked)
        results = [_measure(entry, protocol, facts, force, tell) for entry in entries]
        videos = _swap_videos(entries, protocol, settings, force, tell)
    if asked.landmarks68 and settings.baselines and "swap" in protocol.parts:
        results.append(other_photo(protocol, facts))
    complete = all(len(protocol.parts.get(part, ())) == len(whole.parts[part]) for part in whole.parts)
    told = tell_apart(photos, known, whole)
    middles = {
        digest: (float(found.box[[0, 2]].mean()), float(found.box[[1, 3]].mean()))
        for digest, found in known.items()
        if found is not None
    }
    return Evaluation(settings, protocol, complete, facts.network, told, results, middles, videos)


def what_is_asked(protocol: str) -> Asked:
    """The features to describe; the second recogniser is used if its file is on this machine."""
    if protocol != "portraits":
        return OPEN
    return Asked(feature_px=256, landmarks68=True, second=expected_path(find_card("mobilefacenet")).is_file())


@dataclass(frozen=True)
class Facts:
    """Features of the real photos of a protocol, with which results are compared."""

    known: Mapping[str, Description | None]
    """SHA-256 -> description."""
    real: Sequence[Description]
    """Targets for the Fréchet distance."""
    network: str
    """Whose features it compares."""
    model: ShapeModel | None
    """None if landmarks were not computed."""
    tones: Mapping[str, str | None]
    """Identity -> group of skin tone."""

    @classmethod
    def of(
        cls, whole: Protocol, photos: PhotoSet, known: Mapping[str, Description | None], asked: Asked
    ) -> Facts:
        """Collect them for a protocol."""
        targets = whole.parts["swap"] if asked.landmarks68 else whole.parts["reconstruction"]
        digests = dict.fromkeys(pair.target.sha256 for pair in targets)
        usable = [p.sha256 for p in photos.all() if p.key not in whole.left_out]
        model = fit_shape_model([_known(known, digest) for digest in usable]) if asked.landmarks68 else None
        tones = skin_tones(photos, known) if asked.landmarks68 else {}
        real = [_known(known, digest) for digest in digests]
        return cls(known, real, feature_network_name(), model, tones)


def other_photo(protocol: Protocol, facts: Facts) -> MethodResult:
    """Identity and shape measures of another real photo of the source: upper bounds for swaps."""
    pairs = []
    for pair in protocol.parts["swap"]:
        came = _known(facts.known, pair.source.sha256)
        other = _known(facts.known, protocol.other_gallery[pair.person].sha256)
        apart = float(np.linalg.norm(other.dlib - came.dlib))
        values = {
            "dlib_source": apart,
            "dlib_same": 100.0 * (apart < SAME_PERSON_DISTANCE),
            "sface_source": cosine(other.sface, came.sface),
        }
        if not np.isnan(other.second).any():
            values["second_source"] = cosine(other.second, came.second)
        row = Measured(values, other.sface, other.dlib, other.features, other.points68, other.second)
        pairs.append((pair, row))
    found = summarise([row for _, row in pairs]) | _of_all(pairs, protocol, facts)
    return MethodResult(
        Entry("other photo"), {"swap": found}, {"swap": [row for _, row in pairs]}, {}, (), 0.0
    )


def describe_photos(
    photos: PhotoSet, settings: Settings, force: Workforce, progress: Progress
) -> dict[str, Description | None]:
    """SHA-256 -> description of every photo; those missing in the cache are computed."""
    cache = DescriptionCache(settings.cache, feature_network_name(), what_is_asked(settings.protocol))
    known = described(photos.all(), cache)
    missing = [photo for photo in photos.all() if photo.sha256 not in known]
    num_done = 0
    for count in force.work_through(Worker.describe, in_tasks(missing)):
        num_done += count
        progress("photos", num_done, len(missing))
    return known | described(missing, cache)


def tell_apart(
    photos: PhotoSet, known: Mapping[str, Description | None], protocol: Protocol
) -> dict[str, dict[str, float]]:
    """Accuracy of the recognisers on real photos, the upper bound for swaps.

    Verification at the published threshold of each, and retrieval of each person's gallery photo by their other photo,
    in percent.
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
    entry: Entry, protocol: Protocol, facts: Facts, force: Workforce, progress: Progress
) -> MethodResult:
    start = time.perf_counter()
    parts = [part for part in protocol.parts if part in PARTS_OF_BOUNDS.get(entry.name, protocol.parts)]
    outcomes = {part: _swap_all(entry, part, protocol.parts[part], force, progress) for part in parts}
    summaries: dict[str, dict[str, Summary]] = {}
    for part in parts:
        pairs = [
            (pair, one.measured)
            for pair, one in zip(protocol.parts[part], outcomes[part], strict=True)
            if one.measured is not None
        ]
        measured = [one for _, one in pairs]
        summaries[part] = summarise(measured)
        if part == "swap" and measured:
            summaries[part] |= _of_all(pairs, protocol, facts)
            summaries[part] |= frechet(measured, facts.real, facts.network)
        elif protocol.name == "portraits":
            summaries[part] |= by_group(pairs, facts.tones)
    return MethodResult(
        entry=entry,
        parts=summaries,
        rows={part: [one.measured for one in outcomes[part]] for part in parts},
        refusals={
            part: {n: one.refusal for n, one in enumerate(outcomes[part]) if one.measured is None}
            for part in parts
        },
        images=[one.image for one in outcomes["swap"][:SHEET_PAIRS]] if "swap" in outcomes else [],
        seconds=time.perf_counter() - start,
    )


def _of_all(pairs: Sequence[tuple[Pair, Measured]], protocol: Protocol, facts: Facts) -> dict[str, Summary]:
    """Measures of all pairs of `swap` at once."""
    galleries = {
        name: [_known(facts.known, photo.sha256) for photo in gallery]
        for name, gallery in (("", protocol.gallery), ("other", protocol.other_gallery))
    }
    found = retrieval([one for _, one in pairs], [pair.person for pair, _ in pairs], galleries)
    if facts.model is not None:
        found |= shares_moved(pairs, facts.known, facts.model) | by_group(pairs, facts.tones)
    return found


def _swap_all(
    entry: Entry, part: str, pairs: Sequence[Pair], force: Workforce, progress: Progress
) -> list[SwapOutcome]:
    tasks = []
    for group in in_tasks(enumerate(pairs)):
        shown = part == "swap" and entry.folder is not None and group[0][0] < SHEET_PAIRS
        tasks.append(SwapTask(entry, tuple(pair for _, pair in group), shown))
    outcomes: list[SwapOutcome] = []
    for answer in force.work_through(Worker.swap, tasks):
        outcomes += answer
        progress(f"{entry.name}: {part}", len(outcomes), len(pairs))
    return outcomes


def _swap_videos(
    entries: Sequence[Entry], protocol: Protocol, settings: Settings, force: Workforce, progress: Progress
) -> list[VideoOutcome]:
    """Swaps one source into each video, the same for every bundle."""
    tasks = [
        VideoTask(entry, video, settings.video_s, protocol.gallery[number % len(protocol.gallery)])
        for number, video in enumerate(settings.videos)
        for entry in entries
        if entry.folder is not None
    ]
    outcomes = []
    for outcome in force.work_through(Worker.swap_video, tasks):
        outcomes.append(outcome)
        progress("videos", len(outcomes), len(tasks))
    return outcomes


def _known(known: Mapping[str, Description | None], sha256: str) -> Description:
    found = known[sha256]
    if found is None:
        raise DataError("A photo without a face is part of the protocol.")
    return found
