"""Published weight files into networks: strictly, and without ever running what a file says.

A `.pth` file is a pickle, and a pickle can be a program. Only tensors and plain containers are read
(`torch.load(weights_only=True)`); anything else is refused before it is made. `.safetensors` files hold
numbers only. A network is filled when every key and shape is right, and otherwise not touched.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hififace.errors import RuntimeUnavailableError, WeightsError
from hififace.models.pretrained.frozen import freeze
from hififace.weights.store import sha256_of

Network = TypeVar("Network", bound=nn.Module)

_NUM_NAMED = 3
"""Differing keys named in a sentence; the rest are counted."""

_COUNTER = "num_batches_tracked"
"""Batch normalisation's step counter: no inference reads it, and older files lack it."""


_DAMAGE = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    ArithmeticError,
    MemoryError,
    AssertionError,
    struct.error,
)
"""What PyTorch's readers raise for files of bytes gone wrong (found by changing bytes at random)."""


def load_strictly(
    network: Network, path: Path, *, what: str, within: str | None = None, ignore: tuple[str, ...] = ()
) -> Network:
    """Fill a network with the weights of a published file, and freeze it.

    Args:
        network: its state-dict keys are those of the file.
        path: `.pth`, `.pt`, `.bin` or `.safetensors`.
        what: what the file should be, for people: "ArcFace IResNet-100".
        within: the key under which the file keeps its weights, where it holds more than those.
        ignore: beginnings of keys that the file may hold and the network does not use.

    Raises:
        WeightsError: see `read_state_dict` and `fill`.
    """
    state = read_state_dict(path, within=within)
    state = {key: value for key, value in state.items() if not key.startswith(ignore)}
    return freeze(fill(network, state, source=path.name, what=what))


def require_named_hash(path: Path) -> None:
    """Refuse a file whose name ends in the first digits of its SHA-256, as PyTorch's hub names files, and lies.

    `pt_inception-2015-12-05-6726825d.pth` begins with 6726825d; a name without such an ending is not checked.

    Raises:
        WeightsError: the file's SHA-256 begins otherwise.
    """
    named = re.search(r"-([0-9a-f]{8,64})$", path.stem)
    if named is None or not path.is_file():
        return
    found = sha256_of(path)
    if not found.startswith(named[1]):
        raise WeightsError(
            f"The SHA-256 of {path.name} begins with {found[: len(named[1])]}; its name says {named[1]}. "
            "The file is damaged or another one; fetch it again."
        )


def read_state_dict(path: Path, *, within: str | None = None) -> dict[str, Tensor]:
    """Read named tensors from a file, on the CPU.

    Raises:
        WeightsError: missing, unreadable, cut short, no weights, or a pickle that would do more than hold
            them.
        RuntimeUnavailableError: a `.safetensors` file, and `safetensors` is not installed.
    """
    if not path.is_file():
        raise WeightsError(
            f"No weights file at {path}. Check the path; `hififace weights` says where each is found."
        )
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    if within is not None:
        if not isinstance(content, Mapping) or within not in content:
            raise WeightsError(
                f"{path.name} holds no '{within}' but {_listing(content)}. It is another kind of file."
            )
        content = content[within]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    ):
        raise WeightsError(
            f"{path.name} holds {_listing(content)}, not weights by name. "
            "Give the file as it was published; a whole training checkpoint is not accepted."
        )
    return dict(content)


def fill(network: Network, state: Mapping[str, Tensor], *, source: str, what: str) -> Network:
    """Copy named tensors into a network whose names and shapes are exactly those; the same object.

    Args:
        network: untouched unless everything fits.
        state: tensors by state-dict key; step counters of batch normalisation may be absent.
        source: where they come from, for the sentence.
        what: what they should be, for the sentence.

    Raises:
        WeightsError: the first few keys that are missing, unknown or of another shape, and how many they are.
    """
    expected = network.state_dict()
    require_same(expected, state, source=source, what=what)
    network.load_state_dict({**expected, **state})
    return network


def require_same(
    expected: Mapping[str, Tensor], state: Mapping[str, Tensor], *, source: str, what: str
) -> None:
    """Refuse tensors unless names and shapes are those expected and all numbers are finite.

    Raises:
        WeightsError: see `fill`, which calls this.
    """
    missing = [key for key in expected if key not in state and not key.endswith(_COUNTER)]
    unknown = [key for key in state if key not in expected]
    reshaped = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    faults = [
        f"{len(keys)} {kind} ({_few(keys)})"
        for kind, keys in (("missing", missing), ("unknown", unknown), ("of another shape", reshaped))
        if keys
    ]
    if faults:
        raise WeightsError(
            f"{source} does not hold the weights of {what}; of its {len(expected)} keys are "
            f"{', '.join(faults)}. Give the published file, unchanged."
        )
    broken = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise WeightsError(
            f"{source} holds numbers that are not finite in {len(broken)} weights of {what} "
            f"({_few(broken)}). The file is damaged; fetch it again."
        )


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of pickle versions before it refuses or reads them
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's text is mostly advice to switch the check off; of it only what the file asked for is passed on.
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise WeightsError(
            f"{path.name} was refused: it is damaged, or wants to run code when it is opened, which no weights need"
            f"{f' (it asks for {asked[1]})' if asked else ''}. Fetch it again from where it was published."
        ) from error
    except _DAMAGE as error:
        raise WeightsError(
            f"{path.name} cannot be read as PyTorch weights ({_first_line(error)}). "
            "It was cut short or is another kind of file; fetch it again."
        ) from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"Reading {path.name} needs `safetensors`; install it with `pip install '.[train]'`."
        ) from error
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path.name} cannot be read as safetensors ({_first_line(error)}). "
            "It was cut short or is another kind of file; fetch it again."
        ) from error


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:_NUM_NAMED]) + (", …" if len(keys) > _NUM_NAMED else "")


def _listing(content: object) -> str:
    if isinstance(content, Mapping):
        return f"the keys {_few([str(key) for key in content])}" if content else "nothing"
    return f"a {type(content).__name__}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
