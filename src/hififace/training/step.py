"""One optimiser step, as two phases: the generator against everything, then the discriminator against it.

The order is the reference's: generator first, then the discriminator on the same images, those made *before* the
generator's update. Letters: B pairs of one round, A accumulation rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from hififace.data.loader import CropBatch, PairBatch
from hififace.data.pairs import keyed
from hififace.errors import TrainingError
from hififace.losses.adversarial import discriminator_accuracy, discriminator_loss, r1_penalty
from hififace.losses.resampling import fill_invalid
from hififace.losses.total import combine
from hififace.models.generator import GeneratorOutput
from hififace.training.checkpoint import Progress, TrainedParts
from hififace.training.config import OptimiserConfig, TrainingConfig
from hififace.training.distributed import World, share, without_gradient_sync
from hififace.training.half_precision import uses_bfloat16
from hififace.training.loss_networks import LossNetworks
from hififace.training.schedule import value_at
from hififace.training.stats import StageClock
from hififace.training.terms import TermComputer, seen_by_generator


def create_optimiser(config: OptimiserConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Adam as configured; the learning rate is set anew before every step."""
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
        # Gradients are averaged by these wrappers. The generator's phase goes through the bare discriminator, whose
        # weights are frozen then, so nothing of it is averaged in vain.
        self.shared_generator = share(generator, world)
        self.shared_discriminator = share(discriminator, world)
        self.terms = TermComputer(config, loss_networks, self.shared_generator, discriminator)
        self.device = world.device
        self.half_precision = uses_bfloat16(config.precision, world.device)
        self.rank = world.rank

    def __call__(self, batch: PairBatch, progress: Progress, clock: StageClock) -> dict[str, Tensor]:
        """Takes one step and returns named scalars for the log.

        Args:
            batch: the pairs of this process, B·A of them.
            progress: images and steps so far; not changed.
            clock: where the time goes.

        Raises:
            TrainingError: if a loss or a gradient is not finite; nothing was updated then.
        """
        images = progress.images
        # Every random number of a step is a function of (seed, rank, images seen), so nothing need be saved to resume.
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
                    output = GeneratorOutput(*self.shared_generator(target, vector))
                output = GeneratorOutput(*(part.float() for part in output))
                with clock.stage("losses"), self._autocast():
                    total = combine(self.terms(pairs, output, weights), weights)
                with clock.stage("backward"):
                    torch.autograd.backward(total.total / len(rounds))
            # What lies beyond the photo was never asked for: the discriminator must not learn to know results by it.
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
        """Targets as the generator sees them: some of one person's pairs with a stranger's face put on before.

        The label stays the photo, so what is asked for is a change of identity whose answer is known in every pixel.
        """
        photos = pairs.target.image
        same = pairs.same.nonzero().flatten()
        chosen = same[: math.ceil(len(same) * self.config.loss.triplet_share)]
        if len(chosen) == 0 or len(pairs.same) < 2:
            return photos
        stranger = (chosen + 1) % len(pairs.same)  # the next pair's source: another person but by rare chance
        swap = PairBatch(
            CropBatch(*(part[stranger] for part in pairs.source)),
            CropBatch(*(part[chosen] for part in pairs.target)),
            torch.zeros_like(pairs.same[chosen]),
        )
        before = photos[chosen]
        output = self.average(
            seen_by_generator(before, self.config.generator), self.loss_networks.identity_vector(swap)
        )
        after = fill_invalid(output.image.float().clamp(0.0, 1.0), before, swap.target.valid)
        return photos.index_copy(0, chosen, after.to(photos.dtype))

    def _discriminator_values(self, real: Tensor, fake: Tensor, step: int, rounds: int) -> dict[str, Tensor]:
        """Backward of the discriminator's loss, with R1 on photos every `r1_every` steps."""
        settings = self.config.adversarial
        penalised = settings.r1_gamma > 0 and step % settings.r1_every == 0
        with self._autocast():
            # One pass over both halves: batch statistics do not exist in these networks, and one large batch is
            # faster than two small ones.
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
        """Steps if the gradients are finite; returns their norm before clipping."""
        limit = config.gradient_clip if config.gradient_clip is not None else float("inf")
        norm = nn.utils.clip_grad_norm_(network.parameters(), limit)
        if not torch.isfinite(norm):
            bad = [
                n for n, p in network.named_parameters() if p.grad is not None and not p.grad.isfinite().all()
            ]
            raise TrainingError(
                f"The gradients of {type(network).__name__} are not finite (first: {bad[0] if bad else 'the norm'}). "
                "Nothing was updated; lower the learning rate, or go on from an earlier checkpoint."
            )
        optimiser.step()
        return norm.detach()

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        """bfloat16 where it is asked for; losses lift their inputs to float32 themselves."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half_precision):
            yield


@torch.no_grad()
def _mask_stats(output: GeneratorOutput, pairs: PairBatch) -> dict[str, Tensor]:
    """Mean of the predicted mask inside and outside the target's face: an empty mask is the known collapse."""
    face = pairs.target.mask
    outside = (1 - face) * pairs.target.valid
    return {
        "mask/inside": (output.mask * face).sum() / face.sum().clamp_min(1.0),
        "mask/outside": (output.mask * outside).sum() / outside.sum().clamp_min(1.0),
    }


def _split(batch: PairBatch, rounds: int) -> list[PairBatch]:
    if rounds == 1:
        return [batch]
    sources = zip(*(part.chunk(rounds) for part in batch.source), strict=True)
    targets = zip(*(part.chunk(rounds) for part in batch.target), strict=True)
    same = batch.same.chunk(rounds)
    return [
        PairBatch(CropBatch(*source), CropBatch(*target), flag)
        for source, target, flag in zip(sources, targets, same, strict=True)
    ]


def _add(sums: dict[str, Tensor], values: Mapping[str, Tensor], rounds: int) -> None:
    for name, value in values.items():
        sums[name] = sums[name] + value / rounds if name in sums else value / rounds
