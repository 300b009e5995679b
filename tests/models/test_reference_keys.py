from __future__ import annotations

import pytest
import torch

from hififace.models.create import create_discriminator, create_generator
from hififace.models.params import paper_256, paper_512, reference_discriminator
from hififace.models.reference_keys import discriminator_key_map, generator_key_map
from tests.support.seeded_weights import reference_shapes


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.fixture(scope="module")
def generator_shapes() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return shapes_of(create_generator(paper_256()))


def test_generator_map_covers_the_trainable_tensors_of_the_reference() -> None:
    trainable = {key for key in reference_shapes("generator") if not key.startswith("id_extractor.")}
    assert len(trainable) == 168
    assert set(generator_key_map()) == trainable


def test_generator_map_is_a_bijection_onto_our_state_dict(generator_shapes) -> None:
    keys = generator_key_map()
    assert len(set(keys.values())) == len(keys)
    assert set(keys.values()) == set(generator_shapes)


def test_generator_map_keeps_every_shape(generator_shapes) -> None:
    theirs = reference_shapes("generator")
    assert all(theirs[reference] == generator_shapes[ours] for reference, ours in generator_key_map().items())


def test_discriminator_map_is_a_bijection_that_keeps_every_shape() -> None:
    with torch.device("meta"):
        ours = shapes_of(create_discriminator(reference_discriminator()))
    theirs, keys = reference_shapes("discriminator"), discriminator_key_map()
    assert len(keys) == 42
    assert set(keys) == set(theirs)
    assert set(keys.values()) == set(ours)
    assert all(theirs[reference] == ours[name] for reference, name in keys.items())


def test_map_grows_with_the_network() -> None:
    """The 512 model's first two up-sampling blocks can start from a 256 checkpoint under the same names."""
    more = set(generator_key_map(paper_512())) - set(generator_key_map())
    assert all(key.startswith("sff_module.f_up.net.2.") for key in more)
    assert len(more) == 6
