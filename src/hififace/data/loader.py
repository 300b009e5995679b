"""Batches of pairs, ready for the training step: decoded by a few threads, a few batches ahead.

Batch k of a run that started at image s holds pairs s + k·G to s + (k+1)·G − 1, where G is the batch over
all ranks; rank r takes the r-th stretch of it. So the pairs depend only on the seed and on how many images
came before: a resumed run, or one on another number of ranks, sees the same images in the same order.

B batch, S side of the crop, D identity vector, C coefficients, P landmarks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Literal, NamedTuple, cast, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from hififace.data.augment import (
    AugmentOptions,
    Change,
    draw_change,
    mirror_landmarks,
    recolour,
    valid_region,
)
from hififace.data.index import PreparedSet
from hififace.data.pairs import PairSampler
from hififace.data.shards import MEMBERS, unpack_arrays
from hififace.errors import DataError, OptionError
from hififace.types import FloatArray, RGBImage

CacheKind = Literal["none", "compressed", "decoded"]


class CropBatch(NamedTuple):
    """Crops and what the frozen networks say about them."""

    image: torch.Tensor
    """(B, 3, S, S) RGB 0..1."""
    mask: torch.Tensor
    """(B, 1, S, S) face region, 0..1, undilated."""
    valid: torch.Tensor
    """(B, 1, S, S) 1 where the crop shows the photo, 0 where it shows padding."""
    identity: torch.Tensor
    """(B, D) unit-length identity vectors of the photos."""
    coefficients: torch.Tensor
    """(B, C) shape coefficients, laid out as `SetCard.coefficients` says."""
    landmarks: torch.Tensor
    """(B, P, 3) in crop pixels."""

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> CropBatch:
        """The same change to every part, such as another device or fewer rows."""
        return CropBatch(*map(change, self))


class PairBatch(NamedTuple):
    """Sources and targets."""

    source: CropBatch
    target: CropBatch
    same: torch.Tensor
    """(B,) 1 where both show the same person, else 0; float32."""

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> PairBatch:
        """The same change to every part of both sides."""
        return PairBatch(self.source.map(change), self.target.map(change), change(self.same))

    def to_device(self, device: torch.device) -> PairBatch:
        """The batch on the device; copies overlap with work where the memory is pinned."""
        return self.map(lambda part: part.to(device, non_blocking=True))


class Crop(NamedTuple):
    """One photo of a set, as numpy arrays."""

    image: RGBImage
    """(S, S, 3) uint8."""
    mask: NDArray[np.uint8]
    """(S, S) 0..255."""
    valid: NDArray[np.uint8]
    """(S, S) 0 or 1."""
    identity: FloatArray
    coefficients: FloatArray
    landmarks: FloatArray


class CropReader:
    """Reads single photos of a prepared set; safe to share between threads.

    Args:
        prepared: the set.
        cache: "none" reads the disk every time; "compressed" keeps the files' bytes in memory once they
            were read (about 20 KB per photo at 128 px); "decoded" keeps pixels (about 75 KB).
    """

    def __init__(self, prepared: PreparedSet, cache: CacheKind = "compressed") -> None:
        if cache not in get_args(CacheKind):
            raise OptionError(f"cache is {cache!r}; one of {', '.join(get_args(CacheKind))} was expected.")
        self.prepared = prepared
        self.cache = cache
        self.mirror = np.asarray(prepared.card.landmark_mirror, dtype=np.int64)
        # Keyed by row. Two threads may fill the same entry at once; they write equal values.
        self._stretches: dict[int, bytes] = {}
        self._decoded: dict[int, tuple[RGBImage, NDArray[np.uint8]]] = {}
        self._valid: dict[int, NDArray[np.uint8]] = {}

    def read(self, row: int, change: Change = Change(False, None)) -> Crop:  # noqa: B008 - an immutable default
        """One photo, changed as `change` says, and what is known about it, changed along.

        Raises:
            DataError: its files are missing or damaged.
        """
        image, mask, arrays = self._load(row)
        size = self.prepared.card.resolution
        landmarks = arrays["landmarks"]
        coefficients = arrays["coefficients_mirrored" if change.mirror else "coefficients"]
        if change.mirror:
            image, mask = _flip(image), _flip(mask)
            landmarks = mirror_landmarks(landmarks, self.mirror, size)
        if change.colour is not None:
            image = recolour(image, change.colour)
        valid = self._valid_region(row, arrays, size)
        if change.mirror:
            valid = _flip(valid)
        return Crop(image, mask, valid, arrays["identity"], coefficients, landmarks)

    def _valid_region(self, row: int, arrays: dict[str, NDArray[Any]], size: int) -> NDArray[np.uint8]:
        """Of the crop as it is; kept as bits (2 KB at 128 px), as computing it is half of a crop's work."""
        bits = self._valid.get(row)
        if bits is not None:
            return np.unpackbits(bits, count=size * size).reshape(size, size)
        valid = valid_region(arrays["matrix"], arrays["photo_size"], size)
        if self.cache != "none":
            self._valid[row] = np.packbits(valid)
        return valid

    def _load(self, row: int) -> tuple[RGBImage, NDArray[np.uint8], dict[str, NDArray[Any]]]:
        shard, stretch, places = self.prepared.span(row)
        data = self._stretches.get(row)
        if data is None:
            data = self.prepared.reader.read(shard, stretch.offset, stretch.size)
            if self.cache != "none":
                self._stretches[row] = data
        files = {
            ending: data[place.offset : place.offset + place.size]
            for ending, place in zip(MEMBERS, places, strict=True)
        }
        arrays = unpack_arrays(files["npz"])
        pixels = self._decoded.get(row)
        if pixels is None:
            pixels = self._decode(row, files)
            if self.cache == "decoded":
                self._decoded[row] = pixels
        return *pixels, arrays

    def _decode(self, row: int, files: dict[str, bytes]) -> tuple[RGBImage, NDArray[np.uint8]]:
        # OpenCV decodes outside Python's lock; IMREAD_COLOR_RGB spares the turn from BGR.
        image = cv2.imdecode(np.frombuffer(files["jpg"], np.uint8), cv2.IMREAD_COLOR_RGB)
        mask = cv2.imdecode(np.frombuffer(files["mask.png"], np.uint8), cv2.IMREAD_GRAYSCALE)
        size = self.prepared.card.resolution
        if image is None or mask is None or image.shape != (size, size, 3) or mask.shape != (size, size):
            raise DataError(
                f"Photo {self.prepared.columns['key'][row]} of {self.prepared.folder} cannot be decoded to a "
                f"{size} x {size} crop and its mask; the shard is damaged. Copy or prepare the set again."
            )
        return cast("RGBImage", image), cast("NDArray[np.uint8]", mask)


