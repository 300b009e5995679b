from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hififace.models.create import Discriminator, create_discriminator
from hififace.models.params import patch_discriminator, reference_discriminator

SMALL_RESIDUAL = replace(reference_discriminator(), resolution=16, stem_channels=4, channels=(6, 8))
SMALL_PATCH = patch_discriminator(resolution=32, stem_channels=6, channels=(8, 10))


@pytest.fixture(params=[SMALL_RESIDUAL, SMALL_PATCH], ids=["residual", "patch"])
def discriminator(request) -> Discriminator:
    torch.manual_seed(0)
    return create_discriminator(request.param)


def pictures(discriminator: Discriminator, batch: int = 3) -> torch.Tensor:
    return torch.rand(batch, 3, discriminator.params.resolution, discriminator.params.resolution)


def test_shapes() -> None:
    residual = create_discriminator(SMALL_RESIDUAL)(torch.rand(3, 3, 16, 16))
    assert residual.logits.shape == (3, 2, 1, 1)
    assert [tuple(f.shape[1:]) for f in residual.features] == [(6, 8, 8), (8, 4, 4)]
    patch = create_discriminator(SMALL_PATCH)(torch.rand(3, 3, 32, 32))
    assert patch.logits.shape == (3, 1, 4, 4)
    assert [tuple(f.shape[1:]) for f in patch.features] == [(6, 16, 16), (8, 8, 8), (10, 4, 4), (10, 4, 4)]


def test_gradients_reach_every_parameter(discriminator: Discriminator) -> None:
    discriminator(pictures(discriminator)).logits.square().sum().backward()
    assert [
        n for n, p in discriminator.named_parameters() if p.grad is None or not p.grad.abs().max() > 0
    ] == []


def test_r1_penalty_has_a_gradient(discriminator: Discriminator) -> None:
    """R1 differentiates twice; a network whose second derivative is cut would train as if it were absent."""
    real = pictures(discriminator).requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(real).logits.sum(), real, create_graph=True)
    slope.square().sum().backward()
    # Biases after which only the last layer follows have no say in the slope.
    blind = [n for n, p in discriminator.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert [name for name in blind if name.endswith("weight")] == []


def test_every_picture_is_judged_by_itself(discriminator: Discriminator) -> None:
    images = pictures(discriminator)
    torch.testing.assert_close(discriminator(images).logits[1:2], discriminator(images[1:2]).logits)


def test_reference_logits_pass_a_leaky_relu() -> None:
    discriminator = create_discriminator(SMALL_RESIDUAL)
    with torch.no_grad():
        discriminator.head.weight.zero_()
        discriminator.head.bias.copy_(torch.tensor([-1.0, 1.0]))
    logits = discriminator(pictures(discriminator, 1)).logits.flatten()
    torch.testing.assert_close(logits, torch.tensor([-0.2, 1.0]))


def test_each_verdict_of_the_mini_critic_sees_most_of_the_face() -> None:
    torch.manual_seed(0)
    discriminator = create_discriminator(patch_discriminator())
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    discriminator(image).logits[0, 0, 4, 4].backward()
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 110


@pytest.mark.parametrize("shape", [(2, 3, 20, 20), (2, 1, 32, 32), (3, 32, 32)])
def test_wrong_sizes_are_told_in_a_sentence(shape) -> None:
    with pytest.raises(ValueError, match=r"expects \(B, 3, 32, 32\)"):
        create_discriminator(SMALL_PATCH)(torch.zeros(shape))
