"""A checkpoint of the reference's make with next to no channels: all names and paths, none of the waiting."""

from __future__ import annotations

import torch
from torch import Tensor

from hififace.models.generator import Generator
from hififace.models.params import BASEL_VECTOR, BlockParams, GeneratorParams
from hififace.models.pretrained.arcface import ArcFace
from hififace.models.pretrained.deep3d import Deep3D
from hififace.models.published import IDENTITY_PREFIX, SHAPE_PREFIX, Published, from_state_dict
from hififace.models.reference_keys import generator_key_map

SMALL = GeneratorParams(
    name="small",
    resolution=32,
    vector=BASEL_VECTOR,
    stem_channels=4,
    encoder=(BlockParams(8, "down"), BlockParams(8, "down"), BlockParams(8)),
    decoder=(BlockParams(8), BlockParams(8, "up")),
    upsampler=(4,),
)


def small_arcface() -> ArcFace:
    return ArcFace(18, widths=(2, 4, 4, 4))


def small_deep3d() -> Deep3D:
    return Deep3D((1, 1, 1, 1), 2)


def small_published(seed: int = 0) -> Published:
    """Random weights; batch normalisation with statistics that matter."""
    torch.manual_seed(seed)
    published = Published(Generator(SMALL), small_arcface(), small_deep3d()).eval()
    for name, value in published.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0.0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.startswith("generator.") and name.endswith("weight"):
            # The reference's N(0, 0.02) leaves masks at one half and results flat: nothing to compare.
            value.normal_(0.0, 1.0 / value[0].numel() ** 0.5)
    return published


def reload_small(state: dict[str, Tensor], source: str = "small.pth") -> Published:
    return from_state_dict(state, source=source, params=SMALL, identity=small_arcface(), shape=small_deep3d())


def small_state(seed: int = 0) -> dict[str, Tensor]:
    """As the reference would have written it: its names, a bare dict."""
    return {key: value.detach().clone() for key, value in to_state_dict(small_published(seed)).items()}


def to_state_dict(published: Published) -> dict[str, Tensor]:
    """The same tensors under the reference's names: what its own `load_state_dict` takes."""
    ours = published.generator.state_dict()
    return {
        **{SHAPE_PREFIX + key: value for key, value in published.shape.state_dict().items()},
        **{IDENTITY_PREFIX + key: value for key, value in published.identity.state_dict().items()},
        **{theirs: ours[key] for theirs, key in generator_key_map(published.generator.params).items()},
    }
