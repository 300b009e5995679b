"""ONNX Runtime sessions that report which provider is in use, and why.

The runtime itself falls back to the CPU without a word when an accelerator's libraries are missing, which turns a
video of minutes into one of hours. Here a provider that was asked for and not obtained is a logged warning, once, and
`Session.reason` keeps the sentence for `hififace doctor` and for results.

All sessions of a process share one arena of CPU memory, and each lets only as many threads run it at a time as there
are cores for them: more would take memory for nothing (`benchmarks/threads.py`).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hififace.errors import OptionError, RuntimeUnavailableError, WeightsError
from hififace.weights import openvino_graph

logger = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"

PROVIDER_NAMES: dict[str, str] = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
}
"""Short name -> ONNX Runtime's name of the provider."""

AUTOMATIC_ORDER: tuple[str, ...] = ("CUDAExecutionProvider", "DmlExecutionProvider", CPU)
"""What is tried when nobody asked. TensorRT, CoreML and OpenVINO compile every new shape for seconds to minutes,
so they are taken only when asked for."""

PROVIDER_OPTIONS: dict[str, dict[str, str]] = {
    # The default EXHAUSTIVE search times every convolution again for every new image size.
    "CUDAExecutionProvider": {"cudnn_conv_algo_search": "HEURISTIC"},
}


_told: set[str] = set()
"""Warnings already given: a model has several sessions, and one warning is enough."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output of a graph."""

    name: str
    shape: tuple[int | str | None, ...]
    """Dimensions; a name or None stands for a free one."""
    dtype: str
    """ONNX Runtime's word for it, such as ``tensor(float)``."""


class Session:
    """A graph ready to run, with named inputs and outputs.

    Attributes:
        name: of its file, for messages.
        provider: the provider that really runs it, by ONNX Runtime's name; or ``OpenVINO``.
        reason: one sentence saying why that provider.
        threads: threads inside one operator; 0 where ONNX Runtime chose.
        inputs: what `run` expects, in the graph's order.
        outputs: what `run` returns, in the graph's order.
    """

    def __init__(self, inner: Any, *, reason: str, threads: int, name: str = "the network") -> None:
        self._inner, self.name = inner, name
        self.provider: str = inner.get_providers()[0]
        self.reason = reason
        self.threads = threads
        at_once = getattr(inner, "runs_at_once", None)  # of an OpenVinoGraph
        self._turns = threading.BoundedSemaphore(at_once or runs_at_once(self.provider, threads))
        self.inputs = tuple(TensorInfo(t.name, tuple(t.shape), t.type) for t in inner.get_inputs())
        self.outputs = tuple(TensorInfo(t.name, tuple(t.shape), t.type) for t in inner.get_outputs())
        self._output_names = [t.name for t in self.outputs]

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the processor, whichever the runtime."""
        return self.provider in (CPU, openvino_graph.PROVIDER)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph once. Thread-safe; the number of concurrent runs is limited.

        Args:
            feeds: an array for each input name.

        Returns:
            An array for each output name.

        Raises:
            ValueError: a name is missing or unknown (a programmer's mistake, so no sentence for users).
            WeightsError: an output holds NaN or infinite values.
        """
        expected = {t.name for t in self.inputs}
        if expected != set(feeds):
            raise ValueError(f"the graph takes {sorted(expected)}, but was given {sorted(feeds)}")
        contiguous = {name: np.ascontiguousarray(values) for name, values in feeds.items()}
        with self._turns:
            arrays = self._inner.run(self._output_names, contiguous)
        for name, array in zip(self._output_names, arrays, strict=True):
            if not _is_finite(array):
                raise WeightsError(
                    f"{self.name} returned NaN or infinite values in its output {name!r}, on {self.provider}. Its "
                    "weights are damaged, or too large for the precision of that provider: fetch or export it "
                    "again, or run it with --providers cpu."
                )
        return dict(zip(self._output_names, arrays, strict=True))


def open_session(
    path: Path | bytes, *, providers: Sequence[str] | None = None, threads: int | None = None
) -> Session:
    """Open an ONNX graph.

    Args:
        path: the file, or its bytes.
        providers: what to run on, best first, by short name (``cuda``) or ONNX Runtime's own, with the number of the
            device where there are several (``cuda:1``); None chooses. The CPU always stands behind them.
        threads: threads inside one operator; None leaves it to ONNX Runtime (one a physical core).

    Raises:
        WeightsError: the file is missing, or no graph that ONNX Runtime can read.
        OptionError: a provider or a number of threads that does not exist.
        RuntimeUnavailableError: ONNX Runtime is not installed.
    """
    if threads is not None and threads < 1:
        raise OptionError(f"{threads} threads were asked for; ask for 1 or more, or leave it out.")
    ort = _import_runtime()
    devices = {full_provider_name(name): _device_number(name) for name in providers or ()}
    wanted = None if providers is None else list(devices)
    chosen, reason = choose_providers(wanted, ort.get_available_providers())

    options = ort.SessionOptions()
    options.log_severity_level = 3  # its warnings about shapes and initialisers are not for our users
    options.intra_op_num_threads = threads or 0
    # Several small sessions live side by side; threads that spin while they wait would take the core of the next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    _share_arena(ort)
    source = path if isinstance(path, bytes) else os.fspath(path)
    if not isinstance(path, bytes) and not path.is_file():
        raise WeightsError(
            f"No network file at {path}; it should be an ONNX graph. `hififace weights verify` says more."
        )
    try:
        settings = [PROVIDER_OPTIONS.get(name, {}) | devices.get(name, {}) for name in chosen]
        inner = ort.InferenceSession(source, options, providers=list(zip(chosen, settings, strict=True)))
    except Exception as error:  # the runtime's own classes share no public base
        name = "The given bytes" if isinstance(path, bytes) else str(path)
        raise WeightsError(
            f"{name} cannot be opened as an ONNX graph ({_first_line(error)}). "
            "The file is damaged or of another kind; fetch or export it again."
        ) from error
    name = "A network" if isinstance(path, bytes) else Path(path).name
    session = Session(inner, reason=reason, threads=threads or 0, name=name)
    if session.provider != chosen[0]:
        session.reason = (
            f"{chosen[0]} was chosen but did not start (its driver or libraries are missing); "
            f"running on {session.provider}."
        )
        _warn_once(session.reason)
    elif wanted and session.provider != wanted[0]:
        _warn_once(reason)
    return session


