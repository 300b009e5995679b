"""What the loop asks of the frozen networks, whichever family they belong to.

Everything that frozen networks say about *real* photos was computed in preparation and comes with the batch; here
they only look at what the generator makes. Letters: B pairs, S side of the crop, D length of the identity vector.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from hififace.data.index import SetCard
from hififace.data.loader import CropBatch, PairBatch
from hififace.errors import DataError, HififaceError
from hififace.models.generator import GeneratorOutput
from hififace.weights.registry import find_card
from hififace.weights.store import locate_in, sha256_of

if TYPE_CHECKING:
    from hififace.training.config import TrainingConfig
    from hififace.training.device_config import DeviceConfig

LOGGER = logging.getLogger(__name__)

Embedder = Callable[[Tensor], Tensor]
"""(B, 3, n, n) RGB 0..1 crops of any size to (B, D); carries gradients to the image."""


class LossNetworks(Protocol):
    """The frozen half of a training step."""

    @property
    def embedders(self) -> Sequence[Embedder]:
        """Face recognisers; the first one's vectors of real photos come with the batch."""

    def known_embeddings(self, crops: CropBatch) -> list[Tensor]:
        """What each embedder says of real crops: from the batch, or computed without gradient."""

    def identity_vector(self, batch: PairBatch) -> Tensor:
        """(B, D) for the generator: source's shape and identity, target's expression and pose."""

    def cycle_vector(self, batch: PairBatch, output: GeneratorOutput) -> Tensor:
        """(B, D) for the cycle: the target's own identity upon the result."""

    def perceptual(self, result: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """(B,) distance of features; gradient to the result."""

    def attribute_terms(
        self, batch: PairBatch, output: GeneratorOutput, wanted: set[str]
    ) -> dict[str, Tensor]:
        """The wanted ones among shape, eyelids, lips, gaze, eye_heatmap and mouth_heatmap."""


def check_set(config: TrainingConfig | DeviceConfig, card: SetCard) -> None:
    """Checks that a prepared set fits a configuration.

    Raises:
        DataError: saying what was found and what was expected.
    """
    if card.family != config.family:
        raise DataError(
            f"The set was described by the '{card.family}' family of frozen networks, this run needs "
            f"'{config.family}': prepare the photos again with --family {config.family}."
        )
    side = config.generator.output_resolution
    if card.resolution != side:
        raise DataError(
            f"The crops of the set are {card.resolution} px, the results of the generator "
            f"'{config.generator.name}' {side} px: prepare the photos again with --resolution {side}."
        )
    sizes = dict(card.coefficients)
    for part in config.generator.vector:
        feature = part.name.removeprefix(f"{part.owner}_")
        if feature == "identity":
            found = card.identity_size
        else:
            found = sizes.get("identity" if feature == "shape" else feature, 0)
        if found != part.size:
            raise DataError(
                f"The generator '{config.generator.name}' expects {part.size} numbers for '{part.name}', the set holds "
                f"{found}: use the preset that belongs to this version of the frozen networks, or prepare again."
            )


def check_parts(card: SetCard, files: Path | None = None) -> None:
    """Checks that the files that described a set are those that the losses use: their numbers are compared.

    A set made before hashes were noted passes with a warning, and so does a part that is not on this machine (what
    training needs of it is asked for when it is loaded).

    Args:
        card: of the prepared set.
        files: folder of the user-supplied files.

    Raises:
        DataError: a file here differs from the one that described the set.
    """
    if not card.parts:
        LOGGER.warning(
            "the set does not say which files described it (%s): make sure that they are this installation's",
            card.made_by,
        )
        return
    for name, described_by in sorted(card.parts.items()):
        try:
            path = locate_in(files, find_card(name))
        except HififaceError as error:
            LOGGER.warning("the set's part '%s' cannot be compared: %s", name, error)
            continue
        found = sha256_of(path)
        if found != described_by:
            raise DataError(
                f"The set was described by another '{name}' (SHA-256 {described_by[:12]}...) than {path} "
                f"({found[:12]}...): what it stores of its photos does not compare with what is seen in results. "
                "Prepare the photos again, or put that file back."
            )


def to_device(batch: PairBatch, device: torch.device) -> PairBatch:
    """The batch on the device; copies overlap with work where the memory is pinned."""
    if device.type == "cpu":
        return batch
    return PairBatch(
        CropBatch(*(part.to(device, non_blocking=True) for part in batch.source)),
        CropBatch(*(part.to(device, non_blocking=True) for part in batch.target)),
        batch.same.to(device, non_blocking=True),
    )
