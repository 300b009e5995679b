"""One optimiser step in two phases: the generator with all loss terms, then the discriminator.

    result, result_low, masks ──┬─ segmentation, reconstruction, colour        (pixels)
                                ├─ perceptual                                  (a frozen feature network)
                                ├─ identity, identity_leak                     (frozen face recognisers)
                                ├─ shape, gaze, eyelids, lips, heat-maps       (frozen landmark networks)
                                ├─ adversarial, feature_matching               (the discriminator)
                                └─ cycle                                       (the generator once more)

The order is the reference's: the generator first, then the discriminator on the same results, made *before* the
generator's update. Every term is a mean of per-sample values over the whole batch, so that the average over several
processes equals one process with the whole batch.

A step reads no value back from the device, so that a GPU never waits for the host; values are checked for NaN and
infinity where the loop synchronises anyway (`Reports.expect_finite`). Two settings need one synchronisation per step,
since their tensor shapes depend on the batch: `loss.identity_on: different` and `loss.triplet_share`.

Letters: B pairs of one round, A accumulation rounds, S x S pixels of the crop.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from hififace.data.loader import PairBatch
from hififace.data.pairs import keyed
from hififace.losses.adversarial import (
    discriminator_accuracy,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    r1_penalty,
)
from hififace.losses.attributes import colour_loss
from hififace.losses.averaging import batch_mean
from hififace.losses.face_parts import EyesAndMouth, damped_within, only_within
from hififace.losses.identity import identity_leak_loss, several_identity_loss
from hififace.losses.reconstruction import cycle_loss, reconstruction_loss
from hififace.losses.resampling import downsample, fill_invalid
from hififace.losses.segmentation import segmentation_loss
from hififace.losses.total import combine
from hififace.models.generator import GeneratorOutput
from hififace.models.identity import asking_again
from hififace.models.params import GeneratorParams
from hififace.training.checkpoint import Progress, TrainedParts
from hififace.training.config import OptimiserConfig, TrainingConfig
from hififace.training.distributed import World, share, without_gradient_sync
from hififace.training.half_precision import uses_bfloat16
from hififace.training.loss_networks import LossNetworks
from hififace.training.schedule import value_at
from hififace.training.stats import StageClock
from hififace.weights.store import embedded_path

EYES_AND_MOUTH_TERMS = frozenset({"gaze", "eyelids", "lips", "eye_heatmap", "mouth_heatmap"})

Terms = dict[str, Tensor]


def create_optimiser(config: OptimiserConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Adam or AdamW as configured; the learning rate is set before every step."""
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    decay = config.weight_decay if config.kind == "adamw" else 0.0
    return kind(
        network.parameters(),
        lr=value_at(config.learning_rate, 0),
        betas=(config.beta1, config.beta2),
        weight_decay=decay,
    )


