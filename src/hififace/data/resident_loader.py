"""Batches out of a set that lies on the training device: the pairs, mirror images and colours of `data/loader.py`.

Pair numbers mean the same as there, so a run may go on with the other loader. Only a few numbers a pair are drawn on
the host; pixels and facts are gathered, mirrored and recoloured on the device.

Letters: B pairs, S side of the crop.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import numpy as np
import torch
from torch import Tensor

from hififace.data.augment import draw_change
from hififace.data.index import PreparedSet
from hififace.data.loader import BatchLoader, CropBatch, PairBatch
from hififace.data.resident import ResidentSet

_SHARE_OF_MEMORY: Final = 0.5
"""Of a GPU's free memory that a set may take."""
_FACT_BYTES: Final = 12_000
"""Of one photo, at most: landmarks, coefficients, identity, matrix."""


def fits(photos: PreparedSet, device: torch.device) -> bool:
    """Whether a set is small enough to lie on the device; never on a CPU, whose loader costs the same memory anyway."""
    if device.type != "cuda":
        return False
    side = photos.card.resolution
    free, _ = torch.cuda.mem_get_info(device)
    return len(photos) * (4 * side * side + _FACT_BYTES) <= _SHARE_OF_MEMORY * free


class ResidentLoader:
    """Gives the batches of a `BatchLoader`, on the device.

    Args:
        data: the same photos, in the same order.
        loader: says which pairs, and how they are changed; none of its batches are made.
    """

    def __init__(self, data: ResidentSet, loader: BatchLoader) -> None:
        self.data, self.loader = data, loader

    def batch(self, batch: int) -> PairBatch:
        """Batch `batch` of this process, counted from the loader's first image."""
        loader = self.loader
        numbers = loader.numbers(batch)
        pairs = [loader.sampler.pair(number) for number in numbers]
        changes = [draw_change(loader.augment, loader.seed, number) for number in numbers]
        source = self._crops([p.source for p in pairs], [c.source.mirror for c in changes])
        target = self._crops([p.target for p in pairs], [c.target.mirror for c in changes])
        colours = [c.source.colour for c in changes]
        if colours and colours[0] is not None:
            matrices = np.stack([colour for colour in colours if colour is not None])
            source = source._replace(image=recoloured(source.image, self._put(matrices)))
        same = self._put(np.array([p.same for p in pairs], np.float32))
        return PairBatch(source, target, same)

    def __iter__(self) -> Generator[PairBatch, None, None]:
        number = 0
        while True:
            yield self.batch(number)
            number += 1

    def _crops(self, rows: list[int], mirrored: list[bool]) -> CropBatch:
        return self.data.crops(self._put(np.array(rows, np.int64)), self._put(np.array(mirrored, np.bool_)))

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.data.images.device, non_blocking=True)


def recoloured(images: Tensor, matrices: Tensor) -> Tensor:
    """(B, 3, S, S) RGB 0..1 through `augment.colour_matrix` (B, 3, 4), in the whole levels of 8-bit images."""
    mixed = torch.einsum("bij,bjhw->bihw", matrices[:, :, :3], images) + matrices[:, :, 3, None, None]
    return (mixed * 255.0).round().clamp(0.0, 255.0) / 255.0
