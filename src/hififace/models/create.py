"""Networks from numbers: no file is read, weights are random until somebody loads some."""

from __future__ import annotations

from torch import nn

from hififace.models.discriminator import PatchDiscriminator, ResidualDiscriminator
from hififace.models.generator import Generator
from hififace.models.params import DiscriminatorParams, GeneratorParams

Discriminator = ResidualDiscriminator | PatchDiscriminator


def create_generator(params: GeneratorParams) -> Generator:
    """A generator with fresh weights, drawn from torch's global generator (seed it first)."""
    return Generator(params)


def create_discriminator(params: DiscriminatorParams) -> Discriminator:
    """A discriminator with fresh weights, drawn from torch's global generator (seed it first)."""
    return ResidualDiscriminator(params) if params.kind == "residual" else PatchDiscriminator(params)


def num_parameters(network: nn.Module) -> int:
    """How many numbers training can change."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
