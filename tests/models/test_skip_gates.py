"""Gates that are closed change nothing; opened, they let the target's own features through."""

from dataclasses import replace

import pytest
import torch

from hififace.models.blocks import SkipGate
from hififace.models.generator import Generator
from hififace.models.params import tiny

GATED = replace(tiny(32), skip_gates=True)


@pytest.fixture
def pair():
    """The same network without gates and with freshly made ones."""
    torch.manual_seed(0)
    plain, gated = Generator(tiny(32)), Generator(GATED)
    missing = gated.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert {name.rpartition("gate.")[0] for name in missing} >= {
        "fusion.",
        "upsampler.",
        "upsampler.subpixel_",
    }
    return plain, gated


@torch.no_grad()
def test_closed_gates_are_the_old_function(pair):
    plain, gated = pair
    target, vector = torch.rand(2, 3, 32, 32), torch.randn(2, GATED.vector_size)
    for ours, theirs in zip(gated(target, vector), plain(target, vector), strict=True):
        assert torch.equal(ours, theirs)


def test_a_closed_gate_can_open(pair):
    _, gated = pair
    gated(torch.rand(2, 3, 32, 32), torch.randn(2, GATED.vector_size)).image.square().mean().backward()
    for gate in (gated.fusion.gate, gated.upsampler.gate, gated.upsampler.subpixel_gate):
        assert float(gate.adapt.weight.grad.abs().max()) > 0


def test_the_gates_formula():
    torch.manual_seed(1)
    gate = SkipGate(4, 3)
    z, skip = torch.randn(2, 4, 8, 8), torch.randn(2, 3, 8, 8)
    adapted = gate.adapt(torch.nn.functional.leaky_relu(skip, 0.2))
    expected = z + torch.sigmoid(gate.gate(torch.cat((z, skip), 1))) * adapted
    expected = torch.nn.functional.leaky_relu(expected, 0.2)
    torch.testing.assert_close(gate(z, skip, torch.empty(2, 0)), expected)
    gate.close()
    assert torch.equal(gate(z, skip, torch.empty(2, 0)), torch.nn.functional.leaky_relu(z, 0.2))
