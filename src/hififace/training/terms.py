"""The generator's terms, computed where they are needed and nowhere else.

    result, result_low, masks ──┬─ segmentation, reconstruction, colour        (pixels)
                                ├─ perceptual                                  (a frozen feature network)
                                ├─ identity, identity_leak                     (frozen face recognisers)
                                ├─ shape, gaze, eyelids, lips, heat-maps       (frozen landmark networks)
                                ├─ adversarial, feature_matching               (the discriminator)
                                └─ cycle                                       (the generator once more)

Every term is a mean over the whole batch of per-sample values, so that processes with a share each agree on average
with one process that has it all. Costly terms may look at the first samples of a batch only (`landmark_share`,
`perceptual_share`): pairs come in random order, so the first are as good as any.

Letters: B pairs, S x S pixels of the crop.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from hififace.data.loader import CropBatch, PairBatch
from hififace.losses.adversarial import feature_matching_loss, generator_loss
from hififace.losses.attributes import colour_loss
from hififace.losses.averaging import batch_mean
from hififace.losses.face_parts import EyesAndMouth, damped_within, only_within
from hififace.losses.identity import identity_leak_loss, several_identity_loss
from hififace.losses.reconstruction import cycle_loss, reconstruction_loss
from hififace.losses.resampling import downsample, fill_invalid
from hififace.losses.segmentation import segmentation_loss
from hififace.models.generator import GeneratorOutput
from hififace.models.params import GeneratorParams
from hififace.training.config import TrainingConfig
from hififace.training.loss_networks import LossNetworks
from hififace.weights.store import embedded_path

EYES_AND_MOUTH_TERMS = frozenset({"gaze", "eyelids", "lips", "eye_heatmap", "mouth_heatmap"})

Terms = dict[str, Tensor]


class TermComputer:
    """Computes the terms that a table of weights asks for."""

    def __init__(
        self,
        config: TrainingConfig,
        loss_networks: LossNetworks,
        generator: Callable[[Tensor, Tensor], GeneratorOutput],
        discriminator: nn.Module,
    ) -> None:
        self.config = config
        self.loss_networks = loss_networks
        self.generator = generator
        self.discriminator = discriminator
        loss = config.loss
        self.eyes_and_mouth: EyesAndMouth | None = None
        if loss.eyes_and_mouth_only or loss.identity_in_eyes_and_mouth < 1:
            groups = json.loads(embedded_path("face_mesh.json").read_text(encoding="utf-8"))["groups"]
            self.eyes_and_mouth = EyesAndMouth(groups, config.generator.output_resolution)

    def __call__(self, batch: PairBatch, output: GeneratorOutput, weights: Mapping[str, float]) -> Terms:
        """The unweighted terms whose weight is above 0.

        Args:
            batch: B pairs.
            output: the generator's answer to them, with its graph.
            weights: weight of each term at this time.
        """
        wanted = {name for name, weight in weights.items() if weight > 0}
        terms = self._pixel_terms(batch, output, wanted)
        terms |= self._identity_terms(batch, output, wanted)
        terms |= self._adversarial_terms(batch, output, wanted)
        count = _share(len(batch.same), self.config.loss.perceptual_share)
        if "perceptual" in wanted:
            distance = self.loss_networks.perceptual(
                output.image[:count], batch.target.image[:count], batch.target.valid[:count]
            )
            terms["perceptual"] = batch_mean(distance, batch.same[:count])
        few = _share(len(batch.same), self.config.loss.landmark_share)
        terms |= self._attribute_terms(first_pairs(batch, few), first_outputs(output, few), wanted)
        if "cycle" in wanted:
            terms["cycle"] = self._cycle(batch, output)
        return terms

    def _pixel_terms(self, batch: PairBatch, output: GeneratorOutput, wanted: set[str]) -> Terms:
        terms: Terms = {}
        target = batch.target
        if "segmentation" in wanted:
            terms["segmentation"] = segmentation_loss(
                output.mask,
                output.mask_low if self.config.loss.segmentation_on_low else None,
                target.mask,
                dilation=self.config.loss.mask_dilation,
                valid=target.valid,
            )
        if "reconstruction" in wanted:
            terms["reconstruction"] = reconstruction_loss(
                output.image, output.image_low, target.image, batch.same, valid=target.valid
            )
        if "colour" in wanted:
            terms["colour"] = colour_loss(output.image, target.image, valid=target.valid)
        return terms

    def _attribute_terms(self, batch: PairBatch, output: GeneratorOutput, wanted: set[str]) -> Terms:
        """Landmark terms; those of eyes and mouth through these pixels alone where that is asked for."""
        if not self.config.loss.eyes_and_mouth_only or self.eyes_and_mouth is None:
            return self.loss_networks.attribute_terms(batch, output, wanted)
        inner = wanted & EYES_AND_MOUTH_TERMS
        terms = self.loss_networks.attribute_terms(batch, output, wanted - inner)
        if inner:
            region = self.eyes_and_mouth(batch.target.landmarks)
            limited = output._replace(image=only_within(output.image, region))
            terms |= self.loss_networks.attribute_terms(batch, limited, inner)
        return terms

    def _identity_terms(self, batch: PairBatch, output: GeneratorOutput, wanted: set[str]) -> Terms:
        """Identity on all pairs, or on pairs of different people only, which saves the recogniser on the others."""
        if not wanted & {"identity", "identity_leak"}:
            return {}
        image = output.image
        if self.config.loss.identity_in_eyes_and_mouth < 1 and self.eyes_and_mouth is not None:
            region = self.eyes_and_mouth(batch.target.landmarks)
            image = damped_within(image, region, self.config.loss.identity_in_eyes_and_mouth)
        image_low, source, target, share = (
            output.image_low,
            batch.source,
            batch.target,
            1.0,
        )
        if self.config.loss.identity_on == "different":
            chosen = (batch.same < 0.5).nonzero().flatten()
            if len(chosen) == 0:
                zero = output.image.sum() * 0.0
                return dict.fromkeys(wanted & {"identity", "identity_leak"}, zero)
            share = len(chosen) / len(batch.same)
            image, image_low = image[chosen], image_low[chosen]
            source, target = _select(source, chosen), _select(target, chosen)
        embedders = self.loss_networks.embedders
        results = [embed(image) for embed in embedders]
        lows = [embed(image_low) for embed in embedders] if self.config.loss.identity_on_low else None
        terms: Terms = {}
        if "identity" in wanted:
            even = [1.0 / len(embedders)] * len(embedders)
            sources = self.loss_networks.known_embeddings(source)
            terms["identity"] = share * several_identity_loss(
                sources, results, lows, embedder_weights=even, enough=self.config.loss.identity_enough
            )
        if "identity_leak" in wanted:
            known = self.loss_networks.known_embeddings(target)[0]
            terms["identity_leak"] = share * identity_leak_loss(
                known, results[0], margin=self.config.loss.leak_margin
            )
        return terms

    def _adversarial_terms(self, batch: PairBatch, output: GeneratorOutput, wanted: set[str]) -> Terms:
        """What the discriminator says; its own weights get no gradient here (the step freezes them)."""
        if not wanted & {"adversarial", "feature_matching"}:
            return {}
        terms: Terms = {}
        scored = self.discriminator(fill_invalid(output.image, batch.target.image, batch.target.valid))
        if "adversarial" in wanted:
            terms["adversarial"] = generator_loss(scored.logits, self.config.adversarial.form)
        if "feature_matching" in wanted:
            real = self.discriminator(batch.target.image)
            terms["feature_matching"] = feature_matching_loss(scored.features, real.features)
        return terms

    def _cycle(self, batch: PairBatch, output: GeneratorOutput) -> Tensor:
        """G(source = I_t, target = I_r) against I_t; the gradient passes through I_r."""
        vector = self.loss_networks.cycle_vector(batch, output)
        again = self.generator(seen_by_generator(output.image, self.config.generator), vector)
        return cycle_loss(batch.target.image, again.image, valid=batch.target.valid)


def seen_by_generator(images: Tensor, params: GeneratorParams) -> Tensor:
    """(B, 3, S, S) -> (B, 3, R, R): a 512 model is given 256 px and asked for 512; for the others nothing changes."""
    return downsample(images, (params.resolution, params.resolution))


def first_pairs(batch: PairBatch, count: int) -> PairBatch:
    """The first pairs of a batch."""
    if count == len(batch.same):
        return batch
    return PairBatch(
        CropBatch(*(part[:count] for part in batch.source)),
        CropBatch(*(part[:count] for part in batch.target)),
        batch.same[:count],
    )


def first_outputs(output: GeneratorOutput, count: int) -> GeneratorOutput:
    """The generator's answers to the first pairs."""
    return GeneratorOutput(*(part[:count] for part in output))


def _select(crops: CropBatch, chosen: Tensor) -> CropBatch:
    return CropBatch(*(part[chosen] for part in crops))


def _share(size: int, share: float) -> int:
    return max(1, math.ceil(size * share))
