"""Frozen networks out of TensorFlow.js graph models: `model.json` with its nodes, one file of weights.

Convolutional classifiers only: some twenty kinds of nodes, from images to features. TensorFlow's images have the
channels last; here they are second, as everywhere in this project, and every constant is turned when it is read.

Letters: B batch.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.errors import WeightsError
from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.frozen_layers import FrozenPReLU, convolve

_CONSTANTS = ("float32", "int32")
"""Types of a graph's constants: weights, and the shapes and paddings of its nodes."""


class TfjsGraph(nn.Module):
    """A graph model as a module: its nodes in order, those that one output needs.

    Args:
        nodes: `modelTopology.node` of the graph model.
        arrays: its constants by name, in TensorFlow's layout.
        output: name of the node whose value is returned.

    Raises:
        WeightsError: a node is of a kind that is not known here.
    """

    def __init__(
        self, nodes: list[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]], output: str
    ) -> None:
        super().__init__()
        self.output = output
        self._arrays = arrays
        self._nodes = {node["name"]: node for node in nodes}
        if output not in self._nodes:
            raise WeightsError(f"The graph has no node {output!r}; it ends with {nodes[-1]['name']!r}.")
        self._steps: list[tuple[str, Callable[..., Tensor], list[str]]] = []
        self.layers = nn.ModuleList()
        self.input = ""
        done: set[str] = set()
        self._visit(output, done)
        del self._arrays, self._nodes
        self._last_use = {name: place for place, (_, _, names) in enumerate(self._steps) for name in names}

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in the range that the network was trained with, to its output, (B, features)."""
        values = {self.input: images}
        for place, (name, apply, names) in enumerate(self._steps):
            values[name] = apply(*(values[n] for n in names))
            for used in names:
                if self._last_use[used] == place:
                    values.pop(used, None)
        return values[self.output]

    def _visit(self, name: str, done: set[str]) -> None:
        """Appends the steps that a node's value needs, its own last."""
        stack = [(name, False)]
        while stack:
            current, ready = stack.pop()
            if current in done:
                continue
            node = self._nodes[current]
            if node["op"] == "Placeholder":
                self.input = current
                done.add(current)
                continue
            apply, names = self._step(node) if ready else (None, self._inputs(node))
            if apply is None:
                stack.append((current, True))
                stack.extend((n, False) for n in reversed(names))
                continue
            self._steps.append((current, apply, names))
            done.add(current)

    def _inputs(self, node: Mapping[str, Any]) -> list[str]:
        slopes = self._slopes(node)
        if slopes is not None:
            return [slopes[0]]
        return [name for name in node.get("input", []) if name not in self._arrays]

    def _step(self, node: Mapping[str, Any]) -> tuple[Callable[..., Tensor], list[str]]:
        names, kind = self._inputs(node), node["op"]
        slopes = self._slopes(node)
        if slopes is not None:
            layer = FrozenPReLU(len(slopes[1]))
            layer.weight.data.copy_(torch.tensor(slopes[1]))
            return self._kept(layer), names
        constants = [self._arrays[name] for name in node.get("input", []) if name in self._arrays]
        if kind in ("Conv2D", "_FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative"):
            return self._kept(_convolution(node, constants)), names
        if kind in ("MatMul", "_FusedMatMul"):
            return self._kept(_linear(node, constants)), names
        if kind in _BINARY and constants:
            first = node["input"][0] in self._arrays
            return self._kept(_WithConstant(_BINARY[kind], _turned(constants[0]), first)), names
        if kind == "Pad":
            (_, _), (top, bottom), (left, right), (_, _) = constants[0].reshape(4, 2).tolist()
            return lambda x: F.pad(x, (left, right, top, bottom)), names
        known: dict[str, Callable[..., Tensor]] = {**_UNARY, **_BINARY}
        if kind not in known:
            raise WeightsError(f"The graph's node {node['name']!r} is a {kind}, which is not known here.")
        return known[kind], names

    def _kept(self, layer: nn.Module) -> nn.Module:
        self.layers.append(layer)
        return layer

    def _slopes(self, node: Mapping[str, Any]) -> tuple[str, NDArray[np.floating]] | None:
        """A PReLU's input and slopes, where a sum is one.

        relu(x) + (x - |x|) · a/2, or max(0, x) + a · min(0, x).
        """
        if node["op"] not in ("Add", "AddV2"):
            return None
        parts = [self._nodes.get(name) for name in node["input"]]
        positive, negative = parts
        if positive is None or negative is None:  # a constant
            return None
        if negative["op"] != "Mul" or positive["op"] not in ("Relu", "Maximum"):
            return None
        slopes = next((self._arrays[n] for n in negative["input"] if n in self._arrays), None)
        inner = next((self._nodes[n] for n in negative["input"] if n not in self._arrays), None)
        source = next((n for n in positive["input"] if n not in self._arrays), None)
        if slopes is None or inner is None or source is None or source not in inner["input"]:
            return None
        if inner["op"] == "Sub":
            return source, 2.0 * slopes
        return (source, slopes) if inner["op"] == "Minimum" else None


