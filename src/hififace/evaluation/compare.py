"""Compares two or more bundles on the user's pairs: a contact sheet and a table.

Needs no downloads: SFace, the face mesh and the irises measure similarity to the source and the attributes kept of the
target. A protocol (`run.py`) has more measures, and enough pairs for differences to be significant.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.errors import DataError, FaceError, OptionError
from hififace.evaluation.metrics import eye_opening_error, gaze_error_deg, mouth_opening_error, pose_error_deg
from hififace.faces.identity import SFaceEmbedder, cosine
from hififace.faces.landmarks import FaceMeshLandmarker, IrisLocator
from hififace.media.image import SUFFIX_FORMATS, LoadedImage, read_image
from hififace.swap.options import SwapOptions
from hififace.swapper import FaceSwapper
from hififace.types import Detection, Face, FloatArray, RGBImage

TILE_PX: Final = 320
CONTEXT: Final = 2.0
"""Side of a tile over the side of its face box."""

MEASURES: Final = {
    "likeness": "SFace cosine to the source",
    "leak": "SFace cosine to the target",
    "pose": "pose error, degrees",
    "gaze": "gaze error, degrees",
    "lids": "difference of the lids' opening, eye widths",
    "lips": "difference of the lips' opening, eye distances",
    "ms": "milliseconds a face, alignment to blending",
}

Progress = Callable[[int, int], None]


class PhotoPair(NamedTuple):
    """Source and target of one swap."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Comparison:
    """Figures and images of a comparison."""

    names: tuple[str, ...]
    """Names of the bundles; equal names are numbered."""
    pairs: tuple[PhotoPair, ...]
    values: dict[str, NDArray[np.float64]]
    """Measure -> (pairs, bundles); NaN where a swap was refused."""
    refusals: dict[str, str]
    """Photo -> reason."""
    tiles: list[list[RGBImage]] = field(repr=False)
    """Source, target and each result of every pair that was swapped."""


def read_pairs(where: Path) -> list[PhotoPair]:
    """Pairs from a file or a folder.

    Args:
        where: a text or CSV file with a source and a target on each line (paths relative to the file; commas, tabs or
            spaces between them), or a folder with `sources` and `targets`, whose photos are paired in the order of
            their names; the shorter list is repeated.

    Raises:
        DataError: neither a list nor such a folder, a line that cannot be parsed, or a missing photo.
    """
    pairs = _of_folder(where) if where.is_dir() else _of_file(where)
    missing = next((path for pair in pairs for path in pair if not path.is_file()), None)
    if missing is not None:
        raise DataError(f"There is no photo {missing}, which {where} names.")
    return pairs


