"""Graphs on OpenVINO: the generator in bfloat16, on processors that multiply it natively.

ONNX Runtime's convolutions leave AMX idle (docs/lab-book.md); OpenVINO's use it. `OpenVinoGraph` has the part of
`onnxruntime.InferenceSession` that `Session` needs, so networks do not know what runs them.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hififace.errors import RuntimeUnavailableError, WeightsError
from hififace.processes import usable_cores

PROVIDER: Final = "OpenVINO"
_TELEMETRY: Final = "openvino_telemetry"
_IMPORTING = threading.Lock()
_NO_INSTRUCTIONS: Final = "this processor has no instructions for it"
_INSTRUCTIONS: Final = ("avx512_bf16", "amx_bf16", "avx_ne_convert")
"""Any of them, by the names of Linux."""
_MOST_AT_ONCE: Final = 4
"""Runs at the same time; each has its own compiled network."""
_KEPT_SHAPES: Final = 4
"""Sets of input shapes that a network is compiled for, a third of a second each; the least recently used goes."""


_Shapes: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]
"""Name and shape of each input."""


class _Tensor(NamedTuple):
    name: str
    shape: tuple[int | None, ...]
    type: str


class OpenVinoGraph:
    """An ONNX graph in bfloat16 on this processor, compiled for the shapes of its first inputs.

    Args:
        path: the graph.
        threads: of one run; 0 takes all cores.

    Raises:
        RuntimeUnavailableError: OpenVINO is not installed, or this processor has no bfloat16.
        WeightsError: OpenVINO cannot read the graph.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        lacks = why_not()
        if lacks is not None:
            raise RuntimeUnavailableError(f"{path.name} cannot run in bfloat16: {lacks}.")
        core = _core()
        try:
            self._model = core.read_model(path)
        except Exception as error:  # a RuntimeError of a module without public classes of errors
            raise WeightsError(
                f"{path} cannot be opened by OpenVINO ({str(error).strip().splitlines()[-1][:200]}). "
                "Run it with --precision float32."
            ) from error
        cores = usable_cores()
        self.runs_at_once = min(max(cores // threads, 1), _MOST_AT_ONCE) if threads else 1
        self._settings = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": min(threads or cores, cores),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # other networks and the codec run on the same cores
        }
        self._idle: OrderedDict[_Shapes, list[Any]] = OrderedDict()
        self._choosing = threading.Lock()

    def get_providers(self) -> list[str]:
        """As of an `InferenceSession`."""
        return [PROVIDER]

    def get_inputs(self) -> list[_Tensor]:
        """Names and shapes, free dimensions as None."""
        return [_described(port) for port in self._model.inputs]

    def get_outputs(self) -> list[_Tensor]:
        """Names and shapes, free dimensions as None."""
        return [_described(port) for port in self._model.outputs]

    def run(self, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the graph once; `runs_at_once` threads may do so at the same time."""
        shapes = tuple((port.any_name, feeds[port.any_name].shape) for port in self._model.inputs)
        with self._choosing:
            idle = self._idle.setdefault(shapes, [])
            self._idle.move_to_end(shapes)
            while len(self._idle) > _KEPT_SHAPES:
                self._idle.popitem(last=False)
            # The one used last: its memory is still in the cache, which saves a third of a run. Streams of one
            # compiled network take turns.
            request = idle.pop() if idle else self._compile(shapes)
        try:
            request.infer(dict(feeds), share_inputs=True)
            # Copies: the request's own memory is overwritten by its next run.
            return [np.array(request.get_tensor(name).data) for name in names]
        finally:
            idle.append(request)

    def _compile(self, shapes: _Shapes) -> Any:
        """A network of its own, ready to run."""
        model = self._model.clone()
        model.reshape({name: list(shape) for name, shape in shapes})
        return _core().compile_model(model, "CPU", self._settings).create_infer_request()


def why_not() -> str | None:
    """Why bfloat16 is not possible here, as the end of a sentence; None where it is."""
    if _lacks_instructions():
        return _NO_INSTRUCTIONS
    try:
        capable = "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except RuntimeUnavailableError:
        return "OpenVINO is not installed (`pip install openvino`)"
    except RuntimeError as error:  # without a plugin for this processor
        return f"OpenVINO does not run on this processor ({str(error).strip().splitlines()[-1][:200]})"
    return None if capable else _NO_INSTRUCTIONS


def _lacks_instructions(processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether Linux says so of an x86 processor: asking OpenVINO takes 0.3 s and its memory."""
    try:
        lines = processor.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), None)
    return flags is not None and flags.isdisjoint(_INSTRUCTIONS)


def openvino_version() -> str:
    """Of the installed OpenVINO; empty without one."""
    try:
        return metadata.version("openvino")
    except metadata.PackageNotFoundError:
        return ""


@cache
def _core() -> Any:
    """OpenVINO's entry, imported only where it is asked for."""
    try:
        return _import_quietly().Core()
    except ImportError as error:
        raise RuntimeUnavailableError("OpenVINO is not installed; `pip install openvino` adds it.") from error


def _import_quietly() -> Any:
    """The module `openvino`.

    Importing it tells its maker so over the network, and leaves an id in the user's home, if its package for telemetry
    can be imported. It does without, so that package is not to be found meanwhile.
    """
    with _IMPORTING:
        hidden = "openvino" not in sys.modules and _TELEMETRY not in sys.modules
        if hidden:
            sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # makes its import an ImportError
        try:
            import openvino
        finally:
            if hidden:
                del sys.modules[_TELEMETRY]
    return openvino


def _described(port: Any) -> _Tensor:
    shape = tuple(dimension.get_length() if dimension.is_static else None for dimension in port.partial_shape)
    return _Tensor(port.any_name, shape, f"tensor({port.element_type.get_type_name()})")