class TrainingStep:
    """Updates both networks with one batch."""

    def __init__(
        self, config: TrainingConfig, parts: TrainedParts, loss_networks: LossNetworks, world: World
    ) -> None:
        self.config = config
        self.loss_networks = loss_networks
        self.optimisers = parts.optimisers
        generator, discriminator = parts.networks["generator"], parts.networks["discriminator"]
        self.generator, self.discriminator = generator, discriminator
        self.average = parts.networks.get("average", generator)
        if config.compile:
            generator = cast("nn.Module", torch.compile(generator))
            discriminator = cast("nn.Module", torch.compile(discriminator))
        # These wrappers average gradients. The generator's phase uses the unwrapped discriminator, whose weights are
        # frozen then, so that none of its gradients are averaged in vain.
        self.shared_generator = share(generator, world)
        self.shared_discriminator = share(discriminator, world)
        # The discriminator of the generator's phase: compiled if configured, never wrapped.
        self.scorer = discriminator
        self.eyes_and_mouth: EyesAndMouth | None = None
        if config.loss.eyes_and_mouth_only or config.loss.identity_in_eyes_and_mouth < 1:
            groups = json.loads(embedded_path("face_mesh.json").read_text(encoding="utf-8"))["groups"]
            self.eyes_and_mouth = EyesAndMouth(groups, config.generator.output_resolution)
        self.device = world.device
        self.half_precision = uses_bfloat16(config.precision, world.device)
        self.rank = world.rank

    def __call__(self, batch: PairBatch, progress: Progress, clock: StageClock) -> dict[str, Tensor]:
        """Takes one step and returns named scalars for the log.

        Args:
            batch: the pairs of this process, B·A of them.
            progress: images and steps so far; not changed.
            clock: measures the time of each stage.
        """
        images = progress.images
        # All random numbers of a step are functions of (seed, rank, images seen), so no generator state need be saved.
        torch.manual_seed(keyed(self.config.seed, self.rank, images) >> 1)
        weights = {name: value_at(knots, images) for name, knots in self.config.loss.weights.items()}
        rounds = _split(batch, self.config.accumulation)
        results: list[Tensor] = []
        stats: dict[str, Tensor] = {}

        # ---- Generator.
        optimiser = self._begin("generator", self.config.generator_optimiser, images)
        self.discriminator.requires_grad_(False)
        for number, pairs in enumerate(rounds):
            last = number == len(rounds) - 1
            with without_gradient_sync(self.shared_generator, active=not last):
                with clock.stage("generator"), self._autocast():
                    vector = self.loss_networks.identity_vector(pairs)
                    target = seen_by_generator(self._shown(pairs), self.config.generator)
                    if self.config.loss.feedback > 0:
                        vector = self._asking_again(target, vector)
                    output = GeneratorOutput(*self.shared_generator(target, vector))
                output = GeneratorOutput(*(part.float() for part in output))
                with clock.stage("losses"), self._autocast():
                    total = combine(self.terms(pairs, output, weights), weights)
                with clock.stage("backward"):
                    torch.autograd.backward(total.total / len(rounds))
            # No loss determines the padding outside the photo, so the discriminator must not recognise results by it.
            results.append(fill_invalid(output.image.detach(), pairs.target.image, pairs.target.valid))
            _add(stats, {f"loss/{name}": term for name, term in total.terms.items()}, len(rounds))
            _add(stats, _mask_stats(output, pairs), len(rounds))
        self.discriminator.requires_grad_(True)
        stats["gradient/generator"] = self._update(optimiser, self.generator, self.config.generator_optimiser)

        # ---- Discriminator.
        if images >= self.config.adversarial.discriminator_from_images and self._has_discriminator():
            optimiser = self._begin("discriminator", self.config.discriminator_optimiser, images)
            with clock.stage("discriminator"):
                for number, (pairs, fake) in enumerate(zip(rounds, results, strict=True)):
                    last = number == len(rounds) - 1
                    with without_gradient_sync(self.shared_discriminator, active=not last):
                        values = self._discriminator_values(
                            pairs.target.image, fake, progress.steps, len(rounds)
                        )
                    _add(stats, values, len(rounds))
                stats["gradient/discriminator"] = self._update(
                    optimiser, self.discriminator, self.config.discriminator_optimiser
                )
        return stats

    @torch.no_grad()
    def _shown(self, pairs: PairBatch) -> Tensor:
        """Input targets of the generator: in some pairs of the same person, swapped to another person's face first.

        The label stays the photo, so that a change of identity is supervised in every pixel.
        """
        photos = pairs.target.image
        if self.config.loss.triplet_share == 0:
            return photos
        same = pairs.same.nonzero().flatten()
        chosen = same[: math.ceil(len(same) * self.config.loss.triplet_share)]
        if len(chosen) == 0 or len(pairs.same) < 2:
            return photos
        stranger = (chosen + 1) % len(pairs.same)  # the next pair's source: almost always another person
        swap = PairBatch(
            pairs.source.map(lambda part: part[stranger]),
            pairs.target.map(lambda part: part[chosen]),
            torch.zeros_like(pairs.same[chosen]),
        )
        before = photos[chosen]
        output = self.average(
            seen_by_generator(before, self.config.generator), self.loss_networks.identity_vector(swap)
        )
        after = fill_invalid(output.image.float().clamp(0.0, 1.0), before, swap.target.valid)
        return photos.index_copy(0, chosen, after.to(photos.dtype))

    @torch.no_grad()
    def _asking_again(self, target: Tensor, vector: Tensor) -> Tensor:
        """The vectors (B, D), asking for a part of what first results lack as well; see `asking_again`."""
        first = self.average(target, vector).image.float().clamp(0.0, 1.0)
        found = self.loss_networks.embedders[0](first)
        return asking_again(vector, self.config.generator.vector, found, self.config.loss.feedback)

    # ---- The discriminator, and both updates.

    def _discriminator_values(self, real: Tensor, fake: Tensor, step: int, rounds: int) -> dict[str, Tensor]:
        """Backward pass of the discriminator's loss, with R1 on photos every `r1_every` steps."""
        settings = self.config.adversarial
        penalised = settings.r1_gamma > 0 and step % settings.r1_every == 0
        with self._autocast():
            # One pass over both halves: these networks have no batch statistics, and one large batch is faster than two
            # small ones.
            logits = self.shared_discriminator(torch.cat((real, fake))).logits
            on_real, on_fake = logits.chunk(2)
            loss = discriminator_loss(on_real, on_fake, settings.form)
        accuracy = discriminator_accuracy(on_real, on_fake)
        values = {
            "discriminator/real": loss.real,
            "discriminator/fake": loss.fake,
            "discriminator/accuracy": accuracy.both,
        }
        total = loss.total
        if penalised:
            photos = real.detach().requires_grad_(True)
            penalty = r1_penalty(self.discriminator(photos).logits, photos, gamma=settings.r1_gamma)
            total = total + penalty * settings.r1_every
            values["discriminator/r1"] = penalty
        torch.autograd.backward(total / rounds)
        return {name: value.detach() for name, value in values.items()}

    def _has_discriminator(self) -> bool:
        return self.config.loss.needs("adversarial", "feature_matching")

    def _begin(self, name: str, config: OptimiserConfig, images: int) -> torch.optim.Optimizer:
        optimiser = self.optimisers[name]
        for group in optimiser.param_groups:
            group["lr"] = value_at(config.learning_rate, images)
        optimiser.zero_grad(set_to_none=True)
        return optimiser

    def _update(
        self, optimiser: torch.optim.Optimizer, network: nn.Module, config: OptimiserConfig
    ) -> Tensor:
        """Steps the optimiser; returns the gradients' norm before clipping, which is not finite if a gradient is not.

        Non-finite gradients are replaced by zeros: the weights stay valid until the next report, which stops the run
        and names the term that was not finite.
        """
        limit = config.gradient_clip if config.gradient_clip is not None else float("inf")
        norm = nn.utils.clip_grad_norm_(network.parameters(), limit)
        broken = ~torch.isfinite(norm)
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad.masked_fill_(broken, 0.0)
        optimiser.step()
        return norm.detach()

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        """bfloat16 if configured; losses convert their inputs to float32 themselves."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half_precision):
            yield

    # ---- Terms of the generator; only those with a weight are computed.

    def terms(self, batch: PairBatch, output: GeneratorOutput, weights: Mapping[str, float]) -> Terms:
        """The unweighted terms whose weight is above 0.

        Expensive ones may use only the first samples of a batch (`landmark_share`, `perceptual_share`): pairs come in
        random order, so the first are a random subset.

        Args:
            batch: B pairs.
            output: the generator's output for them, with its autograd graph.
            weights: current weight of each term.
        """
        wanted = {name for name, weight in weights.items() if weight > 0}
        terms = self._pixel_terms(batch, output, wanted)
        terms |= self._identity_terms(batch, output, wanted)
        terms |= self._adversarial_terms(batch, output, wanted)
        if "perceptual" in wanted:
            count = _share(len(batch.same), self.config.loss.perceptual_share)
            distance = self.loss_networks.perceptual(
                output.image[:count], batch.target.image[:count], batch.target.valid[:count]
            )
            terms["perceptual"] = batch_mean(distance, batch.same[:count])
        few = _share(len(batch.same), self.config.loss.landmark_share)
        first = GeneratorOutput(*(part[:few] for part in output))
        terms |= self._attribute_terms(batch.map(lambda part: part[:few]), first, wanted)
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
        """Landmark terms; with `eyes_and_mouth_only`, gradients of those of eyes and mouth reach only these pixels."""
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
        """Identity terms on all pairs, or only on pairs of different people, which saves the recogniser's work."""
        if not wanted & {"identity", "identity_leak"}:
            return {}
        image, image_low, share_of_batch = output.image, output.image_low, 1.0
        source, target = batch.source, batch.target
        if self.config.loss.identity_in_eyes_and_mouth < 1 and self.eyes_and_mouth is not None:
            region = self.eyes_and_mouth(batch.target.landmarks)
            image = damped_within(image, region, self.config.loss.identity_in_eyes_and_mouth)
        if self.config.loss.identity_on == "different":
            chosen = (batch.same < 0.5).nonzero().flatten()
            if len(chosen) == 0:
                zero = output.image.sum() * 0.0
                return dict.fromkeys(wanted & {"identity", "identity_leak"}, zero)
            share_of_batch = len(chosen) / len(batch.same)
            image, image_low = image[chosen], image_low[chosen]
            source, target = (side.map(lambda part: part[chosen]) for side in (source, target))
        embedders = self.loss_networks.embedders
        results = [embed(image) for embed in embedders]
        lows = [embed(image_low) for embed in embedders] if self.config.loss.identity_on_low else None
        terms: Terms = {}
        if "identity" in wanted:
            even = [1.0 / len(embedders)] * len(embedders)
            sources = self.loss_networks.known_embeddings(source)
            terms["identity"] = share_of_batch * several_identity_loss(
                sources, results, lows, embedder_weights=even, enough=self.config.loss.identity_enough
            )
        if "identity_leak" in wanted:
            known = self.loss_networks.known_embeddings(target)[0]
            terms["identity_leak"] = share_of_batch * identity_leak_loss(
                known, results[0], margin=self.config.loss.leak_margin
            )
        return terms

    def _adversarial_terms(self, batch: PairBatch, output: GeneratorOutput, wanted: set[str]) -> Terms:
        """The generator's GAN terms; the discriminator's weights are frozen here and get no gradient."""
        if not wanted & {"adversarial", "feature_matching"}:
            return {}
        terms: Terms = {}
        scored = self.scorer(fill_invalid(output.image, batch.target.image, batch.target.valid))
        if "adversarial" in wanted:
            terms["adversarial"] = generator_loss(scored.logits, self.config.adversarial.form)
        if "feature_matching" in wanted:
            real = self.scorer(batch.target.image)
            terms["feature_matching"] = feature_matching_loss(scored.features, real.features)
        return terms

    def _cycle(self, batch: PairBatch, output: GeneratorOutput) -> Tensor:
        """G(source = I_t, target = I_r) against I_t; the gradient passes through I_r."""
        vector = self.loss_networks.cycle_vector(batch, output)
        again = self.shared_generator(seen_by_generator(output.image, self.config.generator), vector)
        return cycle_loss(batch.target.image, again.image, valid=batch.target.valid)