def read_tfjs_weights(
    data: bytes, manifest: list[dict[str, Any]], types: Sequence[str] = ("float32",)
) -> dict[str, NDArray[Any]]:
    """The named tensors of a TensorFlow.js weights file.

    Args:
        data: the content of the file.
        manifest: `weightsManifest`: name, shape and dtype of each tensor, in their order in the file. A tensor q
            quantised to 8 bits becomes q · scale + min, float32.
        types: dtypes that a tensor may have.

    Raises:
        ValueError: the manifest announces more or fewer bytes than there are, or another dtype.
        KeyError: it lacks an entry.
    """
    tensors: dict[str, NDArray[Any]] = {}
    start = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        quantised = entry.get("quantization")
        kind = str(quantised["dtype"] if quantised else entry["dtype"])
        if kind not in (("uint8",) if quantised else types):
            raise ValueError(f"{entry['name']} is stored as {kind}")
        size = math.prod(entry["shape"]) * np.dtype(kind).itemsize
        values: NDArray[Any] = np.frombuffer(data[start : start + size], kind).copy()
        if quantised:
            values = values.astype(np.float32) * np.float32(quantised["scale"]) + np.float32(quantised["min"])
        tensors[str(entry["name"])] = values.reshape(entry["shape"])
        start += size
    if start != len(data):
        raise ValueError(f"the file has {len(data)} bytes, {start} expected")
    return tensors


def load_tfjs_graph(model: Path, weights: Path, output: str) -> TfjsGraph:
    """The network of a graph model's two files, frozen.

    Args:
        model: `*.json`, with nodes and the weights' layout.
        weights: `*.bin`, all weights one after the other.
        output: name of the node whose value is wanted.

    Raises:
        WeightsError: the files are damaged, or hold nodes that are not known here.
    """
    try:
        described = json.loads(model.read_text(encoding="utf-8"))
        nodes = described["modelTopology"]["node"]
        arrays = read_tfjs_weights(weights.read_bytes(), described["weightsManifest"], _CONSTANTS)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise WeightsError(
            f"{model} and {weights} are not a TensorFlow.js graph model: {error}. Fetch the files again."
        ) from error
    return freeze(TfjsGraph(nodes, arrays, output))