class BatchLoader:
    """Endless batches of pairs from any image number on.

    Iterating twice starts twice at `start_image`. Leaving a loop early stops the threads.

    Args:
        prepared: the set.
        seed: of pairs and augmentation.
        batch_size: pairs per batch on this rank; all ranks together see `batch_size · world_size`.
        start_image: number of the first pair, over all ranks.
        rank: this rank, from 0.
        world_size: number of ranks.
        same_rate: probability that a pair shows one person.
        min_native_px: real resolution that a target needs, pixels of the crop's side; other photos are sources only.
        augment: how much may change.
        workers: threads that read and decode; 0 does it in the calling thread.
        prefetch: batches made ahead at most; bounds the memory.
        cache: what stays in memory, see `CropReader`.
        pin_memory: page-locked tensors, for faster copies to a GPU.

    Raises:
        OptionError: a number out of range.
        DataError: no photo may be a target, or the set does not know real resolutions.
    """

    def __init__(
        self,
        prepared: PreparedSet,
        *,
        seed: int,
        batch_size: int,
        start_image: int = 0,
        rank: int = 0,
        world_size: int = 1,
        same_rate: float = 0.5,
        min_native_px: float = 0.0,
        augment: AugmentOptions = AugmentOptions(),  # noqa: B008 - frozen
        workers: int = 2,
        prefetch: int = 4,
        cache: CacheKind = "compressed",
        pin_memory: bool = False,
    ) -> None:
        if batch_size < 1 or start_image < 0 or workers < 0 or prefetch < 1 or not 0 <= rank < world_size:
            raise OptionError(
                f"A loader needs batch_size >= 1, start_image >= 0, workers >= 0, prefetch >= 1 and "
                f"0 <= rank < world_size; it got {batch_size}, {start_image}, {workers}, {prefetch}, "
                f"rank {rank} of {world_size}."
            )
        self.sampler = PairSampler(
            prepared.identity_codes, seed, same_rate, _targets(prepared, min_native_px)
        )
        self.reader = CropReader(prepared, cache)
        self.prepared = prepared
        self.seed = seed
        self.batch_size = batch_size
        self.start_image = start_image
        self.rank = rank
        self.world_size = world_size
        self.augment = augment
        self.workers = workers
        self.prefetch = prefetch
        self.pin_memory = pin_memory

    @property
    def global_batch_size(self) -> int:
        """Pairs per batch over all ranks."""
        return self.batch_size * self.world_size

    def numbers(self, batch: int) -> range:
        """The numbers of the pairs that this rank gets in its batch `batch` (from 0)."""
        first = self.start_image + batch * self.global_batch_size + self.rank * self.batch_size
        return range(first, first + self.batch_size)

    def batch(self, batch: int) -> PairBatch:
        """Batch `batch`, made in the calling thread."""
        return self.collect(self.numbers(batch))

    def collect(self, numbers: range) -> PairBatch:
        """The pairs of these numbers as one batch: for previews and tests as well.

        Raises:
            DataError: a photo is missing or damaged.
        """
        sources, targets, same = [], [], []
        for number in numbers:
            pair = self.sampler.pair(number)
            change = draw_change(self.augment, self.seed, number)
            sources.append(self.reader.read(pair.source, change.source))
            targets.append(self.reader.read(pair.target, change.target))
            same.append(float(pair.same))
        result = PairBatch(stack(sources), stack(targets), torch.tensor(same, dtype=torch.float32))
        return result.map(torch.Tensor.pin_memory) if self.pin_memory else result

    def __iter__(self) -> Generator[PairBatch, None, None]:
        if self.workers == 0:
            number = 0
            while True:
                yield self.batch(number)
                number += 1
        waiting: deque[Future[PairBatch]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="hififace-loader")
        try:
            for number in range(self.prefetch):
                waiting.append(pool.submit(self.batch, number))
            next_number = self.prefetch
            while True:
                result = waiting.popleft().result()
                waiting.append(pool.submit(self.batch, next_number))
                next_number += 1
                yield result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _targets(prepared: PreparedSet, min_native_px: float) -> NDArray[np.int64] | None:
    """Rows whose photos have the pixels; None where all may be targets."""
    if min_native_px <= 0:
        return None
    if np.isnan(prepared.native_px).any():
        raise DataError(
            f"{prepared.folder} does not say how many pixels its photos really have: an older version prepared it. "
            "Prepare it again, or leave data.min_native_px at 0."
        )
    return np.flatnonzero(prepared.native_px >= min_native_px)


def _flip(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cast("NDArray[np.uint8]", cv2.flip(pixels, 1))


_TO_UNIT: Final = 1.0 / 255.0


def stack(crops: list[Crop]) -> CropBatch:
    """Single photos to tensors: pixels from 0..255 to 0..1."""
    images = torch.from_numpy(np.stack([crop.image for crop in crops]))  # (B, S, S, 3) uint8
    masks = torch.from_numpy(np.stack([crop.mask for crop in crops])[:, None])  # (B, 1, S, S) uint8
    valid = torch.from_numpy(np.stack([crop.valid for crop in crops])[:, None])
    return CropBatch(
        image=images.permute(0, 3, 1, 2).contiguous().float().mul_(_TO_UNIT),
        mask=masks.float().mul_(_TO_UNIT),
        valid=valid.float(),
        identity=_floats([crop.identity for crop in crops]),
        coefficients=_floats([crop.coefficients for crop in crops]),
        landmarks=_floats([crop.landmarks for crop in crops]),
    )


def _floats(arrays: list[FloatArray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32, copy=False))
