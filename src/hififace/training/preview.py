"""A grid of results for fixed pairs, for judging a run by eye.

Each row is one pair: source, target, result, mask, low-resolution result. The first rows pair different people, the
last ones two photos of the same person.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.data.augment import NO_AUGMENTATION
from hififace.data.index import PreparedSet
from hififace.data.loader import BatchLoader, CropBatch, PairBatch
from hififace.media.image import write_image
from hififace.models.generator import Generator, GeneratorOutput
from hififace.training.loss_networks import LossNetworks
from hififace.training.step import seen_by_generator

PREVIEW_SEED = 20_210_609
"""Seed of the pairs, independent of the run's: previews of two runs on the same set show the same people."""
SAME_SHARE = 0.25


class Preview:
    """Draws results of the averaged generator for a few fixed pairs."""

    def __init__(
        self,
        photos: PreparedSet,
        loss_networks: LossNetworks,
        num_pairs: int,
        folder: Path,
        device: torch.device,
    ) -> None:
        self.batch = _choose_pairs(photos, num_pairs).to_device(device)
        self.loss_networks = loss_networks
        self.folder = folder

    @torch.no_grad()
    def draw(self, generator: nn.Module, images: int) -> NDArray[np.uint8]:
        """Writes `previews/000120000.png` and returns it, (rows·S, 5·S, 3) uint8."""
        target = self.batch.target.image
        seen = seen_by_generator(target, cast("Generator", generator).params)
        output = GeneratorOutput(*generator(seen, self.loss_networks.identity_vector(self.batch)))
        size = output.image.shape[-1]
        columns = (
            _resized(self.batch.source.image, size),
            _resized(target, size),
            output.image,
            output.mask.expand(-1, 3, -1, -1),
            _resized(output.image_low, size),
        )
        grid = torch.cat(columns, dim=3)  # (rows, 3, S, 5·S)
        pixels = grid.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).flatten(0, 1).cpu().numpy()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_image(self.folder / f"{images:09d}.png", pixels)
        return pixels


def _choose_pairs(photos: PreparedSet, num_pairs: int) -> PairBatch:
    """Pairs of different people, then pairs of the same person, without augmentation."""
    num_same = min(round(num_pairs * SAME_SHARE), num_pairs - 1) if num_pairs > 1 else 0
    kinds = ((num_pairs - num_same, 0.0), (num_same, 1.0))
    batches = [
        BatchLoader(
            photos, seed=PREVIEW_SEED, batch_size=count, same_rate=rate, augment=NO_AUGMENTATION, workers=0
        ).batch(0)
        for count, rate in kinds
        if count
    ]
    return PairBatch(
        CropBatch(*(torch.cat(parts) for parts in zip(*(b.source for b in batches), strict=True))),
        CropBatch(*(torch.cat(parts) for parts in zip(*(b.target for b in batches), strict=True))),
        torch.cat([b.same for b in batches]),
    )


def _resized(images: Tensor, size: int) -> Tensor:
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
