"""Runs an evaluation by a protocol of the literature: of bundles, and of results of other methods."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from hififace import __version__
from hififace.errors import DataError, FaceError, OptionError
from hififace.evaluation.measure import Summary
from hififace.evaluation.methods import Entry, bundle_entries
from hififace.evaluation.papers.clips import Clip
from hififace.evaluation.papers.facts import ClipFacts, FactsCache, describe_frames, of_clip
from hififace.evaluation.papers.measures import PairFacts, summarise, told_apart
from hififace.evaluation.papers.networks import Networks
from hififace.evaluation.papers.pairs import PaperPair, PaperProtocol, method_clips, read_protocol
from hififace.faces.detection import YuNetDetector
from hififace.swap.engine import swap_faces
from hififace.swap.options import SwapOptions
from hififace.swapper import FaceSwapper
from hififace.types import Detection, Face, FloatArray, RGBImage
from hififace.weights.places import data_dir

SHEET_PAIRS: Final = 48

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class PaperSettings:
    """Settings of an evaluation.

    Raises:
        OptionError: a number out of its range.
    """

    data: Path
    """Root of FaceForensics++, or of the photos."""
    protocol: str = "ff++"
    pair_list: Path | None = None
    methods: Mapping[str, Path] = field(default_factory=dict)
    """Name -> folder of results of another method."""
    num_pairs: int | None = None
    """Measure only the first pairs; None measures all."""
    cache: Path | None = None
    """Cache folder for facts of clips and results; None takes the user's data folder."""
    baselines: bool = True
    """Also measure `copy`, the unchanged targets."""
    options: SwapOptions = field(default_factory=SwapOptions)
    """Swap options of bundles."""

    def __post_init__(self) -> None:
        if self.num_pairs is not None and self.num_pairs < 1:
            raise OptionError(f"{self.num_pairs} pairs were asked for; 1 or more was expected.")


@dataclass(frozen=True)
class PaperRow:
    """Figures of one method."""

    name: str
    kind: str
    """`bundle`, `method` (results of another method) or `baseline`."""
    entry: Entry | None
    measures: Mapping[str, Summary]
    refusals: Mapping[str, str]
    """Pair -> reason, where the swapper refused or frames are missing."""
    images: Sequence[tuple[RGBImage, RGBImage, RGBImage]] = field(repr=False)
    """Source, target and result of the first pairs, for bundles."""
    seconds: float


@dataclass(frozen=True)
class PaperEvaluation:
    """Content of a report."""

    settings: PaperSettings
    protocol: PaperProtocol
    complete: bool
    titles: Mapping[str, str]
    """Network -> its name in tables."""
    notes: Mapping[str, str]
    """Network -> remark on its figures."""
    hashes: Mapping[str, str]
    missing: Sequence[str]
    """Cards of networks without a file on this machine."""
    told_apart: Mapping[str, float | None]
    rows: Sequence[PaperRow]


def evaluate_papers(
    bundles: Sequence[str], settings: PaperSettings, progress: Progress | None = None
) -> PaperEvaluation:
    """Measure bundles, results of other methods, and the unchanged targets.

    Args:
        bundles: names or folders.
        settings: what to measure.
        progress: called with (stage, number done, total number).

    Raises:
        BundleError: a bundle is missing, incomplete or changed.
        WeightsError: no recogniser of the literature is on this machine, or a file is not what it should be.
        DataError: the folder does not have the publishers' layout, or results are missing.
        OptionError: no such protocol, or nothing to measure.
    """
    entries = bundle_entries(list(bundles), settings.options)
    if not entries and not settings.methods and not settings.baselines:
        raise OptionError(
            "There is nothing to measure: give a bundle, a --method, or leave the baselines in."
        )
    whole = read_protocol(settings.protocol, settings.data, settings.pair_list)
    protocol = whole.first(settings.num_pairs)
    others = {
        name: method_clips(folder, name, protocol, settings.data) for name, folder in settings.methods.items()
    }
    runner = _Runner(settings, protocol, progress or (lambda *_: None))
    rows = [runner.copy()] if settings.baselines else []
    rows += [runner.method(name, clips) for name, clips in others.items()]
    rows += [runner.bundle(entry) for entry in entries]
    networks = runner.networks
    return PaperEvaluation(
        settings=settings,
        protocol=runner.protocol,
        complete=settings.num_pairs is None,
        titles={one.name: one.title for one in networks.adapters},
        notes={one.name: one.note for one in networks.adapters if one.note},
        hashes=networks.hashes,
        missing=networks.missing,
        told_apart={
            fact.removeprefix("identity."): told_apart(runner.sources, fact)
            for fact in networks.facts
            if fact.startswith("identity.")
        },
        rows=rows,
    )


