"""The generator and the discriminator give the reference's numbers, on the real architecture.

Golden numbers: outputs of the reference implementation in float32 on a CPU, for the weights and pictures of
tests/support/seeded_weights.py.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hififace.models.create import create_discriminator, create_generator
from hififace.models.generator import GeneratorOutput
from hififace.models.params import paper_256, reference_discriminator
from hififace.models.reference_keys import discriminator_key_map, generator_key_map
from tests.support.seeded_weights import GOLDEN, reference_shapes, seeded_image, seeded_state

TOLERANCE = 1e-4  # largest absolute difference; pictures are 0..1


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "generator_1.npz") as arrays:
        return {name: arrays[name] for name in arrays}


@pytest.fixture(scope="module")
def swapped(golden: dict[str, np.ndarray]) -> GeneratorOutput:
    """One forward pass of the whole 256 network: half a minute of work shared by all tests here."""
    with torch.device("meta"):
        network = create_generator(paper_256())
    keys = generator_key_map()
    state = seeded_state(reference_shapes("generator"), only=keys)
    network.load_state_dict(
        {ours: torch.from_numpy(state[theirs]) for theirs, ours in keys.items()}, assign=True
    )
    network.gains = torch.ones(network.params.vector_size)
    with torch.no_grad():
        return network(torch.from_numpy(seeded_image(1.0)), torch.from_numpy(golden["v_sid"]))


@pytest.mark.parametrize(
    ("name", "field", "step"),
    [("i_r", "image", 4), ("m_r", "mask", 4), ("i_low", "image_low", 1), ("m_low", "mask_low", 1)],
)
def test_generator_equals_the_reference(
    swapped: GeneratorOutput, golden: dict[str, np.ndarray], name: str, field: str, step: int
) -> None:
    ours = getattr(swapped, field).numpy()[:, :, ::step, ::step]
    assert ours.shape == golden[name].shape
    assert np.abs(ours - golden[name]).max() <= TOLERANCE


def test_golden_outputs_are_not_degenerate(swapped: GeneratorOutput) -> None:
    """A mask of all ones or zeros would let half of the network differ unseen."""
    for mask in (swapped.mask, swapped.mask_low):
        assert mask.min() < 0.4
        assert mask.max() > 0.6


def test_discriminator_equals_the_reference(swapped: GeneratorOutput, golden: dict[str, np.ndarray]) -> None:
    with torch.device("meta"):
        network = create_discriminator(reference_discriminator())
    keys = discriminator_key_map()
    state = seeded_state(reference_shapes("discriminator"))
    network.load_state_dict(
        {ours: torch.from_numpy(state[theirs]) for theirs, ours in keys.items()}, assign=True
    )
    with torch.no_grad():
        target = network(torch.from_numpy(seeded_image(1.0))).logits.numpy()
        result = network(swapped.image).logits.numpy()
    assert np.abs(target - golden["d_target"]).max() <= TOLERANCE
    assert np.abs(result - golden["d_result"]).max() <= TOLERANCE
