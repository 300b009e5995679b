"""Fold block-quantised weights of an ONNX graph into plain float32 initializers.

The int8bq files of the OpenCV Zoo hold every weight as `DequantizeLinear(q, scale, zero_point)` with a block
size (ONNX operator set 21), followed by a constant `Reshape`. ONNX Runtime refuses some of these
(a per-tensor bias that states a block size), so the arithmetic is done here, once and offline:
weight = (q - zero_point) · scale, with scale and zero point repeated `block_size` times along `axis`.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


def dequantise(
    quantised: NDArray[np.integer],
    scale: NDArray[np.floating],
    zero_point: NDArray[np.integer],
    axis: int,
    block_size: int,
) -> NDArray[np.float32]:
    """`(quantised - zero_point) · scale`, the latter two repeated along `axis` to the first's shape."""
    if scale.ndim == quantised.ndim and block_size:
        length = quantised.shape[axis]
        scale = np.repeat(scale, block_size, axis=axis).take(range(length), axis=axis)
        zero_point = np.repeat(zero_point, block_size, axis=axis).take(range(length), axis=axis)
    return ((quantised.astype(np.float32) - zero_point.astype(np.float32)) * scale).astype(np.float32)


def read_weights(graph: onnx.GraphProto) -> dict[str, NDArray[np.generic]]:
    """Name to array of every initializer of `graph`."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def fold_weights(model: onnx.ModelProto) -> tuple[list[onnx.NodeProto], dict[str, NDArray[np.float32]]]:
    """The nodes that compute, and the float weights they read, of a block-quantised model.

    Args:
        model: as the OpenCV Zoo's int8bq files are.

    Returns:
        The nodes left once the weights are folded, in order; and name to weight for every initializer they
        read. A folded weight is named as the file named it before it was quantised.
    """
    weights = read_weights(model.graph)
    remaining: list[onnx.NodeProto] = []
    renamed: dict[str, str] = {}
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "DequantizeLinear":
            quantised, scale, zero_point = (weights[name] for name in node.input)
            weights[node.output[0]] = dequantise(
                quantised, scale, zero_point, attributes["axis"], attributes["block_size"]
            )
            renamed[node.output[0]] = node.output[0].removesuffix("_dequantized")
        elif node.op_type == "Reshape" and node.input[0] in weights and node.input[1] in weights:
            weights[node.output[0]] = weights[node.input[0]].reshape(weights[node.input[1]])
            renamed[node.output[0]] = node.output[0].removesuffix("_reshaped")
        else:
            remaining.append(node)
    for node in remaining:
        for place, name in enumerate(node.input):
            if name in renamed:
                node.input[place] = renamed[name]
    originals = {new: weights[old] for old, new in renamed.items()}
    read = {name for node in remaining for name in node.input}
    folded = {name: value for name, value in {**weights, **originals}.items() if name in read}
    return remaining, folded
