"""A prepared set in a small file: AVIF images, compact facts, no masks.

The reader needs numpy, Pillow 11.3 or later (AVIF) and pydantic only: no OpenCV, pyarrow or PyTorch, so that it also
runs on a machine that was only lent for training. `preparation/pack.py` writes these files.

The parts of one set hold whole people and an even share of every input, so each is a smaller set of its own; opened
together they give the rows of the prepared set in their order, and therefore the same pairs.

N photos, S side of the crop, D identity vector, C coefficients, P landmarks, K principal numbers of the landmarks.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from hififace.data.face_region import OUTLINE_PX, draw_polygon, face_polygons, widen
from hififace.data.index import SetCard
from hififace.data.pack_file import LABELS, PACK_SUFFIX, Part, decompress_head, from_codes, open_part
from hififace.errors import DataError, RuntimeUnavailableError
from hififace.types import FloatArray, RGBImage


@dataclass(frozen=True)
class PackedSet:
    """A packed set, opened: everything but the decoded images is in memory as arrays.

    Use `PackedSet.open(path)`.
    """

    card: SetCard
    """Of the set as it was prepared, with the numbers of photos and people that are here."""
    keys: NDArray[Any]
    """(N,) str."""
    labels: dict[str, NDArray[Any]]
    """For each of `LABELS` (N,) str, or None where it is not known."""
    identity_codes: NDArray[np.int32]
    """(N,) number of each photo's person, -1 for photos without an identity."""
    identity: NDArray[np.float16]
    """(N, D) unit-length identity vectors."""
    coefficients: FloatArray
    """(N, C) of the crops."""
    coefficients_mirrored: FloatArray
    """(N, C) of their mirror images."""
    matrix: FloatArray
    """(N, 2, 3) photo pixels to crop pixels."""
    photo_size: FloatArray
    """(N, 2) width and height in pixels."""
    native_px: FloatArray
    """(N,) real resolution of each crop, in pixels of its side (`preparation.detail.native_px`)."""
    image_px: NDArray[np.int32]
    """(N,) side at which each image is stored; `images` enlarges it to S."""
    figures: dict[str, float]
    """What packing cost, see `preparation.pack_parts.PackReport`; of the first part's set."""
    _parts: tuple[Part, ...] = field(repr=False)
    _places: NDArray[np.int64] = field(repr=False)
    """(N, 2) part and place within it of each row."""

    @classmethod
    def open(cls, path: Path | str | Sequence[Path | str]) -> PackedSet:
        """Read and check one part, several parts, or all parts in a folder.

        Parts of one set come in the order of the prepared set; parts of several sets with equal crops and frozen
        parts one set after the other, with their people kept apart.

        Raises:
            DataError: missing, damaged, of another layout, or parts that do not belong together.
            RuntimeUnavailableError: this Pillow reads no AVIF.
        """
        _require_avif()
        paths = _part_paths(path)
        parts = tuple(open_part(one) for one in paths)
        _check_together(parts)
        return _join(parts)

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def landmark_numbers(self) -> FloatArray:
        """(N, K) principal numbers of the landmarks: landmarks = numbers @ basis + mean."""
        self._one_basis()
        numbers = [
            from_codes(part.arrays["landmark_numbers"], part.arrays["landmark_numbers_range"])
            for part in self._parts
        ]
        return np.concatenate(numbers)[self._order]

    @property
    def landmark_basis(self) -> FloatArray:
        """(K, P · 3) the directions that `landmark_numbers` counts along.

        Raises:
            DataError: parts of several sets, each with a basis of its own; use `landmarks`.
        """
        return self._one_basis().arrays["landmark_basis"].astype(np.float32)

    @property
    def landmark_mean(self) -> FloatArray:
        """(P · 3,) in crop pixels; raises as `landmark_basis`."""
        return cast("FloatArray", self._one_basis().arrays["landmark_mean"])

    def landmarks(self, rows: Iterable[int] | None = None) -> FloatArray:
        """(n, P, 3) landmarks in crop pixels, of all photos or of some rows."""
        chosen = self._rows(rows)
        num_points = len(self.card.landmark_mirror)
        points = np.empty((len(chosen), num_points, 3), np.float32)
        for number, part in enumerate(self._parts):
            here = np.flatnonzero(self._places[chosen, 0] == number)
            codes = part.arrays["landmark_numbers"][self._places[chosen[here], 1]]
            numbers = from_codes(codes, part.arrays["landmark_numbers_range"])
            flat = numbers @ part.arrays["landmark_basis"].astype(np.float32) + part.arrays["landmark_mean"]
            points[here] = flat.reshape(-1, num_points, 3)
        return points

    def image(self, row: int) -> RGBImage:
        """(S, S, 3) uint8 crop of one row, enlarged to S where it is stored smaller.

        Raises:
            DataError: it cannot be decoded.
        """
        stored, size = self.stored_image(row), self.card.resolution
        if stored.width != size:
            stored = stored.resize((size, size), Image.Resampling.LANCZOS)
        return np.asarray(stored, dtype=np.uint8)

    def images(self, rows: Iterable[int] | None = None, workers: int = 1) -> RGBImage:
        """(n, S, S, 3) uint8 crops of all photos or of some rows.

        Args:
            rows: which, in the order of the result.
            workers: threads; Pillow decodes and resizes outside Python's lock.

        Raises:
            DataError: one cannot be decoded.
        """
        chosen, size = self._rows(rows), self.card.resolution
        pixels = np.empty((len(chosen), size, size, 3), np.uint8)

        def fill(place: int) -> None:
            pixels[place] = self.image(int(chosen[place]))

        if workers <= 1:
            for place in range(len(chosen)):
                fill(place)
        else:
            with ThreadPoolExecutor(workers, thread_name_prefix="hififace-unpack") as pool:
                for _ in pool.map(fill, range(len(chosen)), chunksize=16):
                    pass
        return pixels

    def stored_image(self, row: int) -> Image.Image:
        """The crop of one row at its stored side, RGB.

        Raises:
            DataError: it cannot be decoded.
        """
        number, place = (int(value) for value in self._places[row])
        part = self._parts[number]
        side, start = int(self.image_px[row]), int(part.ends[place - 1]) if place else 0
        try:
            data = decompress_head(part.images[start : int(part.ends[place])], part.head)
            with Image.open(io.BytesIO(data), formats=("AVIF",)) as image:
                if image.size != (side, side):
                    raise ValueError(f"{image.width} x {image.height} pixels instead of {side} x {side}")
                return image.convert("RGB")
        except (
            OSError, RuntimeError, ValueError, SyntaxError, MemoryError, zlib.error, EOFError,
        ) as error:  # fmt: skip
            raise DataError(
                f"Photo {self.keys[row]} of {part.path} cannot be decoded ({error}). Copy or pack the set again."
            ) from error

    def masks(self, rows: Iterable[int] | None = None, workers: int = 1) -> NDArray[np.uint8]:
        """(n, S, S) face regions, 0 or 255, drawn from the landmarks.

        The same region as `faces.masks.region_mask(landmarks, (S, S), dilate_px=0, feather_px=0)`, which preparation
        stores, drawn without OpenCV: some pixels on the outline differ.

        Raises:
            DataError: the landmarks are no face mesh.
        """
        chosen, size = self._rows(rows), self.card.resolution
        masks = np.empty((len(chosen), size, size), np.uint8)

        def fill(start: int) -> None:
            some = chosen[start : start + 64]
            for place, corners in enumerate(self._polygons(some)):
                masks[start + place] = draw_polygon(corners, size)

        with ThreadPoolExecutor(max(workers, 1), thread_name_prefix="hififace-unpack") as pool:
            for _ in pool.map(fill, range(0, len(chosen), 64)):
                pass
        return masks

    def _polygons(self, rows: NDArray[np.int64]) -> FloatArray:
        outline = self._parts[0].header.outline
        if outline is None:
            raise DataError(
                f"{self._parts[0].path} was packed from landmarks that are no face mesh, so that masks cannot be drawn "
                f"from them. Train from the prepared set."
            )
        return widen(face_polygons(self.landmarks(rows), outline), OUTLINE_PX)

    def _rows(self, rows: Iterable[int] | None) -> NDArray[np.int64]:
        if rows is None:
            return np.arange(len(self), dtype=np.int64)
        return np.asarray(rows if isinstance(rows, np.ndarray) else list(rows), dtype=np.int64).reshape(-1)

    @property
    def _order(self) -> NDArray[np.int64]:
        """Places in the concatenated parts, by row."""
        starts = np.cumsum([0, *(part.header.num_photos for part in self._parts)])
        return starts[self._places[:, 0]] + self._places[:, 1]

    def _one_basis(self) -> Part:
        if len({part.header.set_sha256 for part in self._parts}) > 1:
            raise DataError(
                "These parts come from several prepared sets, each with a landmark basis of its own. "
                "Use landmarks(), or open each set by itself."
            )
        return self._parts[0]


