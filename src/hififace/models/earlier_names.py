"""Names that weights and configurations had in earlier versions: files written then are still read.

Only names changed, never numbers or shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

_MODULES = {"unfold": "subpixel", "unfold_gate": "subpixel_gate", "judge": "head"}
_GATES = {"skip32": "fusion.gate", "skip64": "upsampler.gate", "skip128": "upsampler.subpixel_gate"}
"""The gates, before they had a place in the network."""
_PARAMS = {"fold": "pixel_unshuffle", "unfold": "pixel_shuffle", "unfold_channels": "shuffle_channels"}


def current_weight_names(state: Mapping[str, T]) -> dict[str, T]:
    """A state dict of a generator or a discriminator under the names of today."""
    return {_current_name(name): value for name, value in state.items()}


def current_param_names(params: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a generator (`to_json`) under the names of today."""
    return {_PARAMS.get(name, name): value for name, value in params.items()}


def _current_name(name: str) -> str:
    head, dot, rest = name.partition(".")
    if head in _GATES:
        return f"{_GATES[head]}{dot}{rest}"
    return ".".join(_MODULES.get(part, part) for part in name.split("."))
