"""Networks that are never trained: weights out of an embedded graph, strictly, and no gradient into them.

Gradients still flow *through* a frozen network to its input: that is what a loss needs.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from hififace.errors import WeightsError

Network = TypeVar("Network", bound=nn.Module)


def freeze(network: Network) -> Network:
    """Put a network into inference mode and stop gradients into its weights; the same object."""
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network


def freeze_parts(owner: object, device: torch.device, *, channels_last: bool) -> None:
    """Freeze every network that is an attribute of `owner`, on the device; what is None is left out."""
    for network in vars(owner).values():
        if isinstance(network, nn.Module):
            freeze(network).to(device)
            if channels_last:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def full_precision(like: Tensor) -> torch.autocast:
    """A context in which autocast is off, for all that measures positions.

    bfloat16 keeps eight binary digits: of a point near 150 px it can say 150 or 151 and nothing between.
    """
    return torch.autocast(like.device.type, enabled=False)


def load_frozen(network: Network, filename: str) -> Network:
    """Fill `network` with the weights of an embedded graph, and freeze it.

    Args:
        network: its state-dict keys are the names of the graph's initializers.
        filename: of the graph among the embedded files.

    Raises:
        WeightsError: the file is missing, or its weights are not this network's: each differing name is
            listed.
    """
    from hififace.weights.graphs import read_initializers
    from hififace.weights.store import embedded_path

    arrays = read_initializers(embedded_path(filename))
    expected = network.state_dict()
    differing = sorted(set(expected) ^ set(arrays)) or [
        f"{name} {arrays[name].shape} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if arrays[name].shape != tuple(value.shape)
    ]
    if differing:
        raise WeightsError(
            f"The weights in {filename} are not those of {type(network).__name__}; differing: "
            f"{', '.join(differing)}. The file and the package are of different versions: install again."
        )
    network.load_state_dict({name: torch.tensor(value) for name, value in arrays.items()})
    return freeze(network)