# ---- Opening.


def _require_avif() -> None:
    if not features.check("avif"):
        raise RuntimeUnavailableError(
            "This Pillow reads no AVIF, in which packed sets keep their images. Run `pip install 'pillow>=11.3'`."
        )


def _part_paths(path: Path | str | Sequence[Path | str]) -> list[Path]:
    if isinstance(path, (str, Path)):
        one = Path(path)
        paths = sorted(one.glob(f"*{PACK_SUFFIX}")) if one.is_dir() else [one]
    else:
        paths = [Path(each) for each in path]
    if not paths:
        raise DataError(f"{path} holds no packed set (*{PACK_SUFFIX}). Make one with `hififace pack`.")
    return paths


def _check_together(parts: Sequence[Part]) -> None:
    first = parts[0]
    seen: dict[tuple[str, int], Path] = {}
    for part in parts:
        name = (part.header.set_sha256, part.header.part)
        if name in seen:
            raise DataError(f"{part.path} and {seen[name]} hold the same photos. Give each part once.")
        seen[name] = part.path
        one, two = _crops_of(first.header.card), _crops_of(part.header.card)
        differing = [field_name for field_name in one if one[field_name] != two[field_name]]
        if differing:
            raise DataError(
                f"{first.path} and {part.path} cannot be used together: they differ in {', '.join(differing)}. "
                f"Prepare both with the same options and the same version."
            )
        counts = part.header.num_parts, first.header.num_parts
        if part.header.set_sha256 == first.header.set_sha256 and counts[0] != counts[1]:
            raise DataError(
                f"{first.path} is one of {counts[1]} parts and {part.path} one of {counts[0]}, of the same set. "
                f"Use the parts of one packing."
            )


