from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hififace.models.blocks import AdaIN, AdaINResBlock, ResBlock, initialise, resample
from hififace.models.normalisation import leaky, normalise_activate


@pytest.fixture
def features() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(3, 5, 6, 8) * torch.rand(3, 5, 1, 1) * 4 + torch.randn(3, 5, 1, 1)


def test_adain_adds_its_offset_to_the_scale(features) -> None:
    plain, offset = AdaIN(5, 4, 0.0), AdaIN(5, 4, 1.0)
    offset.load_state_dict(plain.state_dict())
    vector = torch.randn(3, 4)
    scale, shift = plain.scale(vector), plain.shift(vector)
    torch.testing.assert_close(offset(features, vector), normalise_activate(features, scale + 1.0, shift))


def test_resample_means_and_pixel_centres() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    torch.testing.assert_close(resample(x, "down"), torch.tensor([[[[2.5, 4.5], [10.5, 12.5]]]]))
    # Doubled with pixel centres, a row 0, 1 becomes 0, 1/4, 3/4, 1.
    row = torch.tensor([[[[0.0, 1.0]]]])
    torch.testing.assert_close(resample(row, "up")[0, 0, 0], torch.tensor([0.0, 0.25, 0.75, 1.0]))
    assert resample(x, "none") is x


def test_leaky_leaves_its_input_alone() -> None:
    x = torch.tensor([-1.0, 2.0])
    torch.testing.assert_close(leaky(x), torch.tensor([-0.2, 2.0]))
    assert x.tolist() == [-1.0, 2.0]


@pytest.mark.parametrize(("how", "side"), [("none", 8), ("down", 4), ("up", 16)])
@pytest.mark.parametrize("late_widening", [False, True])
@pytest.mark.parametrize("plain_skip", [False, True])
def test_res_block_shapes(how, side: int, late_widening: bool, plain_skip: bool) -> None:
    block = ResBlock(3, 6, how, late_widening=late_widening, plain_skip=plain_skip)
    assert block(torch.randn(2, 3, 8, 8)).shape == (2, 6, side, side)


def test_late_widening_puts_the_narrow_convolution_at_the_high_resolution() -> None:
    block = ResBlock(3, 6, "down", late_widening=True)
    assert (block.conv1.out_channels, block.conv2.in_channels) == (3, 3)
    assert ResBlock(3, 6, "down").conv1.out_channels == 6


def test_side_path_of_a_block_without_norm_sees_activated_input() -> None:
    """The reference's first layer overwrites its input; blind to it, every discriminator verdict differs."""
    block = ResBlock(2, 2, normalise=False)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    nn.init.dirac_(block.side.weight)
    x = torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(block(x), leaky(x))


def test_side_path_of_a_block_with_norm_sees_raw_input() -> None:
    block = ResBlock(2, 2)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    nn.init.dirac_(block.side.weight)
    x = torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(block(x), x)


def test_plain_skip_has_no_side_weights_where_the_width_stays() -> None:
    assert not list(ResBlock(4, 4, plain_skip=True).side.parameters())
    assert list(ResBlock(4, 5, plain_skip=True).side.parameters())
    assert list(ResBlock(4, 4).side.parameters())


def test_the_vector_reaches_both_halves_of_an_adain_block() -> None:
    block = AdaINResBlock(3, 4, vector_size=5, resample="up")
    vector = torch.randn(2, 5, requires_grad=True)
    out = block(torch.randn(2, 3, 4, 4), vector)
    assert out.shape == (2, 4, 8, 8)
    out.square().sum().backward()
    assert vector.grad.abs().min() > 0
    for norm in (block.norm1, block.norm2):
        assert norm.scale.weight.grad.abs().max() > 0


def test_initialise_as_the_reference_does() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(32, 64, 3), nn.Linear(100, 200))
    initialise(network, "reference")
    for layer in network:
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.03)
        assert not layer.bias.any()


def test_he_initialisation_keeps_the_variance_behind_an_activation() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular")
    initialise(layer, "he")
    out = layer(leaky(torch.randn(4, 64, 16, 16)))
    assert out.std().item() == pytest.approx(1.0, rel=0.1)
