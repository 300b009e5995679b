"""Run a graph in ONNX Runtime beside the network it was made from: nothing counts as exported before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hififace.errors import WeightsError
from hififace.weights.sessions import open_session

TOLERANCE = 1e-3
"""Largest difference allowed with float32 weights, of outputs that are of the order of 1."""
HALF_TOLERANCE = 5e-2
"""With float16 weights: their relative precision of 5e-4, through some hundred layers."""


class Difference(NamedTuple):
    """How far one output of a graph lies from PyTorch's."""

    output: str
    largest: float
    """Largest absolute difference of an element."""
    scale: float
    """Largest absolute value of PyTorch's output."""


def largest_differences(
    path: Path, module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]
) -> list[Difference]:
    """Run graph and network once on the same inputs.

    Raises:
        WeightsError: ONNX Runtime cannot open the graph, or the graph's outputs are not those expected.
    """
    session = open_session(path, providers=["cpu"])
    found = session.run({name: tensor.numpy() for name, tensor in inputs.items()})
    with torch.no_grad():
        expected = module.eval()(*inputs.values())
    if isinstance(expected, Tensor):
        expected = (expected,)
    if sorted(found) != sorted(outputs):
        raise WeightsError(
            f"The graph {path.name} returns {', '.join(found)}; expected {', '.join(outputs)}. "
            f"Export it again."
        )
    return [
        _difference(name, found[name], tensor.numpy()) for name, tensor in zip(outputs, expected, strict=True)
    ]


def require_equal(path: Path, differences: Sequence[Difference], *, half: bool) -> None:
    """Refuse a graph that does not compute what the network does.

    The tolerance grows with the size of the output, since its rounding errors do.

    Raises:
        WeightsError: an output differs by more than the tolerance, or is not finite.
    """
    tolerance = HALF_TOLERANCE if half else TOLERANCE
    for difference in differences:
        # Written so that NaN, which compares false with everything, is refused.
        if not difference.largest <= tolerance * max(1.0, difference.scale):
            raise WeightsError(
                f"The graph {path.name} differs from PyTorch: '{difference.output}' by "
                f"{difference.largest:.3g} "
                f"(allowed: {tolerance:g} of {max(1.0, difference.scale):.3g}). It was not kept; "
                + (
                    "try without half-precision weights."
                    if half
                    else "report this with your PyTorch version."
                )
            )


def _difference(name: str, found: np.ndarray, expected: np.ndarray) -> Difference:
    if found.shape != expected.shape:
        raise WeightsError(
            f"The graph's '{name}' has shape {found.shape}, PyTorch's has {expected.shape}. Export it again."
        )
    return Difference(name, float(np.abs(found - expected).max()), float(np.abs(expected).max()))