def open_bfloat16_session(path: Path, *, threads: int | None = None) -> Session:
    """Open an ONNX graph in bfloat16 on the processor, with OpenVINO.

    Args:
        path: the file.
        threads: of one run; None takes all cores.

    Raises:
        RuntimeUnavailableError: OpenVINO is not installed, or the processor has no bfloat16.
        WeightsError: OpenVINO cannot read the graph.
    """
    graph = openvino_graph.OpenVinoGraph(path, threads or 0)
    reason = f"{openvino_graph.PROVIDER}: bfloat16 was chosen."
    return Session(graph, reason=reason, threads=threads or 0, name=path.name)


def _is_finite(array: Any) -> bool:
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        return True
    # The sum of all is a tenth of the cost of looking at each; large values may make it infinite by themselves.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum(dtype=np.float32)) or np.isfinite(array).all())


def runs_at_once(provider: str, threads: int) -> int:
    """How many threads may run a session at the same time: on the CPU as many as there are cores for, elsewhere one.

    Args:
        provider: ONNX Runtime's name.
        threads: inside one run; 0 is ONNX Runtime's choice, of which small networks use little: counted as one.
    """
    return 1 if provider != CPU else max(1, (os.cpu_count() or 1) // max(threads, 1))


def _warn_once(sentence: str) -> None:
    if sentence not in _told:
        _told.add(sentence)
        logger.warning("%s", sentence)


@cache
def _share_arena(ort: Any) -> None:
    """One arena of CPU memory for all sessions of the process, registered before the first of them is opened."""
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, None)


def full_provider_name(name: str) -> str:
    """ONNX Runtime's name of a provider given by a short name, its full name, or in any case.

    Raises:
        OptionError: there is no such provider.
    """
    known = {full.lower(): full for full in PROVIDER_NAMES.values()}
    kind = name.lower().partition(":")[0]
    full = PROVIDER_NAMES.get(kind) or known.get(kind)
    if full is None:
        raise OptionError(f"There is no provider {name!r}; choose among {', '.join(PROVIDER_NAMES)}.")
    return full


def _device_number(name: str) -> dict[str, str]:
    """The provider option behind `cuda:1`.

    Raises:
        OptionError: what stands behind the colon is no number.
    """
    _, colon, number = name.partition(":")
    if not colon:
        return {}
    if not (number.isascii() and number.isdigit()):
        raise OptionError(f"The device is {name!r}; a number was expected behind the colon, such as cuda:0.")
    return {"device_id": number}


def choose_providers(wanted: Sequence[str] | None, available: Sequence[str]) -> tuple[list[str], str]:
    """Choose the providers to try, best first and ending with the CPU, and the reason.

    Args:
        wanted: full names in the order of preference; None means nobody asked.
        available: what the installed ONNX Runtime was built with.
    """
    order = AUTOMATIC_ORDER if wanted is None else tuple(wanted)
    chosen = [name for name in order if name in available]
    missing = [name for name in order if name not in available]
    if CPU not in chosen:
        chosen.append(CPU)
    if wanted is None:
        gpus = ", ".join(name for name in AUTOMATIC_ORDER if name != CPU)
        reason = f"{chosen[0]}: available in this onnxruntime, and chosen since no device was named."
        if chosen[0] == CPU:
            reason = f"{CPU}: no GPU provider ({gpus}) is available in this onnxruntime."
    elif missing and missing[0] == order[0]:
        reason = (
            f"{missing[0]} was asked for, but this onnxruntime has only {', '.join(available)}; running on "
            f"{chosen[0]}. Install the onnxruntime package made for that device (`pip install '.[gpu]'` for CUDA)."
        )
    else:
        reason = f"{chosen[0]}: asked for, and offered."
    return chosen, reason


def available_providers() -> tuple[str, ...]:
    """Full names of the providers that the installed ONNX Runtime offers."""
    return tuple(_import_runtime().get_available_providers())


def runtime_version() -> str:
    """Of the installed ONNX Runtime."""
    return str(_import_runtime().__version__)


def _import_runtime() -> Any:
    """The onnxruntime module, imported only when a session is opened."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise RuntimeUnavailableError(
            "ONNX Runtime is not installed, and every network here runs on it; "
            "`pip install '.[cpu]'` adds it, or '.[gpu]' for CUDA."
        ) from error
    return ort


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