@torch.no_grad()
def _mask_stats(output: GeneratorOutput, pairs: PairBatch) -> dict[str, Tensor]:
    """Mean of the predicted mask inside and outside the target's face, to detect a collapse to an empty mask."""
    face = pairs.target.mask
    outside = (1 - face) * pairs.target.valid
    return {
        "mask/inside": (output.mask * face).sum() / face.sum().clamp_min(1.0),
        "mask/outside": (output.mask * outside).sum() / outside.sum().clamp_min(1.0),
    }


def _split(batch: PairBatch, rounds: int) -> list[PairBatch]:
    size = len(batch.same) // rounds  # divisible, by `TrainingConfig.split_batch`

    def rows(at: int) -> PairBatch:
        return batch.map(lambda part: part[at * size : (at + 1) * size])

    return [rows(at) for at in range(rounds)]


def seen_by_generator(images: Tensor, params: GeneratorParams) -> Tensor:
    """(B, 3, S, S) -> (B, 3, R, R), the generator's input: the 512 px model is given 256 px; others are unchanged."""
    return downsample(images, (params.resolution, params.resolution))


def _add(sums: dict[str, Tensor], values: Mapping[str, Tensor], rounds: int) -> None:
    for name, value in values.items():
        sums[name] = sums[name] + value / rounds if name in sums else value / rounds


def _share(size: int, share: float) -> int:
    return max(1, math.ceil(size * share))
