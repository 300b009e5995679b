from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hififace.models.create import create_generator
from hififace.models.generator import Generator
from hififace.models.params import BlockParams, GeneratorParams, VectorPart, mini_128, tiny

# The paper's make in miniature: no folding, two fusion blocks, the reference's rules.
PAPER_LIKE = GeneratorParams(
    name="paper_like",
    resolution=16,
    vector=(VectorPart("source_shape", 2, 1.0, "source"), VectorPart("source_identity", 3, 1.0, "source")),
    stem_channels=4,
    encoder=(BlockParams(6, "down"), BlockParams(8, "down"), BlockParams(8, "down"), BlockParams(8)),
    decoder=(BlockParams(8), BlockParams(8, "up")),
    upsampler=(8, 6),
)
SMALL = [tiny(), PAPER_LIKE, replace(PAPER_LIKE, name="paper_like_x2", upsampler=(8, 6, 4))]


@pytest.fixture(params=SMALL, ids=lambda params: params.name)
def network(request) -> Generator:
    torch.manual_seed(0)
    return create_generator(replace(request.param, init="he"))


def inputs(network: Generator, batch: int):
    side = network.params.resolution
    return torch.rand(batch, 3, side, side), torch.randn(batch, network.params.vector_size)


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_shapes_and_ranges(network: Generator, batch: int) -> None:
    out = network(*inputs(network, batch))
    low, side = network.params.low_resolution, network.params.output_resolution
    assert out.image.shape == (batch, 3, side, side)
    assert out.image_low.shape == (batch, 3, low, low)
    assert out.mask.shape == (batch, 1, side, side)
    assert out.mask_low.shape == (batch, 1, low, low)
    for mask in (out.mask, out.mask_low):
        assert 0.0 <= mask.min() <= mask.max() <= 1.0
    assert all(torch.isfinite(tensor).all() for tensor in out)


def test_gradients_reach_every_parameter_and_both_inputs(network: Generator) -> None:
    target, vector = (tensor.requires_grad_() for tensor in inputs(network, 2))
    out = network(target, vector)
    (out.image.square().mean() + out.image_low.square().mean()).backward()
    blind = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    # A bias in front of a normalisation is cancelled by it; every weight must learn.
    assert [name for name in blind if not name.endswith("conv1.bias")] == []
    assert target.grad.abs().max() > 0
    assert vector.grad.abs().min() > 0


def test_every_picture_is_swapped_by_itself(network: Generator) -> None:
    """A batch must not mix its members: normalisation is per picture."""
    target, vector = inputs(network, 3)
    together = network(target, vector)
    alone = network(target[1:2], vector[1:2])
    for ours, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(ours[1:2], theirs, rtol=1e-4, atol=1e-5)


def test_training_and_evaluation_mode_agree(network: Generator) -> None:
    target, vector = inputs(network, 2)
    torch.testing.assert_close(network.train()(target, vector).image, network.eval()(target, vector).image)


def test_closed_mask_returns_the_target() -> None:
    network = create_generator(tiny())
    with torch.no_grad():
        network.upsampler.mask_head.weight.zero_()
        network.upsampler.mask_head.bias.fill_(-100.0)
    target, vector = inputs(network, 2)
    torch.testing.assert_close(network(target, vector).image, target)


def test_gains_multiply_their_parts() -> None:
    params = tiny()
    network = create_generator(params)
    flat = create_generator(replace(params, vector=tuple(replace(p, gain=1.0) for p in params.vector)))
    flat.load_state_dict(network.state_dict())  # gains are no part of the weights
    target, vector = inputs(network, 2)
    gains = torch.cat([torch.full((part.size,), part.gain) for part in params.vector])
    torch.testing.assert_close(network(target, vector).image, flat(target, vector * gains).image)


def test_starts_with_an_even_picture_and_a_half_open_mask() -> None:
    """A mask that starts shut gives no gradient to the picture, and training collapses to the target."""
    torch.manual_seed(0)
    network = create_generator(mini_128())
    target = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        out = network(target, torch.randn(2, network.params.vector_size) * 0.5)
    for mask in (out.mask, out.mask_low):
        assert 0.5 < mask.mean() < 0.75
        assert mask.min() > 0.2
        assert mask.max() < 0.9


def test_the_same_seed_makes_the_same_network() -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(7)
        networks.append(create_generator(tiny()).state_dict())
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])


def test_tiny_lowers_its_loss() -> None:
    torch.manual_seed(0)
    network = create_generator(tiny())
    target, vector = inputs(network, 4)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        out = network(target, vector)
        loss = (out.image - target.flip(3)).abs().mean() + (out.image_low - 0.5).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("target", "vector", "sentence"),
    [
        ((2, 3, 31, 32), (2, 18), r"expects \(B, 3, 32, 32\): align and crop"),
        ((2, 1, 32, 32), (2, 18), r"The target is \(2, 1, 32, 32\)"),
        ((3, 32, 32), (2, 18), r"The target is \(3, 32, 32\)"),
        ((2, 3, 32, 32), (2, 17), r"expects \(2, 18\): source_shape 4, target_expression 3"),
        ((2, 3, 32, 32), (1, 18), r"The identity vector is \(1, 18\)"),
    ],
)
def test_wrong_sizes_are_told_in_a_sentence(target, vector, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        create_generator(tiny())(torch.zeros(target), torch.zeros(vector))


@pytest.mark.parametrize("params", [tiny(), PAPER_LIKE], ids=lambda params: params.name)
def test_graph_of_the_network_has_a_free_batch_size(params: GeneratorParams) -> None:
    """Captured with two pictures, run with three: no number of the example may be frozen into the graph."""
    network = create_generator(replace(params, init="he")).eval()
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    graph = torch.export.export(network, inputs(network, 2), dynamic_shapes=(batch, batch)).module()
    target, vector = inputs(network, 3)
    for captured, eager in zip(graph(target, vector), network(target, vector), strict=True):
        torch.testing.assert_close(captured, eager, rtol=1e-4, atol=1e-5)
