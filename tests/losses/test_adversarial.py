"""The game: values against numpy, R1 with its reductions spelt out, the statistic, weak feature matching."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional

from hififace.losses.adversarial import (
    discriminator_accuracy,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    r1_penalty,
)

SHAPES = [(3,), (3, 1), (3, 2, 1, 1), (3, 1, 4, 5)]
"""One logit per picture, the reference's two channels, a map of patches."""


def _logits(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(3.0 * np.random.default_rng(seed).normal(size=shape))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, x)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["logistic", "hinge", "reference"])
def test_smoke(kind, shape):
    real, fake = _logits(0, shape), _logits(1, shape)
    assert generator_loss(fake, kind).shape == ()
    halves = discriminator_loss(real, fake, kind)
    assert halves.total.item() == pytest.approx(halves.real.item() + halves.fake.item())


@pytest.mark.parametrize("shape", SHAPES)
def test_value_logistic(shape):
    real, fake = _logits(0, shape), _logits(1, shape)
    r, f = real.numpy(), fake.numpy()
    assert generator_loss(fake).item() == pytest.approx(_softplus(-f).mean(), rel=1e-12)
    halves = discriminator_loss(real, fake)
    assert halves.real.item() == pytest.approx(_softplus(-r).mean(), rel=1e-12)
    assert halves.fake.item() == pytest.approx(_softplus(f).mean(), rel=1e-12)


def test_value_reference_is_binary_cross_entropy_of_both_channels():
    real, fake = _logits(2, (3, 2, 1, 1)), _logits(3, (3, 2, 1, 1))

    def entropy(x: np.ndarray, label: float) -> float:
        p = 1.0 / (1.0 + np.exp(-x))
        return float(-(label * np.log(p) + (1 - label) * np.log(1 - p)).mean())

    halves = discriminator_loss(real, fake, "reference")
    assert generator_loss(fake, "reference").item() == pytest.approx(entropy(fake.numpy(), 1.0), rel=1e-10)
    assert halves.real.item() == pytest.approx(entropy(real.numpy(), 1.0), rel=1e-10)
    assert halves.fake.item() == pytest.approx(entropy(fake.numpy(), 0.0), rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_value_hinge(shape):
    real, fake = _logits(4, shape), _logits(5, shape)
    r, f = real.numpy(), fake.numpy()
    halves = discriminator_loss(real, fake, "hinge")
    assert generator_loss(fake, "hinge").item() == pytest.approx(-f.mean(), rel=1e-12)
    assert halves.real.item() == pytest.approx(np.maximum(0, 1 - r).mean(), rel=1e-12)
    assert halves.fake.item() == pytest.approx(np.maximum(0, 1 + f).mean(), rel=1e-12)


def test_value_stays_finite_for_huge_logits():
    huge = torch.tensor([[-1e4], [1e4]])
    assert generator_loss(huge).item() == pytest.approx(5e3)
    assert discriminator_loss(huge, huge).total.item() == pytest.approx(1e4)


def test_weight_leaves_samples_out():
    fake = _logits(6, (3, 2, 2))
    weight = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    expected = _softplus(-fake.numpy()[1]).mean() / 3
    assert generator_loss(fake, weight=weight).item() == pytest.approx(expected, rel=1e-12)


def test_exception():
    with pytest.raises(ValueError, match="the GAN loss must be"):
        generator_loss(torch.zeros(1, 1), "wasserstein")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the GAN loss must be"):
        discriminator_loss(torch.zeros(1, 1), torch.zeros(1, 1), "bce")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["logistic", "hinge", "reference"])
def test_gradient(kind):
    real = _logits(7, (2, 1, 3, 3)).requires_grad_()
    fake = _logits(8, (2, 1, 3, 3)).requires_grad_()
    assert gradcheck(lambda f: generator_loss(f, kind), (fake,))
    assert gradcheck(lambda r, f: discriminator_loss(r, f, kind).total, (real, fake))


def test_gradient_of_the_generator_does_not_saturate_where_the_discriminator_is_sure():
    sure = torch.full((1, 1), -20.0, requires_grad=True)
    generator_loss(sure).backward()
    assert sure.grad is not None
    assert sure.grad.item() == pytest.approx(-1.0, abs=1e-6)


# ---- R1


def test_r1_value_of_a_linear_discriminator():
    # D(x) = <a, x>: the gradient is a at every picture, so R1 = gamma / 2 * |a|^2 whatever the pictures are
    rng = np.random.default_rng(11)
    a = torch.from_numpy(rng.normal(size=(3, 6, 6)))
    images = torch.from_numpy(rng.random((4, 3, 6, 6))).requires_grad_()
    logits = (images * a).flatten(1).sum(dim=1, keepdim=True)
    expected = 0.5 * 10.0 * np.square(a.numpy()).sum()
    for per_sample in ("mean", "sum"):
        penalty = r1_penalty(logits, images, gamma=10.0, per_sample=per_sample)
        assert penalty.item() == pytest.approx(expected, rel=1e-12)


