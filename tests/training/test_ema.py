import pytest
import torch
from torch import nn

from hififace.training.ema import MovingAverage, ema_decay


def test_after_one_half_life_an_old_weight_counts_half():
    decay = ema_decay(100, 10**9, half_life_images=1000, rampup=0.05)
    assert decay**10 == pytest.approx(0.5)


def test_ramp_up_forgets_the_random_start():
    assert ema_decay(10, 0, half_life_images=1000, rampup=0.05) == pytest.approx(0.0)
    early = ema_decay(10, 1000, half_life_images=1000, rampup=0.05)
    assert early == pytest.approx(0.5 ** (10 / 50))


def test_without_ramp_up_the_half_life_holds_from_the_start():
    assert ema_decay(10, 0, half_life_images=10, rampup=0.0) == pytest.approx(0.5)


def test_the_average_follows_parameters_and_copies_buffers():
    network = nn.BatchNorm1d(2)
    average = MovingAverage(network, half_life_images=10, rampup=0.0)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(7.0)
    average.update(network, batch_size=10, images_seen=0)
    assert torch.allclose(average.module.weight, torch.full((2,), 2.0))  # halfway from 1 to 3
    assert torch.equal(average.module.running_mean, torch.full((2,), 7.0))
    assert not average.module.weight.requires_grad
    assert not average.module.training