class _WithConstant(nn.Module):
    """A sum, difference, product or bound with a constant."""

    value: Tensor

    def __init__(self, apply: Callable[[Tensor, Tensor], Tensor], value: Tensor, first: bool) -> None:
        super().__init__()
        self.combine, self.first = apply, first
        self.register_buffer("value", value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        # Under autocast a constant of float32 would make all that follows float32 again.
        value = (self.value if self.value.ndim == 0 or x.ndim == 4 else self.value.flatten()).to(x.dtype)
        return self.combine(value, x) if self.first else self.combine(x, value)


class _Padded(nn.Module):
    """A convolution with TensorFlow's SAME padding: what is odd goes below and to the right."""

    def __init__(self, layer: nn.Conv2d, same: bool) -> None:
        super().__init__()
        self.layer, self.same = layer, same

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        stride = layer.stride[0]
        if self.same:
            pads: list[int] = []
            for size, kernel in zip(x.shape[:1:-1], layer.kernel_size[::-1], strict=True):
                missing = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
                pads += [missing // 2, missing - missing // 2]
            x = F.pad(x, pads)
        padding = cast(tuple[int, int], layer.padding)
        return convolve(x, layer.weight, layer.bias, stride, padding, layer.groups)


def _convolution(node: Mapping[str, Any], constants: list[NDArray[Any]]) -> nn.Module:
    attributes, kernel = node["attr"], constants[0]
    _, stride, other, _ = map(int, attributes["strides"]["list"]["i"])
    padding, fused = _text(attributes["padding"]["s"]), _fused(node)
    if stride != other or padding not in ("SAME", "VALID"):
        raise WeightsError(f"The graph's convolution {node['name']!r} has strides or padding not known here.")
    height, width, inputs, outputs = kernel.shape
    odd = padding == "SAME" and stride == 1 and height % 2 == 1 and width % 2 == 1
    place = (height // 2, width // 2) if odd else (0, 0)
    depthwise = "epthwise" in node["op"]
    layer = nn.Conv2d(
        inputs,
        inputs * outputs if depthwise else outputs,
        (height, width),
        stride,
        place,
        groups=inputs if depthwise else 1,
        bias="BiasAdd" in fused,
    )
    turned = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1)
    layer.weight.data.copy_(torch.tensor(turned.reshape(layer.weight.shape)))
    if layer.bias is not None:
        layer.bias.data.copy_(torch.tensor(constants[1]))
    return nn.Sequential(_Padded(layer, padding == "SAME" and not odd), *_activation(fused, constants[2:]))


def _linear(node: Mapping[str, Any], constants: list[NDArray[Any]]) -> nn.Module:
    kernel, fused = constants[0], _fused(node)
    layer = nn.Linear(kernel.shape[0], kernel.shape[1], bias="BiasAdd" in fused)
    layer.weight.data.copy_(torch.tensor(kernel.T.copy()))
    if "BiasAdd" in fused:
        layer.bias.data.copy_(torch.tensor(constants[1]))
    return nn.Sequential(layer, *_activation(fused, constants[2:]))


def _activation(fused: list[str], slopes: list[NDArray[Any]]) -> list[nn.Module]:
    known: dict[str, Callable[[], nn.Module]] = {"Relu": nn.ReLU, "Relu6": nn.ReLU6}
    layers: list[nn.Module] = []
    for name in fused:
        if name in known:
            layers.append(known[name]())
        elif name == "Prelu":
            layer = FrozenPReLU(slopes[0].size)
            layer.weight.data.copy_(torch.tensor(slopes[0].ravel()))
            layers.append(layer)
        elif name != "BiasAdd":
            raise WeightsError(f"The graph fuses {name} into a node, which is not known here.")
    return layers


def _fused(node: Mapping[str, Any]) -> list[str]:
    return [_text(name) for name in node["attr"].get("fused_ops", {}).get("list", {}).get("s", [])]


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode("ascii")


def _turned(value: NDArray[Any]) -> Tensor:
    """A constant of channels, (C,) to (C, 1, 1); one number to a scalar."""
    found = torch.tensor(np.asarray(value, np.float32))
    return found.reshape(()) if found.numel() == 1 else found.reshape(-1, 1, 1)


_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": F.relu,
    "Relu6": F.relu6,
    "Abs": torch.abs,
    "Mean": lambda x: x.mean((2, 3)),
    "Squeeze": lambda x: x.flatten(1),
    "Reshape": lambda x: x.permute(0, 2, 3, 1).flatten(1),  # flattened as TensorFlow does, channels last
}
_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "AddV2": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Maximum": torch.maximum,
    "Minimum": torch.minimum,
}