def test_r1_value_depends_on_each_pictures_own_gradient():
    # D(x) = |x|^2 / 2 has the gradient x: the mean over the batch of squared norms, not the norm of the mean
    images = torch.from_numpy(np.random.default_rng(12).normal(size=(5, 3, 4, 4))).requires_grad_()
    logits = 0.5 * images.square().flatten(1).sum(dim=1)
    expected = 0.5 * 3.0 * np.square(images.detach().numpy()).sum(axis=(1, 2, 3)).mean()
    assert r1_penalty(logits, images, gamma=3.0).item() == pytest.approx(expected, rel=1e-12)


def test_r1_of_patches_sums_to_their_number_squared_times_the_mean():
    torch.manual_seed(0)
    network = nn.Conv2d(3, 1, 3, padding=1).double()
    images = torch.rand(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    by_mean = r1_penalty(network(images), images, gamma=1.0)
    by_sum = r1_penalty(network(images), images, gamma=1.0, per_sample="sum")
    assert by_sum.item() == pytest.approx(36.0**2 * by_mean.item(), rel=1e-10)


def test_r1_gradient_reaches_the_discriminator():
    # D(x) = w <a, x>: R1 = gamma / 2 * w^2 |a|^2, so dR1 / dw = gamma * w * |a|^2
    a = torch.from_numpy(np.random.default_rng(13).normal(size=(3, 4, 4)))
    w = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    logits = w * (images * a).flatten(1).sum(dim=1)
    r1_penalty(logits, images, gamma=2.0).backward()
    assert w.grad is not None
    assert w.grad.item() == pytest.approx(2.0 * 0.7 * a.square().sum().item(), rel=1e-12)


def test_r1_leaves_the_graph_for_the_rest_of_the_step():
    network = nn.Conv2d(3, 1, 3)
    images = torch.rand(2, 3, 6, 6, requires_grad=True)
    logits = network(images)
    penalty = r1_penalty(logits, images, gamma=1.0)
    (functional.softplus(-logits).mean() + penalty).backward()
    assert network.weight.grad is not None
    assert torch.isfinite(network.weight.grad).all()


def test_r1_exception():
    images = torch.rand(1, 3, 4, 4)
    with pytest.raises(ValueError, match="requires_grad"):
        r1_penalty(images.sum().reshape(1, 1), images, gamma=1.0)
    images.requires_grad_()
    with pytest.raises(ValueError, match="'mean' or 'sum'"):
        r1_penalty(images.sum().reshape(1, 1), images, gamma=1.0, per_sample="max")  # type: ignore[arg-type]


# ---- the statistic


def test_accuracy_value_counts_pictures_not_patches():
    real = torch.tensor([[5.0, -1.0], [-1.0, -1.0], [1.0, 1.0], [0.5, 0.5]])
    fake = torch.tensor([[-5.0, 1.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    accuracy = discriminator_accuracy(real, fake)
    assert (accuracy.real.item(), accuracy.fake.item(), accuracy.both.item()) == (0.75, 0.25, 0.5)


def test_accuracy_of_a_constant_answer_is_chance():
    real = fake = torch.ones(4, 1, requires_grad=True)
    accuracy = discriminator_accuracy(real, fake)
    assert accuracy.both.item() == 0.5
    assert not accuracy.both.requires_grad


# ---- feature matching


def _layers(seed: int) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=(2, c, s, s))) for c, s in ((4, 8), (8, 4), (16, 2))]


@pytest.mark.parametrize("num_last", [1, 2, 3])
def test_feature_matching_value(num_last):
    ours, theirs = _layers(14), _layers(15)
    expected = np.mean(
        [
            np.abs(a.numpy() - b.numpy()).mean()
            for a, b in zip(ours[-num_last:], theirs[-num_last:], strict=True)
        ]
    )
    assert feature_matching_loss(ours, theirs, num_last=num_last).item() == pytest.approx(expected, rel=1e-12)


def test_feature_matching_gradient_reaches_the_last_layers_of_the_result_only():
    ours = [layer.requires_grad_() for layer in _layers(16)]
    theirs = [layer.requires_grad_() for layer in _layers(17)]
    feature_matching_loss(ours, theirs, num_last=2).backward()
    assert [layer.grad is not None for layer in ours] == [False, True, True]
    assert [layer.grad is not None for layer in theirs] == [False, False, False]


def test_feature_matching_gradcheck():
    ours, theirs = _layers(18), _layers(19)
    weight = torch.tensor([1.0, 0.5], dtype=torch.float64)
    last = ours[-1].requires_grad_()
    assert gradcheck(
        lambda x: feature_matching_loss([*ours[:-1], x], theirs, num_last=2, weight=weight), (last,)
    )


def test_feature_matching_exception():
    ours = _layers(20)
    with pytest.raises(ValueError, match="same layers"):
        feature_matching_loss(ours, ours[1:])
    with pytest.raises(ValueError, match="num_last"):
        feature_matching_loss(ours, ours, num_last=4)
    with pytest.raises(ValueError, match="num_last"):
        feature_matching_loss(ours, ours, num_last=0)
