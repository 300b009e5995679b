"""Networks from numbers: no file is read, weights are random until somebody loads some."""

from __future__ import annotations

from torch import nn

from hififace.models.discriminator import PatchDiscriminator, ResidualDiscriminator
from hififace.models.generator import Generator
from hififace.models.params import DiscriminatorParams, GeneratorParams
from hififace.models.projected import FeatureMaps, ProjectedDiscriminator

Discriminator = ResidualDiscriminator | PatchDiscriminator | ProjectedDiscriminator


def create_generator(params: GeneratorParams) -> Generator:
    """A generator with fresh weights, drawn from torch's global generator (seed it first)."""
    return Generator(params)


def create_discriminator(params: DiscriminatorParams, features: FeatureMaps | None = None) -> Discriminator:
    """A discriminator with fresh weights, drawn from torch's global generator (seed it first).

    Args:
        params: what it is built from.
        features: the frozen network that a projected one sees with; others need none.

    Raises:
        ValueError: a projected discriminator without its frozen network.
    """
    if params.kind == "projected":
        if features is None:
            raise ValueError(f"'{params.name}' sees with a frozen network, and none was given.")
        return ProjectedDiscriminator(params, features)
    return ResidualDiscriminator(params) if params.kind == "residual" else PatchDiscriminator(params)


def num_parameters(network: nn.Module) -> int:
    """How many numbers training can change."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
