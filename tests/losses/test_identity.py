"""Identity: cosines by hand, several embedders, chosen pairs only, and the leak of the target's own face."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hififace.losses.identity import (
    cosine,
    identity_leak_loss,
    identity_loss,
    several_identity_loss,
)

B, D = 4, 8


def _vectors(seed: int, num: int, size: int = D) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=(B, size))) for _ in range(num)]


def _cosines(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    x, y = a.numpy(), b.numpy()
    return np.array([p @ q / math.sqrt((p @ p) * (q @ q)) for p, q in zip(x, y, strict=True)])


def test_what_is_enough_is_not_asked_for_again():
    source = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).double()
    result = torch.tensor([[0.8, 0.6], [0.6, 0.8]]).double().requires_grad_()
    loss = identity_loss(source, result, enough=0.7)
    assert loss.item() == pytest.approx((0.0 + 0.1) / 2)
    several = several_identity_loss([source], [result], embedder_weights=(2.0,), enough=0.7)
    assert several.item() == pytest.approx(0.1)
    loss.backward()
    assert result.grad is not None
    assert (result.grad[0] == 0).all()
    assert (result.grad[1] != 0).any()


def test_smoke():
    source, result, low = _vectors(0, 3)
    assert identity_loss(source, result, low).shape == ()
    assert cosine(source, result).shape == (B,)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_value_ignores_the_length_of_the_vectors(scale):
    source, result, low = _vectors(0, 3)
    expected = np.abs(1 - _cosines(source, result)).mean() + np.abs(1 - _cosines(source, low)).mean()
    assert identity_loss(scale * source, result, low).item() == pytest.approx(expected, rel=1e-12)


def test_value_of_known_angles():
    source = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    result = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    assert identity_loss(source, result).item() == pytest.approx((0 + 1 + 2) / 3)


def test_value_of_chosen_pairs():
    source, result = _vectors(1, 2)
    different = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    distances = (1 - _cosines(source, result))[[0, 2, 3]]
    assert identity_loss(source, result, weight=different).item() == pytest.approx(distances.sum() / B)
    normalised = identity_loss(source, result, weight=different, normalise=True)
    assert normalised.item() == pytest.approx(distances.mean())


def test_value_of_several_embedders_of_different_size():
    sources = [_vectors(2, 1, 8)[0], _vectors(3, 1, 5)[0]]
    results = [_vectors(4, 1, 8)[0], _vectors(5, 1, 5)[0]]
    lows = [_vectors(6, 1, 8)[0], _vectors(7, 1, 5)[0]]
    expected = sum(
        share * ((1 - _cosines(s, r)).mean() + (1 - _cosines(s, i)).mean())
        for share, s, r, i in zip((0.7, 0.3), sources, results, lows, strict=True)
    )
    loss = several_identity_loss(sources, results, lows, embedder_weights=(0.7, 0.3))
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_exception():
    source, result = _vectors(0, 2)
    with pytest.raises(ValueError, match="one shape"):
        identity_loss(source, result[:, :4])
    with pytest.raises(ValueError, match=r"\(B, D\)"):
        identity_loss(source[0], result[0])
    with pytest.raises(ValueError, match="one entry per embedder"):
        several_identity_loss([source], [result], embedder_weights=(0.5, 0.5))
    with pytest.raises(ValueError, match="one entry per embedder"):
        several_identity_loss([], [], embedder_weights=())


def test_gradient():
    source, result, low = _vectors(8, 3)
    result.requires_grad_()
    low.requires_grad_()
    weight = torch.tensor([1.0, 0.5, 0.0, 2.0], dtype=torch.float64)
    assert gradcheck(lambda r, i: identity_loss(source, r, i, weight=weight), (result, low))


def test_gradient_turns_the_result_and_never_stretches_it():
    source, result = _vectors(9, 2)
    result.requires_grad_()
    identity_loss(source, result).backward()
    assert result.grad is not None
    along = (result.grad * result.detach()).sum(dim=1)
    torch.testing.assert_close(along, torch.zeros(B, dtype=torch.float64), atol=1e-12, rtol=0)


def test_gradient_is_zero_for_pairs_left_out():
    source, result = _vectors(10, 2)
    result.requires_grad_()
    identity_loss(source, result, weight=torch.tensor([1.0, 0.0, 1.0, 0.0]).double()).backward()
    assert result.grad is not None
    assert result.grad.abs().sum(dim=1).gt(0).tolist() == [True, False, True, False]


def test_leak_value_and_gradient():
    target = torch.tensor([[1.0, 0.0]] * 3, dtype=torch.float64)
    angles = [0.1, 0.2, 0.8]  # cosines
    result = torch.tensor([[c, math.sqrt(1 - c * c)] for c in angles], dtype=torch.float64)
    result.requires_grad_()
    loss = identity_leak_loss(target, result, margin=0.3)
    loss.backward()
    assert loss.item() == pytest.approx(0.5 / 3, rel=1e-12)
    assert result.grad is not None
    assert result.grad.abs().sum(dim=1).gt(0).tolist() == [False, False, True]


def test_leak_spares_pairs_of_one_person():
    (target,) = _vectors(14, 1)
    assert identity_leak_loss(target, target, weight=torch.zeros(B).double()).item() == 0.0
    assert identity_leak_loss(target, target, margin=0.2).item() == pytest.approx(0.8)
