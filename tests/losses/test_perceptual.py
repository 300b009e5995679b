"""Perceptual: LPIPS against its formula in numpy, feature L1 in units of the features, one person only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from hififace.losses.averaging import batch_mean
from hififace.losses.perceptual import (
    feature_l1_distance,
    lpips_distance,
)

B = 3
SIZES = ((4, 6), (7, 3))


def perceptual_loss(result, target, heads, same=None, *, normalise=False):
    """As `training/step.py` makes it."""
    return batch_mean(lpips_distance(result, [f.detach() for f in target], heads), same, normalise=normalise)


def feature_l1_loss(result, target, *, layer_weights=None, same=None):
    return batch_mean(feature_l1_distance(result, target, layer_weights), same)


def _layers(seed: int) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=(B, c, s, s))) for c, s in SIZES]


def _heads(seed: int = 9) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.random(c)) for c, _ in SIZES]


def _lpips(ours, theirs, heads) -> np.ndarray:
    total = np.zeros(B)
    for f, g, head in zip(ours, theirs, heads, strict=True):
        x, y = f.numpy(), g.numpy()
        for b in range(B):
            for row in range(x.shape[2]):
                for column in range(x.shape[3]):
                    u, v = x[b, :, row, column], y[b, :, row, column]
                    u, v = u / (np.sqrt(u @ u) + 1e-10), v / (np.sqrt(v @ v) + 1e-10)
                    total[b] += (head.numpy() * (u - v) ** 2).sum() / (x.shape[2] * x.shape[3])
    return total


class _TinyFeatures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        first = self.first(images).relu()
        return [first, self.second(first).relu()]


def _tiny() -> _TinyFeatures:
    torch.manual_seed(0)
    return _TinyFeatures().double().requires_grad_(False)


def test_smoke():
    assert lpips_distance(_layers(0), _layers(1), _heads()).shape == (B,)
    assert perceptual_loss(_layers(0), _layers(1), _heads()).shape == ()
    assert feature_l1_loss(_layers(0), _layers(1)).shape == ()


def test_lpips_value():
    ours, theirs, heads = _layers(0), _layers(1), _heads()
    np.testing.assert_allclose(
        lpips_distance(ours, theirs, heads).numpy(), _lpips(ours, theirs, heads), rtol=1e-10
    )


def test_lpips_keeps_full_precision_under_autocast():
    ours, theirs, heads = ([x.float() for x in layers] for layers in (_layers(0), _layers(1), _heads()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        distance = lpips_distance(ours, theirs, heads)
    assert torch.equal(distance, lpips_distance(ours, theirs, heads))


def test_lpips_ignores_the_length_of_a_feature_vector():
    ours, theirs, heads = _layers(0), _layers(1), _heads()
    expected = lpips_distance(ours, theirs, heads)
    scaled = lpips_distance([5 * f for f in ours], [0.1 * g for g in theirs], heads)
    torch.testing.assert_close(scaled, expected, rtol=1e-8, atol=0)


def test_lpips_of_dead_features_is_zero_with_a_finite_gradient():
    zeros = [torch.zeros_like(layer).requires_grad_() for layer in _layers(0)]
    distance = lpips_distance(zeros, [torch.zeros_like(layer) for layer in zeros], _heads())
    distance.sum().backward()
    assert distance.tolist() == [0.0] * B
    for layer in zeros:
        assert layer.grad is not None
        assert torch.isfinite(layer.grad).all()


def test_perceptual_value_is_the_references_zeroed_pictures():
    # the reference feeds I * same; a picture of another person becomes 0 against 0, whose distance is 0
    rng = np.random.default_rng(2)
    result, target = (torch.from_numpy(rng.random((B, 3, 12, 12))) for _ in range(2))
    same = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    network, heads = _tiny(), [torch.rand(4).double(), torch.rand(6).double()]
    product = same[:, None, None, None]
    zeroed = _lpips(network(result * product), network(target * product), heads).mean()
    loss = perceptual_loss(network(result), network(target), heads, same)
    assert loss.item() == pytest.approx(zeroed, rel=1e-10)


def test_perceptual_value_normalised():
    ours, theirs, heads = _layers(3), _layers(4), _heads()
    same = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
    loss = perceptual_loss(ours, theirs, heads, same, normalise=True)
    assert loss.item() == pytest.approx(_lpips(ours, theirs, heads)[1:].mean(), rel=1e-10)


def test_feature_l1_value():
    ours, theirs = _layers(5), _layers(6)
    same = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    per_sample = np.zeros(B)
    for f, g, share in zip(ours, theirs, (0.25, 2.0), strict=True):
        x, y = f.numpy(), g.numpy()
        per_sample += 0.5 * share * np.abs(x - y).mean(axis=(1, 2, 3)) / np.abs(y).mean(axis=(1, 2, 3))
    loss = feature_l1_loss(ours, theirs, layer_weights=(0.25, 2.0), same=same)
    assert loss.item() == pytest.approx((per_sample[0] + per_sample[2]) / B, rel=1e-12)


def test_feature_l1_counts_layers_alike_whatever_their_scale():
    ours, theirs = _layers(5), _layers(6)
    scaled = feature_l1_loss([ours[0], 1000 * ours[1]], [theirs[0], 1000 * theirs[1]])
    assert scaled.item() == pytest.approx(feature_l1_loss(ours, theirs).item(), rel=1e-10)


def test_feature_l1_of_a_sample_does_not_depend_on_its_neighbours():
    ours, theirs = _layers(5), _layers(6)
    whole = feature_l1_distance(ours, theirs)
    alone = [
        feature_l1_distance([f[b : b + 1] for f in ours], [g[b : b + 1] for g in theirs]) for b in range(B)
    ]
    torch.testing.assert_close(whole, torch.cat(alone), rtol=1e-12, atol=0)


def test_gradient_never_reaches_the_targets_features():
    ours = [layer.requires_grad_() for layer in _layers(11)]
    theirs = [layer.requires_grad_() for layer in _layers(12)]
    (perceptual_loss(ours, theirs, _heads()) + feature_l1_loss(ours, theirs)).backward()
    assert all(layer.grad is not None for layer in ours)
    assert all(layer.grad is None for layer in theirs)


def test_exception():
    ours, theirs, heads = _layers(0), _layers(1), _heads()
    with pytest.raises(ValueError, match="one entry per layer"):
        lpips_distance(ours, theirs, heads[:1])
    with pytest.raises(ValueError, match="one entry per layer"):
        feature_l1_loss([], [])
    with pytest.raises(ValueError, match="one shape"):
        lpips_distance(ours, [theirs[0][:1], theirs[1]], heads)
    with pytest.raises(ValueError, match="needs a head of that size"):
        lpips_distance(ours, theirs, [heads[0], heads[0]])


def test_gradient():
    rng = np.random.default_rng(7)
    ours = [torch.from_numpy(rng.normal(size=(2, 3, 2, 2))).requires_grad_()]
    theirs = [torch.from_numpy(rng.normal(size=(2, 3, 2, 2)))]
    heads = [torch.from_numpy(rng.random(3))]
    same = torch.tensor([1.0, 0.5], dtype=torch.float64)
    assert gradcheck(lambda f: perceptual_loss([f], theirs, heads, same), ours)
    assert gradcheck(lambda f: feature_l1_loss([f], theirs, same=same), ours)


@pytest.mark.parametrize("with_heads", [True, False])
def test_gradient_reaches_the_result_of_one_person_only(with_heads):
    rng = np.random.default_rng(8)
    result, target = (torch.from_numpy(rng.random((B, 3, 12, 12))).requires_grad_() for _ in range(2))
    heads = [torch.ones(4).double(), torch.ones(6).double()] if with_heads else None
    same = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    network = _tiny()
    with torch.no_grad():
        known = network(target)
    made = network(result)
    loss = perceptual_loss(made, known, heads, same) if heads else feature_l1_loss(made, known, same=same)
    loss.backward()
    assert target.grad is None
    assert result.grad is not None
    assert result.grad.flatten(1).abs().sum(dim=1).gt(0).tolist() == [True, False, True]
