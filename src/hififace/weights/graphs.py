"""Numbers out of ONNX graphs: the weights that ship live in graphs, and training reads them from there.

One stored file serves both worlds: ONNX Runtime runs the graph, PyTorch loads the same numbers by the
initializers' names, which are the state-dict keys of the network in `models/`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from hififace.errors import RuntimeUnavailableError, WeightsError
from hififace.types import FloatArray

_MAX_GRAPH_BYTES = 2**31 - 1
"""A protobuf message cannot be larger, so neither can a graph that holds its own weights."""


def read_initializers(path: Path) -> dict[str, FloatArray]:
    """Read every floating-point weight of a graph, by name, as float32.

    Weights stored as float16 behind a Cast node (half the size on disk, computation still in float32) are
    returned as float32 under the stored name. Integer initializers (shapes, axes, indices) belong to the
    graph, not to the network, and are left out.

    Raises:
        WeightsError: the file is missing, is no ONNX graph, or keeps its weights in other files.
        RuntimeUnavailableError: the `onnx` library is not installed.
    """
    model = _parse(path)
    onnx = _import_onnx()
    floating = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
    weights: dict[str, FloatArray] = {}
    for tensor in model.graph.initializer:
        # A weight in another file could name any path of this machine.
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise WeightsError(
                f"{path.name} keeps the weight '{tensor.name}' in another file; "
                "expected a graph that holds all its weights. Export it again without external data."
            )
        if tensor.data_type in floating:
            weights[tensor.name] = np.ascontiguousarray(onnx.numpy_helper.to_array(tensor), dtype=np.float32)
    return weights


def _parse(path: Path) -> Any:
    """Read the graph without running anything, or say in a sentence why that is impossible."""
    onnx = _import_onnx()
    try:
        size = path.stat().st_size
        if size > _MAX_GRAPH_BYTES:
            raise WeightsError(f"{path} is {size} bytes: larger than an ONNX graph can be. Check the path.")
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise WeightsError(
            f"Cannot read the graph {path}: {error.strerror or error}. Check the path or fetch it again."
        ) from error
    except _decode_error() as error:
        raise WeightsError(
            f"{path} is not an ONNX graph, or was cut short. Fetch or export it again."
        ) from error
    if not model.graph.node:
        raise WeightsError(f"{path} holds no graph: not one node was found. Fetch or export it again.")
    return model


def _decode_error() -> type[Exception]:
    """What protobuf, which `onnx` brings, raises for bytes that are no message."""
    message = importlib.import_module("google.protobuf.message")
    error: type[Exception] = message.DecodeError
    return error


def _import_onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise RuntimeUnavailableError(
            "Reading the weights of a graph needs the `onnx` library, which is not installed; "
            "install it with `pip install '.[train]'`."
        ) from error
    return onnx
