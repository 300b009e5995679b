"""The GAN loss: logistic with R1, hinge, the reference's form, and feature matching.

Letters: B samples, P logits per sample (one, two channels, or a map of patches).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from hififace.losses.averaging import absolute_difference, batch_mean, full_precision, per_sample_mean

GameKind = Literal["logistic", "hinge", "reference"]
"""`logistic`: non-saturating, the paper's (StarGAN-v2). `reference`: binary cross entropy with logits, which
is the same function of the logits; the name says that both channels of its discriminator get the same label
and that no R1 goes with it. `hinge`: Lim and Ye 2017."""

LogitReduction = Literal["mean", "sum"]


class DiscriminatorLoss(NamedTuple):
    """The two halves of what the discriminator minimises; both are scalars >= 0."""

    real: Tensor
    fake: Tensor

    @property
    def total(self) -> Tensor:
        """`real + fake`."""
        return self.real + self.fake


class DiscriminatorAccuracy(NamedTuple):
    """Shares in 0..1 of images classified rightly; a discriminator that works stands well above 0.5."""

    real: Tensor
    fake: Tensor

    @property
    def both(self) -> Tensor:
        """Mean of the two: 0.5 is chance, whatever the discriminator's bias."""
        return 0.5 * (self.real + self.fake)


def generator_loss(
    fake_logits: Tensor, kind: GameKind = "logistic", *, weight: Tensor | None = None
) -> Tensor:
    """What the generator minimises: L_adv of the paper, weight 1.

        logistic, reference:  softplus(-D(I_r)) = -log sigmoid(D(I_r))        (the log-D trick)
        hinge:                -D(I_r)

    Args:
        fake_logits: (B, ...) D(I_r), any number P of logits per sample; their losses are averaged within the
            sample.
        kind: which GAN loss.
        weight: (B,) of each sample, or None for ones.

    Returns:
        Scalar; its gradient reaches I_r through the discriminator.

    Raises:
        ValueError: an unknown GAN loss.
    """
    logits = full_precision(fake_logits)
    values = -logits if _checked(kind) == "hinge" else functional.softplus(-logits)
    return batch_mean(per_sample_mean(values), weight)


def discriminator_loss(
    real_logits: Tensor,
    fake_logits: Tensor,
    kind: GameKind = "logistic",
    *,
    weight: Tensor | None = None,
) -> DiscriminatorLoss:
    """What the discriminator minimises: photos are real (the targets), results are not.

        logistic, reference:  softplus(-D(I_t)) + softplus(D(I_r))
        hinge:                max(0, 1 - D(I_t)) + max(0, 1 + D(I_r))

    Args:
        real_logits: (B, ...) D(I_t).
        fake_logits: (B, ...) D(I_r), of a detached result.
        kind: which GAN loss.
        weight: (B,) of each sample, or None for ones.

    Returns:
        The two halves, each averaged over a sample's logits and over the batch.

    Raises:
        ValueError: an unknown GAN loss.
    """
    real, fake = full_precision(real_logits), full_precision(fake_logits)
    if _checked(kind) == "hinge":
        halves = functional.relu(1.0 - real), functional.relu(1.0 + fake)
    else:
        halves = functional.softplus(-real), functional.softplus(fake)
    return DiscriminatorLoss(*(batch_mean(per_sample_mean(half), weight) for half in halves))


def r1_penalty(
    real_logits: Tensor, real_images: Tensor, *, gamma: float, per_sample: LogitReduction = "mean"
) -> Tensor:
    """Gradient penalty on photos (Mescheder et al. 2018); the paper has it, the reference does not.

        R1 = 0.5 * gamma * (1/B) sum_b || d f_b / d x_b ||^2,    f_b = mean (sum) of b's P logits.

    The squared norm is **summed** over all pixels and channels of the image and **meaned** over the batch.
    With one logit per image the two reductions agree and gamma has its usual meaning (StarGAN-v2: 1). With
    P patch logits `sum` is P^2 times `mean` for the same gamma. A prototype of our small model stood at
    chance with gamma 10 per *mean* logit; begin at 1 or below and watch `discriminator_accuracy`.

    The gradient is created with its graph: it reaches the discriminator's parameters, never the photos'
    maker. When computed every k-th step only, multiply by k.

    Args:
        real_logits: (B, ...) D(real_images), computed outside autocast.
        real_images: (B, C, H, W) with `requires_grad`, from which `real_logits` were computed.
        gamma: strength >= 0.
        per_sample: how a sample's logits become one score.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: the images do not require a gradient, or the reduction is unknown.
    """
    if not real_images.requires_grad:
        raise ValueError("R1 needs real_images.requires_grad_() before the discriminator sees them")
    if per_sample not in ("mean", "sum"):
        raise ValueError(f"per_sample must be 'mean' or 'sum', got {per_sample!r}")
    logits = _per_sample(real_logits)
    scores = logits.mean(dim=1) if per_sample == "mean" else logits.sum(dim=1)
    # samples do not see each other, so the gradient of the sum over b holds every d f_b / d x_b
    (gradient,) = torch.autograd.grad(scores.sum(), real_images, create_graph=True)
    return 0.5 * gamma * full_precision(gradient).square().flatten(1).sum(dim=1).mean()


@torch.no_grad()
def discriminator_accuracy(real_logits: Tensor, fake_logits: Tensor) -> DiscriminatorAccuracy:
    """Share of photos with a mean logit above 0 and of results with one below. A statistic: no gradient.

    Args:
        real_logits: (B, ...).
        fake_logits: (B, ...).

    Returns:
        Two scalars in 0..1.
    """
    real = _per_sample(real_logits).mean(dim=1)
    fake = _per_sample(fake_logits).mean(dim=1)
    return DiscriminatorAccuracy((real > 0).to(real.dtype).mean(), (fake < 0).to(fake.dtype).mean())


def feature_matching_loss(
    result_features: Sequence[Tensor],
    target_features: Sequence[Tensor],
    *,
    num_last: int = 2,
    weight: Tensor | None = None,
) -> Tensor:
    """Weak feature matching (SimSwap): the discriminator sees the same attributes in result and target.

        L = (1/n) sum over the last n layers of mean |F_l(I_r) - F_l(I_t)|

    Only the last layers: the first ones would ask for the target's very pixels, identity included.

    Args:
        result_features: one (B, C_l, H_l, W_l) per layer, first to last; receives the gradient.
        target_features: the same for the target; detached here.
        num_last: n, how many of the last layers.
        weight: (B,) of each sample, or None for ones.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: the lists differ in length, or there are fewer than n layers.
    """
    if len(result_features) != len(target_features):
        raise ValueError(
            f"result and target need the same layers, got {len(result_features)} and {len(target_features)}"
        )
    if not 1 <= num_last <= len(result_features):
        raise ValueError(f"num_last must be in 1..{len(result_features)} (the layers given), got {num_last}")
    pairs = zip(result_features[-num_last:], target_features[-num_last:], strict=True)
    layers = [per_sample_mean(absolute_difference(result, target.detach())) for result, target in pairs]
    return batch_mean(torch.stack(layers).mean(dim=0), weight)


def _per_sample(logits: Tensor) -> Tensor:
    """(B,) or (B, ...) to (B, P), in full precision."""
    return full_precision(logits).reshape(logits.shape[0], -1)


def _checked(kind: GameKind) -> GameKind:
    if kind not in ("logistic", "hinge", "reference"):
        raise ValueError(f"the GAN loss must be 'logistic', 'hinge' or 'reference', got {kind!r}")
    return kind