def _crops_of(card: SetCard) -> dict[str, Any]:
    """What must be equal for crops of two sets to be used together."""
    names = ("family", "template", "resolution", "coefficients", "identity_embedder", "identity_size")
    return {name: getattr(card, name) for name in (*names, "landmark_mirror", "parts")}


def _join(parts: tuple[Part, ...]) -> PackedSet:
    sets = list(dict.fromkeys(part.header.set_sha256 for part in parts))
    order_of_set = np.concatenate(
        [np.full(part.header.num_photos, sets.index(part.header.set_sha256)) for part in parts]
    )
    rows = _all(parts, "rows")
    order = np.lexsort((rows, order_of_set))
    if len(np.unique(np.stack([order_of_set, rows]), axis=1).T) != len(rows):
        raise DataError(f"{parts[0].path} is damaged: a photo is there twice. Pack the set again.")
    places = np.concatenate(
        [
            np.stack([np.full(part.header.num_photos, number), np.arange(part.header.num_photos)], axis=1)
            for number, part in enumerate(parts)
        ]
    ).astype(np.int64)[order]
    labels = {label: _label(parts, label, sets)[order] for label in LABELS}
    codes = codes_of(labels["identity"])
    card = parts[0].header.card.model_copy(
        update={"num_photos": len(rows), "num_identities": int(codes.max(initial=-1)) + 1}
    )
    return PackedSet(
        card=card,
        keys=np.concatenate([np.array(part.header.keys, dtype=object) for part in parts])[order],
        labels=labels,
        identity_codes=codes,
        identity=_all(parts, "identity")[order],
        coefficients=_decoded(parts, "coefficients")[order],
        coefficients_mirrored=_decoded(parts, "coefficients_mirrored")[order],
        matrix=_all(parts, "matrix")[order],
        photo_size=_all(parts, "photo_size")[order],
        native_px=_all(parts, "native_px")[order],
        image_px=_all(parts, "image_px")[order].astype(np.int32),
        figures=dict(parts[0].header.figures),
        _parts=parts,
        _places=places,
    )


def codes_of(names: NDArray[Any]) -> NDArray[np.int32]:
    """(N,) number of each name in alphabetical order, -1 for None."""
    known = np.array([name is not None for name in names], dtype=bool)
    codes = np.full(len(names), -1, dtype=np.int32)
    if known.any():
        codes[known] = np.unique(names[known].astype(str), return_inverse=True)[1]
    return codes


def _all(parts: Sequence[Part], name: str) -> NDArray[Any]:
    return np.concatenate([part.arrays[name] for part in parts])


def _decoded(parts: Sequence[Part], name: str) -> FloatArray:
    return np.concatenate([from_codes(part.arrays[name], part.arrays[f"{name}_range"]) for part in parts])


def _label(parts: Sequence[Part], label: str, sets: Sequence[str]) -> NDArray[Any]:
    """(N,) names; people of several sets are kept apart by the set's number."""
    found: list[NDArray[Any]] = []
    for part in parts:
        number = sets.index(part.header.set_sha256)
        before = f"{number}:" if label == "identity" and len(sets) > 1 else ""
        names = np.array([*(before + name for name in part.header.labels[label]), None], dtype=object)
        found.append(names[part.arrays[f"{label}_code"]])
    return np.concatenate(found)
