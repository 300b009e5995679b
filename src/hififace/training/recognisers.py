"""The face recognisers whose embeddings a step on one device compares.

Letters: n faces, S side of the crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.data.index import SetCard
from hififace.data.resident import ResidentSet
from hififace.faces.alignment import estimate_similarity
from hififace.faces.templates import TEMPLATES
from hififace.models.pretrained.faceres import SIZE_PX as FACERES_PX
from hififace.models.pretrained.faceres import load_faceres
from hififace.models.pretrained.mobilefacenet import load_mobilefacenet
from hififace.models.pretrained.resampling import resample_affine
from hififace.training.device_settings import EMBEDDER_SIZE_PX, REDUCED_PX, RecogniserName
from hififace.training.mesh_loss_networks import random_views
from hififace.weights.registry import find_card
from hififace.weights.store import locate_in


@dataclass
class Recogniser:
    """A frozen face recogniser, and the transform from a crop to its input."""

    name: str
    network: nn.Module
    """(n, 3, size_px, size_px) RGB 0..1 to (n, D)."""
    to_arcface: Tensor
    """(2, 3) from pixels of the crop, reduced to `at_px`, to ArcFace's template of 112 px."""
    size_px: int
    """Side of the network's input."""
    at_px: int
    """Side to which crops are reduced before they are resampled, to save work."""

    def embed(self, crops: Tensor) -> Tensor:
        """(n, D) of (n, 3, S, S) crops, without random transforms."""
        return self._embed(crops, self.to_arcface)

    def embed_views(self, crops: Tensor, jitter: float) -> Tensor:
        """(n, D) of (n, 3, S, S) crops, each shifted, rotated and mirrored at random first."""
        return self._embed(crops, random_views(self.to_arcface, len(crops), jitter))

    @torch.no_grad()
    def embed_all(self, data: ResidentSet, batch: int = 64, *, half_precision: bool = False) -> Tensor:
        """(N, D) unit length: mean embedding of every crop of a set and its mirror image.

        Args:
            data: the set.
            batch: crops at once.
            half_precision: use bfloat16, as a step does for results.
        """
        found = []
        for start in range(0, len(data), batch):
            images = data.images[start : start + batch].permute(0, 3, 1, 2).float() / 255.0
            faces = self._faces(images, self.to_arcface)
            with torch.autocast(images.device.type, torch.bfloat16, enabled=half_precision):
                sides = [self.network(seen) for seen in (faces, faces.flip(3))]
            first, second = (F.normalize(side.float(), dim=1) for side in sides)
            found.append(F.normalize(first + second, dim=1))
        return torch.cat(found)

    def _embed(self, crops: Tensor, view: Tensor) -> Tensor:
        found: Tensor = self.network(self._faces(crops, view))
        return found

    def _faces(self, crops: Tensor, view: Tensor) -> Tensor:
        """(n, 3, size_px, size_px) of (n, 3, S, S)."""
        reduced = F.avg_pool2d(crops, crops.shape[-1] // self.at_px)
        return resample_affine(reduced - 0.5, view * (self.size_px / EMBEDDER_SIZE_PX), self.size_px) + 0.5


def make_recognisers(
    sface: nn.Module, names: Sequence[RecogniserName], card: SetCard, device: torch.device, files: Path | None
) -> tuple[Recogniser, ...]:
    """Loads SFace and the named recognisers onto the device.

    Args:
        sface: the embedded recogniser, frozen.
        names: of the other recognisers.
        card: of the set whose crops they are applied to.
        device: where to put them.
        files: folder of the user's files.

    Raises:
        WeightsError: a file is missing or damaged; the message says how to get it.
    """

    def make(name: str, network: nn.Module, size_px: int, at_px: int) -> Recogniser:
        network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Recogniser(name, network, arcface_map(card, at_px).to(device), size_px, at_px)

    def locate(name: str) -> Path:
        return locate_in(files, find_card(name))

    found = [make("sface", sface, EMBEDDER_SIZE_PX, REDUCED_PX)]
    for name in names:
        if name == "mobilefacenet":
            network = load_mobilefacenet(locate(name))
            found.append(make(name, network, EMBEDDER_SIZE_PX, REDUCED_PX))
        else:
            faceres = load_faceres(locate(name), locate(f"{name}_layout"))
            found.append(make(name, faceres, FACERES_PX, card.resolution))
    return tuple(found)


def arcface_map(card: SetCard, at_px: int = REDUCED_PX) -> Tensor:
    """(2, 3) from pixels of a crop reduced to `at_px` by averaging blocks, to ArcFace's 112 px template."""
    side = card.resolution
    points = (TEMPLATES[card.template].scaled(side).points + 0.5) * (at_px / side) - 0.5
    matrix = estimate_similarity(points, TEMPLATES["arcface_112"].points)
    return torch.from_numpy(matrix.astype(np.float32))
