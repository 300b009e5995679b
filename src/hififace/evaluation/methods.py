"""The methods that are evaluated: bundles and baselines."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hififace.evaluation.baselines import copy_target, paste_source
from hififace.evaluation.description import Description
from hififace.evaluation.sharpness import PERFECT_SIDES_PX, perfect
from hififace.faces.alignment import invert, warp
from hififace.faces.shape_warp import warped
from hififace.swap.engine import paste_faces, swap_faces
from hififace.swap.options import SwapOptions
from hififace.swap.source_map import Source, SourceMap
from hififace.swap.sources import FaceChoice
from hififace.swapper import FaceSwapper
from hififace.types import Face, FloatArray, RGBImage
from hififace.video.options import VideoOptions
from hififace.weights.bundle import MANIFEST_NAME, load_bundle

BASELINES: Final = ("copy", "paste")
PERFECT: Final = {f"perfect_{side}": side for side in PERFECT_SIDES_PX}
"""Name -> side of a network that reproduces its target perfectly; used for sharpness alone."""


class Subject(NamedTuple):
    """A photo and the description of its face."""

    sha256: str
    pixels: RGBImage
    face: Description
    drawn: NDArray[np.bool_] | None = None
    """(H, W) where an occluder was drawn over the face; None without one."""


class Swapped(NamedTuple):
    """A result."""

    image: RGBImage
    """(H, W, 3); the target's own array where nothing was changed."""
    mask: FloatArray
    """(H, W) 0..1: weight of the generated face."""
    plain: RGBImage | None = None
    """The result with `--detail 0`, if it was requested."""


class Method(Protocol):
    """Swaps a face."""

    def swap(self, source: Subject, target: Subject) -> Swapped:
        """Put the source's face into the target."""


@dataclass(frozen=True)
class Entry:
    """A method by name: small and picklable, to be opened in the process that uses it."""

    name: str
    """Unique among those of one report."""
    folder: Path | None = None
    """Folder of a bundle; None for a baseline."""
    version: str = ""
    sha256: str = ""
    """Hash of the bundle's `model.json`, which holds the hashes of all other files."""
    details: dict[str, str] = field(default_factory=dict)
    options: SwapOptions = field(default_factory=SwapOptions)
    """Swap options of a bundle."""
    plain: bool = False
    """Whether results without detail transfer are made too."""

    def open(self) -> Method:
        """Load the method.

        Raises:
            BundleError: the bundle was changed or is damaged.
        """
        if self.folder is None:
            return _Baseline(self.name)
        return BundleMethod(self.folder, self.options, plain=self.plain)


def baseline_entries(protocol: str = "open") -> list[Entry]:
    """The baselines of a protocol; those of `portraits` include perfect networks."""
    return [Entry(name) for name in (*BASELINES, *(PERFECT if protocol == "portraits" else ()))]


def bundle_entries(
    names: list[str], options: SwapOptions | None = None, *, plain: bool = False
) -> list[Entry]:
    """Entries of verified bundles; equal names get the version appended, or else a number.

    Args:
        names: names or folders.
        options: of the swaps; None takes the defaults.
        plain: make results without detail transfer too.

    Raises:
        BundleError: one is missing, incomplete or changed.
    """
    bundles = [load_bundle(name) for name in names]
    entries: list[Entry] = []
    for place, bundle in enumerate(bundles):
        taken = [entry.name for entry in entries] + list(BASELINES)
        name = bundle.name
        if [b.name for b in bundles].count(name) > 1 or name in taken:
            name = f"{bundle.name}-{bundle.version}"
        if name in taken:
            name = f"{name}-{place + 1}"
        digest = hashlib.sha256((bundle.folder / MANIFEST_NAME).read_bytes()).hexdigest()
        details = {
            "licence": bundle.licence,
            "training_data": bundle.training_data,
            "made_by": bundle.made_by,
        }
        entries.append(
            Entry(name, bundle.folder, bundle.version, digest, details, options or SwapOptions(), plain)
        )
    return entries


class BundleMethod:
    """A bundle with the behaviour of `hififace swap`, except that no target is refused for its head pose.

    Args:
        folder: of the bundle.
        options: of the swaps.
        plain: make results without detail transfer too.
        num_sources: size of the cache of sources, which are used several times.
    """

    def __init__(
        self, folder: Path, options: SwapOptions, *, plain: bool = False, num_sources: int = 256
    ) -> None:
        self._swapper = FaceSwapper.load(folder, providers=["cpu"], threads=1)
        self._options = replace(options, largest_turn_deg=180.0)
        self._sources: OrderedDict[str, Source] = OrderedDict()
        self._num_sources = num_sources
        self._plain = plain

    def swap(self, source: Subject, target: Subject) -> Swapped:
        """Put the source's face into the target.

        Raises:
            FaceError: the swapper refuses the source.
        """
        engine, face = self._swapper.engine, target.face.face()
        swapped = swap_faces(engine, target.pixels, [face], [self._source(source)], self._options)
        (pasted,) = swapped.faces
        height, width = target.pixels.shape[:2]
        mask = np.asarray(warp(pasted.mask, invert(pasted.generated.matrix), (width, height)), np.float32)
        without = None
        if self._plain and self._options.detail > 0:
            base = warped(target.pixels, [pasted.generated.target.warp])
            without = paste_faces(engine, base, [pasted.generated], replace(self._options, detail=0.0))[0]
        return Swapped(swapped.pixels, np.clip(mask, 0.0, 1.0), without)

    def swap_video(self, source: Subject, video: Path, output: Path, seconds: float) -> None:
        """Swap the beginning of a video as `hififace swap` would.

        Raises:
            VideoError: it cannot be read.
            FaceError: nothing in it can be swapped.
        """
        sources = SourceMap(default=self._source(source))
        options = VideoOptions(preview_s=seconds)
        self._swapper.swap_video(video, output, self._options, options, sources=sources)

    def _source(self, source: Subject) -> Source:
        if source.sha256 not in self._sources:
            # Detection and embedding would only repeat the description's.
            same = self._swapper.bundle.detector == "yunet"
            face: FaceChoice | Face = source.face.face() if same else "largest"
            self._sources[source.sha256] = self._swapper.read_source(source.pixels, face=face)
            if len(self._sources) > self._num_sources:
                self._sources.popitem(last=False)
        return self._sources[source.sha256]


class _Baseline:
    """`copy`, `paste`, or a perfect network."""

    def __init__(self, name: str) -> None:
        self._name = name

    def swap(self, source: Subject, target: Subject) -> Swapped:
        """Apply the baseline."""
        if self._name == "copy":
            return Swapped(*copy_target(target.pixels))
        if self._name in PERFECT:
            side = PERFECT[self._name]
            return Swapped(*perfect(target.pixels, target.face.points5, target.face.mesh, side))
        return Swapped(*paste_source(source.pixels, source.face.mesh, target.pixels, target.face.mesh))
