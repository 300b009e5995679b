"""Heads on a frozen network: shapes, what is trained and saved, what gradients reach."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hififace.models.create import create_discriminator, num_parameters
from hififace.models.params import projected_discriminator
from hififace.models.pretrained.efficientnet_lite import EfficientNetLite
from hififace.models.pretrained.frozen import freeze
from hififace.models.projected import ProjectedDiscriminator

SMALL = replace(projected_discriminator(64, width=6), channels=(24, 40))


class Features(nn.Module):
    """Two maps, a 4th and an 8th of the side."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 24, 4, 4), nn.Conv2d(24, 40, 2, 2)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        first = self.first(image)
        return [first, self.second(first)]


@pytest.fixture
def discriminator() -> ProjectedDiscriminator:
    torch.manual_seed(0)
    found = create_discriminator(SMALL, freeze(Features()))
    assert isinstance(found, ProjectedDiscriminator)
    return found


def test_every_map_gives_as_many_verdicts(discriminator: ProjectedDiscriminator) -> None:
    output = discriminator(torch.rand(3, 3, 64, 64))
    assert output.logits.shape == (3, 2 * 8 * 8, 1, 1)
    assert [tuple(f.shape[1:]) for f in output.features] == [(6, 8, 8), (6, 8, 8)]


def test_the_frozen_network_is_neither_trained_nor_saved(discriminator: ProjectedDiscriminator) -> None:
    assert {name.split(".")[0] for name, _ in discriminator.named_parameters()} == {"heads"}
    kept = {name.split(".")[0] for name in discriminator.state_dict()}
    assert kept == {"heads", "mixing_0", "mixing_1"}
    again = create_discriminator(SMALL, discriminator._frozen[0])
    again.load_state_dict(discriminator.state_dict())
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(again.eval()(image).logits, discriminator.eval()(image).logits)


def test_gradients_reach_heads_and_image(discriminator: ProjectedDiscriminator) -> None:
    image = torch.rand(2, 3, 64, 64, requires_grad=True)
    discriminator(image).logits.square().sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert [n for n, p in discriminator.named_parameters() if p.grad is None] == []


def test_it_learns_to_tell_noise_from_smooth_images(discriminator: ProjectedDiscriminator) -> None:
    adam = torch.optim.Adam(discriminator.parameters(), lr=3e-3, betas=(0.0, 0.99))
    for _ in range(60):
        noise = torch.rand(4, 3, 64, 64)
        smooth = F.interpolate(torch.rand(4, 3, 4, 4), size=64, mode="bilinear")
        loss = (
            F.softplus(-discriminator(smooth).logits).mean() + F.softplus(discriminator(noise).logits).mean()
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
    discriminator.eval()
    with torch.no_grad():
        smooth = F.interpolate(torch.rand(16, 3, 4, 4), size=64, mode="bilinear")
        real, fake = (discriminator(x).logits.mean(dim=1) for x in (smooth, torch.rand(16, 3, 64, 64)))
    assert (real > fake.max()).all()


def test_the_heads_fit_efficientnet_lite1() -> None:
    seen = freeze(EfficientNetLite(stages=(2, 3, 4, 5), variant="lite1"))
    discriminator = create_discriminator(projected_discriminator(128), seen)
    assert discriminator(torch.rand(1, 3, 128, 128)).logits.shape == (1, 4 * 4 * 4, 1, 1)
    assert num_parameters(discriminator) < 600_000


def test_what_is_missing_or_of_another_size_is_said(discriminator: ProjectedDiscriminator) -> None:
    with pytest.raises(ValueError, match=r"projected_64.*frozen network"):
        create_discriminator(SMALL)
    with pytest.raises(ValueError, match=r"expects \(B, 3, 64, 64\)"):
        discriminator(torch.rand(1, 3, 32, 32))
