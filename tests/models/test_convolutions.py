"""Cheaper kernels for training on CPUs: the same numbers as the plain functions, forward, backward and twice."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hififace.models.convolutions import Conv3x3, gated, trains_on_cpu
from hififace.models.normalisation import leaky

LAST = torch.channels_last


def close(ours, theirs):
    """Within 1e-4 of the largest number: Winograd adds in another order, with factors up to 8."""
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert float((a - b).detach().abs().max()) < 1e-4 * float(b.detach().abs().max())


def images(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(memory_format=LAST).requires_grad_(True)


@pytest.mark.parametrize(
    ("channels_in", "channels_out", "height", "width"), [(64, 64, 8, 12), (96, 64, 4, 4)]
)
def test_wide_convolutions_agree_with_the_plain_sum(channels_in, channels_out, height, width):
    torch.manual_seed(1)
    layer = Conv3x3(channels_in, channels_out).to(memory_format=LAST)
    x, g = images(3, channels_in, height, width), images(3, channels_out, height, width, seed=1).detach()
    ours = layer(x)
    assert "Winograd" in type(ours.grad_fn).__name__
    theirs = F.conv2d(x, layer.weight, layer.bias, padding=1)
    wanted = (x, layer.weight, layer.bias)
    close([ours, *torch.autograd.grad(ours, wanted, g)], [theirs, *torch.autograd.grad(theirs, wanted, g)])
    assert ours.is_contiguous(memory_format=LAST)


def test_the_gradient_of_a_gradient_is_that_of_the_plain_sum():
    """R1 asks for it."""
    torch.manual_seed(2)
    layer = Conv3x3(64, 64).to(memory_format=LAST)
    x = images(2, 64, 8, 8)
    found = []
    for y in (layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1)):
        (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), (x, layer.weight)))
    close(*found)


@pytest.mark.parametrize(("channels", "side"), [(32, 8), (64, 6)], ids=["narrow", "not in tiles"])
def test_other_convolutions_are_the_plain_ones(channels, side):
    layer = Conv3x3(channels, channels).to(memory_format=LAST)
    x = images(2, channels, side, side)
    assert "Winograd" not in type(layer(x).grad_fn).__name__


def test_answers_are_the_plain_ones_to_the_last_digit():
    layer = Conv3x3(64, 64).to(memory_format=LAST)
    x = images(1, 64, 8, 8).detach()
    with torch.no_grad():
        assert not trains_on_cpu(x)
        assert torch.equal(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1))


@pytest.mark.parametrize("asked", [True, False])
def test_a_gate_agrees_with_its_formula(asked):
    torch.manual_seed(3)
    gate = nn.Conv2d(5 + 3, 5, 1).to(memory_format=LAST)
    z, adapted = images(2, 5, 6, 7), images(2, 5, 6, 7, seed=4)
    skip = images(2, 3, 6, 7, seed=5).detach().requires_grad_(asked)
    g = images(2, 5, 6, 7, seed=6).detach()
    wanted = (z, adapted, gate.weight, gate.bias, *([skip] if asked else []))
    ours = gated(z, skip, adapted, gate)
    assert "_Gate" in type(ours.grad_fn).__name__
    theirs = leaky(z + torch.sigmoid(gate(torch.cat((z, skip), dim=1))) * adapted)
    close([ours, *torch.autograd.grad(ours, wanted, g)], [theirs, *torch.autograd.grad(theirs, wanted, g)])
