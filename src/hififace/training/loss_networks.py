"""The interface of the frozen networks that the losses use, for every family.

Features of *real* photos were computed in preparation and come with the batch; here the networks are applied only to
the generator's results. Letters: B pairs, S side of the crop, D length of the identity vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from hififace.data.loader import CropBatch, PairBatch
from hififace.models.generator import GeneratorOutput

Embedder = Callable[[Tensor], Tensor]
"""(B, 3, n, n) RGB 0..1 crops of any size to (B, D); carries gradients to the image."""


class LossNetworks(Protocol):
    """The frozen half of a training step."""

    @property
    def embedders(self) -> Sequence[Embedder]:
        """Face recognisers; the first one's embeddings of real photos come with the batch."""

    def known_embeddings(self, crops: CropBatch) -> list[Tensor]:
        """Embeddings of real crops by each embedder: from the batch, or computed without gradient."""

    def identity_vector(self, batch: PairBatch) -> Tensor:
        """(B, D) for the generator: source's shape and identity, target's expression and pose."""

    def cycle_vector(self, batch: PairBatch, output: GeneratorOutput) -> Tensor:
        """(B, D) for the cycle: the target's own identity, to be put onto the result."""

    def perceptual(self, result: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """(B,) distance of features, with gradient to the result."""

    def attribute_terms(
        self, batch: PairBatch, output: GeneratorOutput, wanted: set[str]
    ) -> dict[str, Tensor]:
        """The wanted ones among shape, eyelids, lips, gaze, eye_heatmap and mouth_heatmap."""