def compare(
    bundles: Sequence[str],
    pairs: Sequence[PhotoPair],
    options: SwapOptions | None = None,
    *,
    providers: Sequence[str] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Swap every pair with every bundle, with the same largest face of each photo.

    Args:
        bundles: names or folders.
        pairs: what to swap.
        options: of the swap.
        providers: see `FaceSwapper.load`.
        threads: likewise.
        progress: called with (pairs done, pairs in all).

    Raises:
        BundleError: a bundle is missing or damaged.
        OptionError: no bundle or no pair.
        ImageError: a photo that cannot be read.
    """
    if not bundles or not pairs:
        raise OptionError(
            f"{len(bundles)} bundles and {len(pairs)} pairs were given; at least one of each is needed."
        )
    swappers = [FaceSwapper.load(name, providers=providers, threads=threads) for name in bundles]
    bench = _Bench(swappers, options or SwapOptions(), threads)
    rows: list[list[dict[str, float]]] = []
    for number, pair in enumerate(pairs, 1):
        rows.append(bench.swap(pair))
        if progress is not None:
            progress(number, len(pairs))
    values = {
        name: np.array([[one.get(name, math.nan) for one in row] for row in rows], np.float64)
        for name in MEASURES
    }
    return Comparison(_names(swappers), tuple(pairs), values, bench.refusals, bench.tiles)


def to_markdown(found: Comparison) -> str:
    """A Markdown table, a row per measure and a column per bundle: means over the pairs that all bundles swapped."""
    whole = ~np.isnan(found.values["likeness"]).any(axis=1)
    lines = [f"{int(whole.sum())} of {len(found.pairs)} pairs, swapped by every bundle.", ""]
    lines += ["| measure | " + " | ".join(found.names) + " |", "|---|" + "---:|" * len(found.names)]
    for name, title in MEASURES.items():
        told = found.values[name][whole]
        digits = 0 if name == "ms" else 1 if "degrees" in title else 3
        # Undefined values, such as the gaze of closed eyes, are left out of the mean.
        cells = [
            f"{np.nanmean(column):.{digits}f}" if np.isfinite(column).any() else "n/a" for column in told.T
        ]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += [f"\nRefused: {photo}: {why}" for photo, why in found.refusals.items()]
    return "\n".join(lines) + "\n"


def sheet(found: Comparison) -> RGBImage:
    """Contact sheet with a row per pair: source, target, result of each bundle, cropped around the face.

    Raises:
        DataError: no pair was swapped.
    """
    if not found.tiles:
        why = "; ".join(f"{photo}: {reason}" for photo, reason in found.refusals.items())
        raise DataError(f"No pair was swapped ({why}).")
    return np.concatenate([np.concatenate(row, axis=1) for row in found.tiles])


class _Bench:
    """The bundles, and the networks that measure their results."""

    def __init__(self, swappers: Sequence[FaceSwapper], options: SwapOptions, threads: int | None) -> None:
        self._swappers = swappers
        self._options = replace(options, largest_turn_deg=180.0)
        self._mesh = FaceMeshLandmarker(threads=threads)
        self._iris = IrisLocator(threads=threads)
        self._sface = SFaceEmbedder(threads=threads)
        self.refusals: dict[str, str] = {}
        self.tiles: list[list[RGBImage]] = []

    def swap(self, pair: PhotoPair) -> list[dict[str, float]]:
        """Figures of each bundle; empty where it refused."""
        source, target = read_image(pair.source), read_image(pair.target)
        faces = [self._largest(one, path) for one, path in zip((source, target), pair, strict=True)]
        if faces[0] is None or faces[1] is None:
            return [{} for _ in self._swappers]
        person, face = faces[0].detection, faces[1].detection
        before, identity = (
            self._describe(target.pixels, face),
            self._sface.embed(source.pixels, person.points),
        )
        tiles, rows = [_tile(source.pixels, person), _tile(target.pixels, face)], []
        for swapper in self._swappers:
            try:
                who = swapper.read_source(source.pixels, face=faces[0])
                result = swapper.swap(target, self._options, sources=who, faces=[faces[1]])
            except FaceError as error:
                self.refusals[str(pair.source)] = str(error)
                return [{} for _ in self._swappers]
            after = self._describe(result.pixels, face)
            tiles.append(_tile(result.pixels, face))
            rows.append(
                {
                    "likeness": cosine(after[2], identity),
                    "leak": cosine(after[2], before[2]),
                    "pose": pose_error_deg(after[0], before[0]),
                    "gaze": gaze_error_deg(after[:2], before[:2]),
                    "lids": eye_opening_error(after[0], before[0]),
                    "lips": mouth_opening_error(after[0], before[0]),
                    "ms": float(sum(ms for stage, ms in result.timings_ms.items() if stage in _STAGES)),
                }
            )
        self.tiles.append(tiles)
        return rows

    def _largest(self, image: LoadedImage, path: Path) -> Face | None:
        found = self._swappers[0].find_faces(image)
        if not found:
            self.refusals[str(path)] = "no face was found"
            return None
        return replace(max(found, key=lambda face: face.detection.size_px), index=0)

    def _describe(self, image: RGBImage, face: Detection) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mesh, irises and identity embedding of a detected face."""
        mesh = self._mesh.locate(image, face)
        irises = np.asarray(self._iris.locate(image, mesh), np.float32)
        return mesh.points, irises, self._sface.embed(image, face.points)


_STAGES: Final = ("align", "encode", "generate", "paste")


def _tile(image: RGBImage, face: Detection) -> RGBImage:
    """(320, 320, 3) crop around the face, white outside the image."""
    side = CONTEXT * max(face.size_px, 1.0)
    scale = TILE_PX / side
    left, top = (float(v) - side / 2 for v in (face.box[:2] + face.box[2:]) / 2)
    matrix = np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    white = (255.0, 255.0, 255.0)
    return np.asarray(
        cv2.warpAffine(image, matrix, (TILE_PX, TILE_PX), flags=method, borderValue=white), np.uint8
    )


def _names(swappers: Sequence[FaceSwapper]) -> tuple[str, ...]:
    names = [f"{one.bundle.name} {one.bundle.version}" for one in swappers]
    return tuple(
        name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names, 1)
    )


def _of_folder(folder: Path) -> list[PhotoPair]:
    sources, targets = (
        sorted(p for p in (folder / name).glob("*") if p.suffix.lower() in SUFFIX_FORMATS)
        for name in ("sources", "targets")
    )
    if not sources or not targets:
        raise DataError(
            f"{folder} has {len(sources)} photos in sources/ and {len(targets)} in targets/; one of each was expected."
        )
    count = max(len(sources), len(targets))
    return [PhotoPair(sources[i % len(sources)], targets[i % len(targets)]) for i in range(count)]


def _of_file(path: Path) -> list[PhotoPair]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The list of pairs {path} cannot be read: {error}.") from error
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#") or line.strip().lower() == "source,target":
            continue
        delimiter = next((mark for mark in (",", "\t") if mark in line), " ")
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter)) if cell.strip()]
        if len(cells) != 2:
            raise DataError(f"Line {number} of {path} is {line!r}; a source and a target were expected.")
        pairs.append(PhotoPair(*(path.parent / cell for cell in cells)))
    if not pairs:
        raise DataError(f"{path} names no pair; a source and a target on each line were expected.")
    return pairs
