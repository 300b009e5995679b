"""A wider, finer generator that starts as the one it was made from."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hififace.errors import TrainingError
from hififace.models.generator import Generator
from hififace.models.params import BlockParams, VectorPart, mini_128, mini_256, tiny
from hififace.training.warm_start import start_from

SMALL = replace(tiny(32), skip_gates=True)
LARGE = replace(
    SMALL,
    name="large",
    resolution=64,
    pixel_unshuffle=4,
    stem_channels=12,
    encoder=(BlockParams(16, "down"), BlockParams(24, "down")),
    decoder=(BlockParams(24), BlockParams(16, "up")),
    upsampler=(12,),
    shuffle_channels=12,
    detail_channels=4,
)


@pytest.fixture
def small():
    """With gates that let something through, as after training."""
    torch.manual_seed(1)
    network = Generator(SMALL)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


@torch.no_grad()
def test_a_wider_and_finer_network_starts_as_the_old_one_enlarged(small):
    torch.manual_seed(2)
    large = Generator(LARGE)
    new = start_from(large, small.state_dict())
    assert all(name.startswith("upsampler.detail.") for name in new)
    target, vector = torch.rand(2, 3, 32, 32), torch.randn(2, SMALL.vector_size)
    before = small(target, vector)
    after = large(target.repeat_interleave(2, 2).repeat_interleave(2, 3), vector)
    torch.testing.assert_close(after.image_low, before.image_low, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.mask_low, before.mask_low, atol=1e-4, rtol=1e-4)
    logits = F.interpolate(before.mask.logit(), scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(after.mask, torch.sigmoid(logits), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_network_that_is_told_of_the_target_starts_as_one_that_is_not(small):
    told = replace(SMALL, vector=(*SMALL.vector, VectorPart("target_identity", 8, 2.8, "target")))
    torch.manual_seed(2)
    network = Generator(told)
    assert start_from(network, small.state_dict()) == []
    target, vector = torch.rand(2, 3, 32, 32), torch.randn(2, SMALL.vector_size)
    after = network(target, torch.cat((vector, torch.randn(2, 8)), dim=1))
    torch.testing.assert_close(after.image, small(target, vector).image)


@torch.no_grad()
def test_the_first_gradient_reaches_new_channels(small):
    torch.manual_seed(2)
    large = Generator(LARGE)
    start_from(large, small.state_dict())
    with torch.enable_grad():
        large(torch.rand(1, 3, 64, 64), torch.randn(1, SMALL.vector_size)).image.square().mean().backward()
    gradient = large.encoder.blocks[0].conv2.weight.grad
    assert gradient is not None
    assert float(gradient[:12, 8:].abs().max()) > 0  # old outputs, new inputs


def test_equal_shapes_are_copied(small):
    other = Generator(SMALL)
    assert start_from(other, {name: value.half() for name, value in small.state_dict().items()}) == []
    for name, value in other.state_dict().items():
        assert torch.equal(value, small.state_dict()[name].half().float()), name


def test_the_embedded_sizes_fit():
    old = Generator(replace(mini_128(), skip_gates=True)).state_dict()
    new = start_from(Generator(mini_256()), old)
    assert {name.split(".")[1] for name in new} == {"detail"}


def test_a_network_of_another_shape_is_refused(small):
    weights = {**small.state_dict(), "encoder.blocks.7.conv1.weight": torch.zeros(1)}
    with pytest.raises(TrainingError, match=r"'tiny' has no encoder\.blocks\.7\.conv1\.weight"):
        start_from(Generator(SMALL), weights)


def test_a_network_cannot_be_made_narrower(small):
    large = Generator(LARGE)
    weights = {"encoder.blocks.0.conv2.weight": large.state_dict()["encoder.blocks.0.conv2.weight"]}
    with pytest.raises(TrainingError, match="can only be widened"):
        start_from(small, weights)


def test_a_stem_of_another_fold_is_refused(small):
    odd = Generator(replace(SMALL, resolution=96, pixel_unshuffle=6))
    with pytest.raises(TrainingError, match="a stem of 12 inputs can become one of 48, not of 108"):
        start_from(odd, {"encoder.stem.weight": small.state_dict()["encoder.stem.weight"]})