class _Runner:
    """State shared by all methods: the networks, and the facts of the real clips."""

    def __init__(self, settings: PaperSettings, protocol: PaperProtocol, tell: Progress) -> None:
        self._settings, self._tell = settings, tell
        self.networks = Networks(whole_images=protocol.whole_images)
        folder = (settings.cache or data_dir() / "evaluation") / "papers"
        self._cache = FactsCache(folder, self.networks, protocol.num_frames)
        self._stamps = {clip.name: clip.stamp() for clip in protocol.clips}
        self.real = self._describe(protocol)
        faceless = {name: "no face was found" for name, one in self.real.items() if one.first is None}
        usable = [p for p in protocol.pairs if not {p.source.name, p.target.name} & set(faceless)]
        if not usable:
            raise DataError("No pair of the protocol shows faces in both of its parts.")
        self.protocol = replace(protocol, pairs=tuple(usable), left_out={**protocol.left_out, **faceless})
        self.sources = {pair.source.name: self.real[pair.source.name] for pair in usable}

    def copy(self) -> PaperRow:
        """The unchanged targets."""
        start = time.perf_counter()
        results = {pair.name: self.real[pair.target.name] for pair in self.protocol.pairs}
        return self._row("copy", "baseline", None, results, {}, [], start)

    def method(self, name: str, clips: Mapping[str, Clip]) -> PaperRow:
        """Results of another method."""
        start, results, refusals = time.perf_counter(), {}, {}
        for number, pair in enumerate(self.protocol.pairs, 1):
            clip = clips.get(pair.name)
            if clip is None:
                refusals[pair.name] = "there is no result"
            else:
                what = f"method {clip.stamp()} {self._stamps[pair.target.name]}"
                results[pair.name] = self._kept(what, partial(self._of_clip, pair, clip))
                if len(results[pair.name].found) < len(self.real[pair.target.name].found):
                    refusals[pair.name] = "it has fewer frames than its target"
            self._tell(name, number, len(self.protocol.pairs))
        return self._row(name, "method", None, results, refusals, [], start)

    def bundle(self, entry: Entry) -> PaperRow:
        """Swap every pair as `hififace swap` does, except that no target is refused for its head pose."""
        assert entry.folder is not None
        start = time.perf_counter()
        swapper = FaceSwapper.load(entry.folder)
        options = replace(entry.options, largest_turn_deg=180.0)
        results, refusals, images = {}, {}, []
        for number, pair in enumerate(self.protocol.pairs, 1):
            key = json.dumps([__version__, entry.sha256, repr(options)])
            what = f"bundle {key} {self._stamps[pair.source.name]} {self._stamps[pair.target.name]}"
            kept = self._cache.load(what)
            if kept is None or number <= SHEET_PAIRS:
                try:
                    source, frames, swapped = self._swap(swapper, options, pair)
                except FaceError as error:
                    refusals[pair.name] = str(error)
                else:
                    if number <= SHEET_PAIRS:
                        images.append((source, frames[0], swapped[0]))
                    if kept is None:
                        kept = self._of_result(pair, swapped)
                        self._cache.save(what, kept)
            if kept is not None:
                results[pair.name] = kept
            self._tell(entry.name, number, len(self.protocol.pairs))
        return self._row(entry.name, "bundle", entry, results, refusals, images, start)

    @property
    def _num(self) -> int:
        return self.protocol.num_frames

    def _describe(self, protocol: PaperProtocol) -> dict[str, ClipFacts]:
        detector = YuNetDetector()
        found = {}
        for number, clip in enumerate(protocol.clips, 1):
            found[clip.name] = self._kept(
                f"clip {self._stamps[clip.name]} {protocol.whole_images}",
                partial(
                    of_clip,
                    clip,
                    protocol.num_frames,
                    self.networks,
                    detector,
                    portrait=protocol.whole_images,
                ),
            )
            self._tell("clips", number, len(protocol.clips))
        return found

    def _kept(self, what: str, make: Callable[[], ClipFacts]) -> ClipFacts:
        found = self._cache.load(what)
        if found is None:
            found = make()
            self._cache.save(what, found)
        return found

    def _swap(
        self, swapper: FaceSwapper, options: SwapOptions, pair: PaperPair
    ) -> tuple[RGBImage, list[RGBImage], list[RGBImage]]:
        source, target = self.real[pair.source.name], self.real[pair.target.name]
        first = source.first
        assert first is not None
        photo = pair.source.frames(self._num)[first]
        who = swapper.read_source(photo, face=Face(0, source.face(first)))
        frames = pair.target.frames(self._num)
        swapped = [
            swap_faces(swapper.engine, frame, [Face(0, target.face(place))], [who], options).pixels
            if target.found[place]
            else frame
            for place, frame in enumerate(frames)
        ]
        return photo, frames, swapped

    def _of_clip(self, pair: PaperPair, clip: Clip) -> ClipFacts:
        return self._of_result(pair, clip.frames(self._num))

    def _of_result(self, pair: PaperPair, frames: Sequence[RGBImage]) -> ClipFacts:
        """Describes a result's face at the place of its target's: a new detection could find another face, or none."""
        target = self.real[pair.target.name]
        faces = [
            _at_size(target.face(place), target.sizes_hw[place], frame) if target.found[place] else None
            for place, frame in enumerate(frames)
        ]
        return describe_frames(self.networks, frames, faces)

    def _row(
        self,
        name: str,
        kind: str,
        entry: Entry | None,
        results: Mapping[str, ClipFacts],
        refusals: Mapping[str, str],
        images: Sequence[tuple[RGBImage, RGBImage, RGBImage]],
        start: float,
    ) -> PaperRow:
        pairs = []
        for pair in self.protocol.pairs:
            if pair.name not in results or not results[pair.name].facts:
                continue
            source, target = self.real[pair.source.name], self.real[pair.target.name]
            put_in = {fact: rows[source.first] for fact, rows in source.facts.items()}
            result = results[pair.name].facts
            num = min((len(rows) for rows in result.values()), default=0)
            shown = {fact: rows[:num] for fact, rows in target.facts.items()}
            pairs.append(PairFacts(pair.source.name, put_in, shown, result))
        measures = summarise(pairs, self.sources, self.real)
        return PaperRow(name, kind, entry, measures, dict(refusals), images, time.perf_counter() - start)


def _at_size(face: Detection, size_hw: FloatArray, image: RGBImage) -> Detection:
    """A face of the target in the pixels of a result of another size."""
    scale = np.array([image.shape[1] / size_hw[1], image.shape[0] / size_hw[0]], np.float32)
    if (scale == 1).all():
        return face
    moved = (
        (one + np.float32(0.5)) * scale - np.float32(0.5) for one in (face.box.reshape(2, 2), face.points)
    )
    box, points = moved
    return Detection(box.reshape(4), face.score, points)
