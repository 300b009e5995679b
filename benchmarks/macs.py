"""How large a network is and what it costs: parameters and multiply-accumulates (MAC), module by module.

Counted at the operators while the network runs on torch's `meta` device: nothing is computed and no memory is
taken, so the largest preset is described in a second. One MAC is two floating-point operations; convolutions
and matrix products count, the rest (norms, activations, resampling) does not, as in the literature's tables.

    python benchmarks/macs.py mini_256
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hififace.models.create import create_discriminator, create_generator, num_parameters
from hififace.models.params import DiscriminatorParams, GeneratorParams


@dataclass(frozen=True, slots=True)
class ModuleCost:
    """One line of the table."""

    name: str
    num_parameters: int
    num_macs: int  # for one image


def describe(params: GeneratorParams | DiscriminatorParams, depth: int = 1) -> list[ModuleCost]:
    """Costs of a network for one image, the whole first, then its modules in order.

    Args:
        depth: how deep to go; 1 is encoder, decoder, fusion, up-sampling; 3 every block.
    """
    side = params.resolution
    with torch.device("meta"):
        network: nn.Module
        inputs = [torch.empty(1, 3, side, side)]
        if isinstance(params, GeneratorParams):
            network = create_generator(params)
            inputs.append(torch.empty(1, params.vector_size))
        else:
            network = create_discriminator(params)
        macs = count_macs(network, *inputs)

    root = type(network).__name__
    costs = [ModuleCost(params.name, num_parameters(network), macs[root])]
    for name, module in network.named_modules():
        if name and name.count(".") < depth and num_parameters(module):
            costs.append(ModuleCost(name, num_parameters(module), _macs_of(f"{root}.{name}", macs)))
    return costs


def count_macs(network: nn.Module, *inputs: torch.Tensor) -> dict[str, int]:
    """MACs of one forward pass, by module path (`Generator.encoder.stem`); the class name alone is the whole."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    return {name: sum(by_operator.values()) // 2 for name, by_operator in counter.get_flop_counts().items()}


def _macs_of(path: str, macs: dict[str, int]) -> int:
    """A list of modules is never called itself: it costs what its members cost."""
    if path in macs:
        return macs[path]
    depth = path.count(".") + 1
    return sum(
        cost for name, cost in macs.items() if name.startswith(f"{path}.") and name.count(".") == depth
    )


def table(costs: Sequence[ModuleCost]) -> str:
    """The costs as a Markdown table."""
    lines = ["| module | parameters | MMAC |", "|---|---:|---:|"]
    lines += [f"| {cost.name} | {cost.num_parameters:,} | {cost.num_macs / 1e6:,.1f} |" for cost in costs]
    return "\n".join(lines)


if __name__ == "__main__":
    from hififace.models import params as presets

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset", help="a function of models/params.py: mini_128, mini_256, paper_256, ...")
    print(table(describe(getattr(presets, parser.parse_args().preset)())))
