"""Bundles whose generator paints a plain function of target and vector: known results, no training, milliseconds.

Inside a disc M the double paints half of the target and half of one colour, sigmoid(W · vector); outside it leaves the
target. So a test can say from the vector what colour must show, and see which parts of the vector reached it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hififace.faces.shape import MeshShapePrior
from hififace.swap.options import SwapOptions
from hififace.weights.bundle import Bundle, write_bundle

AS_GENERATED = SwapOptions(match_colour=False, detail=0.0)
"""Blending that leaves the paint alone: the double tells by a colour what it was given."""

BASEL_SIZES = {"shape": 80, "expression": 64, "texture": 80, "pose": 3, "light": 27, "translation": 3}


def mesh_layout() -> list[dict[str, Any]]:
    """As `models.params.mesh_vector` lays it out, at the sizes of the prior that ships."""
    prior = MeshShapePrior.load()
    return [
        _entry("source_shape", prior.identity_size),
        _entry("target_expression", prior.expression_size),
        _entry("target_pose", 3, 4.0),
        _entry("source_identity", 128, 128**0.5),
    ]


def basel_layout() -> list[dict[str, Any]]:
    owners = {"shape": "source"}
    parts = [_entry(f"{owners.get(name, 'target')}_{name}", size) for name, size in BASEL_SIZES.items()]
    return [*parts, _entry("source_identity", 512)]


def colour_weights(size: int) -> NDArray[np.float32]:
    """(D, 3) W: every part of the vector moves the colour."""
    return np.random.default_rng(5).normal(0.0, 0.5, (size, 3)).astype(np.float32)


def disc(side: int) -> NDArray[np.float32]:
    """(1, 1, side, side) M: 1 within 0.35 sides of the middle, with a rim of two pixels."""
    axis = np.arange(side) - (side - 1) / 2
    distance = np.hypot(axis[:, None], axis[None, :])
    return np.clip((0.35 * side - distance) / 2, 0.0, 1.0).astype(np.float32)[None, None]


def write_mesh_bundle(
    folder: Path, *, resolution: int = 64, enlarge: int = 1, version: str = "1", refined: bool = False
) -> Bundle:
    """A bundle of the mesh family, with the layout that the embedded one had; `refined`: with all that it has now."""
    layout = mesh_layout()
    if refined:
        layout[-1] |= {"strength": 1.2, "feedback": 0.5}
        layout.append(_entry("target_identity", 128, 128**0.5))
    graph = generator_graph(sum(entry["size"] for entry in layout), resolution, enlarge)
    return write_bundle(
        folder,
        {
            "name": "double",
            "version": version,
            "family": "mesh",
            "resolution": resolution,
            "output_resolution": resolution * enlarge,
            "template": "mini_128",
            "identity": {"part": "sface", "size": 128},
            "shape": {"part": "mesh"},
            "vector": layout,
            "graphs": {"generator": "generator.onnx"},
            "licence": "none",
        },
        {"generator.onnx": graph},
    )


def write_basel_bundle(folder: Path, *, resolution: int = 64) -> Bundle:
    """A bundle of the Basel family: its identity and shape graphs are random projections of the shrunk crop."""
    layout = basel_layout()
    return write_bundle(
        folder,
        {
            "name": "basel-double",
            "version": "1",
            "family": "basel",
            "resolution": resolution,
            "template": "frontal_256",
            "identity": {"part": "identity.onnx", "size": 512},
            "shape": {"part": "shape.onnx", "size": 257},
            "vector": layout,
            "graphs": {"generator": "generator.onnx", "identity": "identity.onnx", "shape": "shape.onnx"},
            "licence": "none",
        },
        {
            "generator.onnx": generator_graph(sum(entry["size"] for entry in layout), resolution, 1),
            "identity.onnx": projection_graph(resolution, {"identity": 512}, seed=1),
            "shape.onnx": projection_graph(resolution, BASEL_SIZES, seed=2),
        },
    )


def generator_graph(vector_size: int, resolution: int, enlarge: int) -> bytes:
    side = resolution * enlarge
    constants = {
        "weights": colour_weights(vector_size),
        "disc": disc(side),
        "rest": 1.0 - disc(side),
        "half": np.float32(0.5),
        "nought": np.float32(0.0),
        "column": np.array([0, 3, 1, 1]),
        "scales": np.array([1, 1, enlarge, enlarge], np.float32),
        "channel": np.array([1]),
    }
    nodes = [
        helper.make_node("MatMul", ["identity_vector", "weights"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["row"]),
        helper.make_node("Reshape", ["row", "column"], ["colour"]),
        helper.make_node("Resize", ["target", "", "scales"], ["large"], mode="linear"),
        helper.make_node("Add", ["large", "colour"], ["sum"]),
        helper.make_node("Mul", ["sum", "half"], ["painted"]),
        helper.make_node("Mul", ["painted", "disc"], ["inside"]),
        helper.make_node("Mul", ["large", "rest"], ["outside"]),
        helper.make_node("Add", ["inside", "outside"], ["image"]),
        helper.make_node("ReduceMean", ["large", "channel"], ["grey"], keepdims=1),
        helper.make_node("Mul", ["grey", "nought"], ["empty"]),
        helper.make_node("Add", ["empty", "disc"], ["mask"]),
    ]
    return _graph(
        nodes,
        {"target": ["batch", 3, resolution, resolution], "identity_vector": ["batch", vector_size]},
        {"image": ["batch", 3, side, side], "mask": ["batch", 1, side, side]},
        constants,
    )


def projection_graph(resolution: int, sizes: dict[str, int], *, seed: int) -> bytes:
    """Mean over blocks of an eighth of the side, less the image's mean, times random numbers."""
    generator = np.random.default_rng(seed)
    block = resolution // 8
    constants: dict[str, NDArray[Any]] = {"row": np.array([0, 3 * 64]), "axis": np.array([1])}
    nodes = [
        helper.make_node("AveragePool", ["image"], ["small"], kernel_shape=[block] * 2, strides=[block] * 2),
        helper.make_node("Reshape", ["small", "row"], ["flat"]),
        helper.make_node("ReduceMean", ["flat", "axis"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["flat", "mean"], ["centred"]),
    ]
    for name, size in sizes.items():
        constants[f"{name}_weights"] = generator.normal(0, 0.02, (3 * 64, size)).astype(np.float32)
        nodes.append(helper.make_node("MatMul", ["centred", f"{name}_weights"], [name]))
    return _graph(
        nodes,
        {"image": ["batch", 3, resolution, resolution]},
        {name: ["batch", size] for name, size in sizes.items()},
        constants,
    )


def _entry(name: str, size: int, gain: float = 1.0) -> dict[str, Any]:
    return {"name": name, "size": size, "gain": gain, "owner": name.partition("_")[0]}


def _graph(
    nodes: list[Any],
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any]],
    constants: dict[str, NDArray[Any]],
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "double",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
