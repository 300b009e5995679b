"""One PyTorch network into one ONNX graph: names for people, free batch size, all weights inside the file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hififace.errors import RuntimeUnavailableError, WeightsError

OPSET = 18
"""Known to every ONNX Runtime since 1.14."""

_HALF_MIN_ELEMENTS = 1024
"""Smaller weights (biases, scales) stay float32: they cost nothing and carry the fine offsets."""

_HALF_LARGEST = float(np.finfo(np.float16).max)


def export_graph(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    *,
    half: bool = False,
) -> None:
    """Write a network as an ONNX graph whose first dimension is free everywhere.

    Says nothing about the graph being right: `export.parity.largest_differences` does.

    Args:
        module: takes the inputs in order and returns one tensor for each output; exported as in `eval()`.
        inputs: an example of each input, by the name that the graph shall give it; batch of two or more,
            since a batch of one would be taken for a constant.
        outputs: the names of the outputs, in order.
        path: the file to write.
        half: store large weights as float16 behind a Cast to float32. The file is half as large; the CPU
            still computes in float32, since the runtime unfolds the Cast once, when it opens the graph.

    Raises:
        RuntimeUnavailableError: `onnx` or `onnxscript` is not installed.
        WeightsError: the network cannot be written as a graph, or the file cannot be written.
    """
    try:
        model = _trace(module.eval(), inputs, outputs, path)
        _strip_notes(model)
        if half:
            _store_half(model)
        path.write_bytes(model.SerializeToString(deterministic=True))
    except OSError as error:
        raise WeightsError(
            f"Cannot write the graph {path}: {error.strerror or error}. Choose another place."
        ) from error


def _trace(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path) -> Any:
    """Trace, then fold what is constant.

    The tracing exporter, not the newer one over `torch.export`: after folding, both give the same nodes for
    these networks, one in a second and the other in half a minute.
    """
    try:
        import onnx
        from onnxscript import optimizer
    except ImportError as error:
        raise RuntimeUnavailableError(
            "Writing ONNX graphs needs `onnx` and `onnxscript`; install them with `pip install '.[train]'`."
        ) from error
    # Its warnings are about deprecations and shape checks; a real fault would show in the comparison after export.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module,
                tuple(inputs.values()),
                path,
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=False,
                dynamic_axes={name: {0: "batch"} for name in (*inputs, *outputs)},
                do_constant_folding=True,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            first = str(error).strip().splitlines()[0]
            raise WeightsError(
                f"{type(module).__name__} cannot be written as an ONNX graph ({first}). "
                "Use operations that ONNX knows, and let no shape depend on values."
            ) from error
    return optimizer.optimize(onnx.load(path))


def _strip_notes(model: Any) -> None:
    """Remove the exporter's notes, among them source lines and folders of the machine that exported."""
    graph = model.graph
    del model.metadata_props[:]
    del graph.metadata_props[:]
    del graph.value_info[:]
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    graph.name = "hififace"


def _store_half(model: Any) -> None:
    """Store each large float32 weight K as float16 under the same name; a Cast makes `K.float32` of it."""
    from onnx import TensorProto, helper, numpy_helper

    source_maps: dict[str, str] = {}
    nodes = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _HALF_MIN_ELEMENTS:
            continue
        numbers = numpy_helper.to_array(tensor)
        # Beyond float16's range a weight would become infinite; such a tensor is kept as it is.
        if not np.abs(numbers).max() < _HALF_LARGEST:
            continue
        source_maps[tensor.name] = f"{tensor.name}.float32"
        tensor.CopyFrom(numpy_helper.from_array(numbers.astype(np.float16), tensor.name))
        nodes.append(
            helper.make_node(
                "Cast",
                [tensor.name],
                [source_maps[tensor.name]],
                name=f"{tensor.name}.cast",
                to=TensorProto.FLOAT,
            )
        )
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = source_maps.get(name, name)
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
