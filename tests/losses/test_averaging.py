"""Which mean: empty maps and empty batches stay finite, and halves of a batch average to the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hififace.losses.averaging import absolute_difference, batch_mean, full_precision, per_sample_mean


def test_per_sample_mean_value_with_and_without_a_map():
    values = torch.arange(16.0).reshape(2, 2, 2, 2)
    assert per_sample_mean(values).tolist() == [3.5, 11.5]
    valid = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]], [[[0.0, 1.0], [0.0, 1.0]]]])
    # sample 0: pixel (0, 0) of both channels, 0 and 4; sample 1: pixels 9, 11, 13, 15
    assert per_sample_mean(values, valid).tolist() == [2.0, 12.0]


def test_per_sample_mean_of_nothing_is_zero_with_zero_gradient():
    values = torch.rand(2, 3, 4, 4, requires_grad=True)
    valid = torch.zeros(2, 1, 4, 4)
    mean = per_sample_mean(values, valid)
    mean.sum().backward()
    assert mean.tolist() == [0.0, 0.0]
    assert values.grad is not None
    assert torch.equal(values.grad, torch.zeros_like(values))


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 3, 4, 4), (1, 1, 4, 4), (2, 1, 2, 2)])
def test_per_sample_mean_refuses_a_map_that_would_broadcast(shape):
    with pytest.raises(ValueError, match="valid must be"):
        per_sample_mean(torch.zeros(2, 3, 4, 4), torch.ones(shape))


def test_batch_mean_value():
    values, weight = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([1.0, 0.0, 1.0])
    assert batch_mean(values).item() == 3.0
    assert batch_mean(values, weight).item() == pytest.approx(7.0 / 3.0)
    assert batch_mean(values, weight, normalise=True).item() == 3.5


def test_batch_mean_of_no_chosen_sample_is_zero_with_zero_gradient():
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    mean = batch_mean(values, torch.zeros(2), normalise=True)
    mean.backward()
    assert mean.item() == 0.0
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 0.0]


def test_batch_mean_of_two_halves_averages_to_the_whole():
    # what data-parallel training and gradient accumulation rely on; `normalise` does not have it
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(8, generator=generator, dtype=torch.float64)
    weight = torch.tensor([1.0, 1, 1, 0, 0, 0, 1, 0], dtype=torch.float64)
    halves = [batch_mean(values[half], weight[half]) for half in (slice(0, 4), slice(4, 8))]
    assert torch.stack(halves).mean().item() == pytest.approx(batch_mean(values, weight).item(), rel=1e-12)
    normalised = [
        batch_mean(values[half], weight[half], normalise=True) for half in (slice(0, 4), slice(4, 8))
    ]
    whole = batch_mean(values, weight, normalise=True).item()
    assert torch.stack(normalised).mean().item() != pytest.approx(whole, rel=1e-3)


def test_batch_mean_refuses_unreduced_values_and_foreign_weights():
    with pytest.raises(ValueError, match="one value per sample"):
        batch_mean(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="per-sample weight"):
        batch_mean(torch.zeros(2), torch.zeros(2, 1))


def test_absolute_difference_refuses_to_broadcast():
    with pytest.raises(ValueError, match="one shape"):
        absolute_difference(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4))


def test_half_precision_is_lifted_before_it_is_averaged():
    # 0.1 in bfloat16 is 0.10009765625; the mean of many of them in bfloat16 arithmetic would be rounded again
    half = torch.full((1, 3, 64, 64), 0.1, dtype=torch.bfloat16)
    mean = per_sample_mean(absolute_difference(half, torch.zeros_like(half)))
    assert mean.dtype == torch.float32
    assert mean.item() == pytest.approx(0.10009765625, rel=1e-6)
    assert full_precision(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


def test_gradient():
    rng = np.random.default_rng(1)
    values = torch.from_numpy(rng.random((2, 3, 4, 4))).requires_grad_()
    valid = torch.from_numpy(rng.random((2, 1, 4, 4)))
    weight = torch.tensor([0.5, 2.0], dtype=torch.float64)
    assert gradcheck(lambda v: batch_mean(per_sample_mean(v, valid), weight, normalise=True), (values,))
