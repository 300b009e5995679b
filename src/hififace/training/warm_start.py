"""Initialises a wider or finer generator so that it computes exactly the function of a trained one.

Old channels keep their weights, and their weights on new channels start at 0; new channels keep their random weights on
all channels. So the outputs are the old network's, and the first gradient already reaches the weights between old and
new channels. (Net2Net, Chen et al. 2016, without copying channels: instance normalisation treats each channel
separately, so new channels may hold anything.) A network with twice the pixel_unshuffle factor starts on the target's 2
x 2 means.

Letters: O outputs and I inputs of a weight, r rows of a pixel block.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hififace.errors import TrainingError
from hififace.models.generator import Generator

STEM = "encoder.stem.weight"
IMAGE_CHANNELS = 3


@torch.no_grad()
def start_from(network: Generator, weights: Mapping[str, Tensor]) -> list[str]:
    """Initialises `network` with the weights of a narrower or coarser one.

    Args:
        network: newly initialised; changed in place.
        weights: state dict of the old generator, any floating type.

    Returns:
        Names of the weights of `network` without a counterpart in the old one, which keep their initialisation.

    Raises:
        TrainingError: an old weight has no counterpart, or is larger than it.
    """
    state = network.state_dict()
    unknown = sorted(set(weights) - set(state))
    if unknown:
        raise TrainingError(
            f"The generator '{network.params.name}' has no {', '.join(unknown[:3])}: these weights belong to a network "
            "of another shape. Start from a checkpoint of the same family, or without --init-from."
        )
    for name, old in weights.items():
        new, value = state[name], old.float()
        if name == STEM and old.ndim == new.ndim and old.shape[1] != new.shape[1]:
            value = _stem_of_finer_input(value, new.shape[1])
        if value.ndim != new.ndim or any(a > b for a, b in zip(value.shape, new.shape, strict=True)):
            raise TrainingError(
                f"'{name}' is {tuple(old.shape)} in these weights and {tuple(new.shape)} in '{network.params.name}': "
                "a network can only be widened."
            )
        outputs = value.shape[0]
        if value.ndim == 1:
            new[:outputs] = value
            continue
        # Inputs of AdaIN's linear layers are the identity vector, those of stems the image: these do not widen.
        new[:outputs] = 0.0
        for old_inputs, new_inputs in _input_stretches(name, value.shape[1], network):
            new[:outputs, new_inputs] = value[:, old_inputs]
    network.load_state_dict(state)
    return sorted(set(state) - set(weights))


def _input_stretches(name: str, inputs: int, network: Generator) -> list[tuple[slice, slice]]:
    """Slices of the old inputs of a weight among the new ones. A gate has two: features, then the skip connection."""
    if not name.endswith("gate.gate.weight"):
        return [(slice(0, inputs), slice(0, inputs))]
    adapt = network.get_parameter(name.removesuffix("gate.weight") + "adapt.weight")
    channels, skip = adapt.shape[:2]  # of the new network
    # Both inputs of a gate widen by the same factor, so the old slices follow from their share; pixels do not widen.
    old_skip = IMAGE_CHANNELS if skip == IMAGE_CHANNELS else round(inputs * skip / (channels + skip))
    first = inputs - old_skip
    return [
        (slice(0, first), slice(0, first)),
        (slice(first, inputs), slice(channels, channels + old_skip)),
    ]


def _stem_of_finer_input(weight: Tensor, inputs: int) -> Tensor:
    """(O, 3 r^2, 3, 3) on r x r pixel blocks -> the same function of the 2 x 2 means of (2 r) x (2 r) blocks."""
    outputs, before = weight.shape[:2]
    r = round((before / IMAGE_CHANNELS) ** 0.5)
    if inputs != 4 * before:
        raise TrainingError(f"a stem of {before} inputs can become one of {4 * before}, not of {inputs}")
    blocks = weight.view(outputs, IMAGE_CHANNELS, r, 1, r, 1, 3, 3) / 4.0
    return blocks.expand(-1, -1, -1, 2, -1, 2, -1, -1).reshape(outputs, inputs, 3, 3)
