"""The checkpoints that the reference published, as they were written: generator, identity and shape in one
file.

xuehy/HiFiFace-pytorch saves `generator_{step}.pth` as the bare state dict of a module that also holds its
frozen ArcFace and Deep3DFaceRecon. Loading maps names and never changes a number.

Letters: B batch, D = 769 length of the identity vector.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from hififace.models.generator import Generator, GeneratorOutput
from hififace.models.params import GeneratorParams, paper_256
from hififace.models.pretrained.arcface import ArcFace
from hififace.models.pretrained.deep3d import Deep3D
from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.strict_loading import read_state_dict, require_same
from hififace.models.reference_keys import generator_key_map

SHAPE_PREFIX = "id_extractor.f_3d."
IDENTITY_PREFIX = "id_extractor.f_id."
TEMPLATE = "frontal_256"
"""What both photos are aligned to."""


class Published(nn.Module):
    """The whole swap of the reference: two aligned photos in, one result out."""

    def __init__(self, generator: Generator, identity: ArcFace, shape: Deep3D) -> None:
        super().__init__()
        self.generator = generator
        self.identity = identity
        self.shape = shape

    def identity_vector(
        self, source: Tensor, target: Tensor, shape_rate: float = 1.0, id_rate: float = 1.0
    ) -> Tensor:
        """Fuse who the source is with what the target does (method, section 1.1).

        Args:
            source: (B, 3, 256, 256) RGB 0..1, aligned to `frontal_256`.
            target: likewise.
            shape_rate: 1 takes the source's face shape, 0 the target's, between them a mixture.
            id_rate: likewise for the identity embedding. A mixture is not brought back to unit length, as
                in the reference, so at one half it is shorter.

        Returns:
            (B, 769): source shape 80, target expression, texture, pose, light and translation 177, identity
            512.
        """
        # Straight from the 256 px crop, without the resize to 224 that the losses do: reference quirk.
        of_source, of_target = self.shape(source), self.shape(target)
        fused = of_target._replace(identity=_mix(of_source.identity, of_target.identity, shape_rate))
        identity = self.identity.identity(source)
        if id_rate != 1.0:
            identity = _mix(identity, self.identity.identity(target), id_rate)
        return torch.cat([fused.flat(), identity], dim=1)

    def forward(
        self, source: Tensor, target: Tensor, shape_rate: float = 1.0, id_rate: float = 1.0
    ) -> GeneratorOutput:
        """Swap a batch; arguments as in `identity_vector`, images unclamped as in `Generator`."""
        output: GeneratorOutput = self.generator(
            target, self.identity_vector(source, target, shape_rate, id_rate)
        )
        return output


def load(path: Path) -> Published:
    """Read `generator_{step}.pth`, frozen.

    Raises:
        WeightsError: missing, damaged, unsafe, or not such a checkpoint; differing keys by the file's own
            names.
    """
    return from_state_dict(read_state_dict(path), source=path.name)


def from_state_dict(
    state: dict[str, Tensor],
    *,
    source: str = "The state dict",
    params: GeneratorParams | None = None,
    identity: ArcFace | None = None,
    shape: Deep3D | None = None,
) -> Published:
    """Fill the three networks from tensors under the reference's names.

    Args:
        state: 1425 tensors; used as they are, not copied.
        source: where they come from, for the sentence.
        params: another generator of the same make; None means `paper_256()`.
        identity: another ArcFace to fill; None means IResNet-100.
        shape: another Deep3D to fill; None means ResNet-50.

    Raises:
        WeightsError: see `load`.
    """
    # Every number comes from the file: filling 151 million random ones first would take seconds.
    with torch.device("meta"):
        generator = Generator(params or paper_256())
        identity = identity or ArcFace(100)
        shape = shape or Deep3D()
    jobs: tuple[tuple[nn.Module, dict[str, str]], ...] = (
        (shape, {key: SHAPE_PREFIX + key for key in shape.state_dict()}),
        (identity, {key: IDENTITY_PREFIX + key for key in identity.state_dict()}),
        (generator, {key: theirs for theirs, key in generator_key_map(generator.params).items()}),
    )
    expected: dict[str, Tensor] = {}
    for network, names in jobs:
        ours = network.state_dict()
        expected |= {theirs: ours[key] for key, theirs in names.items()}
    require_same(expected, state, source=source, what="a HiFiFace-pytorch generator checkpoint")
    for network, names in jobs:
        # Step counters of batch normalisation may be absent; nothing reads them.
        weights = {
            key: state.get(theirs, torch.zeros((), dtype=torch.int64)) for key, theirs in names.items()
        }
        network.load_state_dict({key: _single(value) for key, value in weights.items()}, assign=True)
    generator.gains = torch.ones(generator.params.vector_size)  # not in the file: the reference has none
    return freeze(Published(generator, identity, shape))


def _single(value: Tensor) -> Tensor:
    """Float32 whatever the file stores; the reference's own files do, so theirs are not copied."""
    return value.float() if value.is_floating_point() else value


def _mix(of_source: Tensor, of_target: Tensor, rate: float) -> Tensor:
    return rate * of_source + (1.0 - rate) * of_target
