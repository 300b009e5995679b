"""A generator's graph arranged for whole numbers gives equal images; a graph without its patterns stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hififace.export.arrange import Editing, arrange, expanded, region, shuffled
from hififace.weights.bundle import load_bundle
from hififace.weights.sessions import open_session

RNG = np.random.default_rng(0)


def graph(nodes: list[Any], weights: dict[str, Any], output: tuple[int, ...]) -> onnx.ModelProto:
    """From x (N, 3, 8, 8) to y."""
    return helper.make_model(
        helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", *output])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
        ),
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 18)],
    )


def convolution(name: str, source: str, output: str, side: int) -> Any:
    return helper.make_node(
        "Conv",
        [source, f"{name}.weight", f"{name}.bias"],
        [output],
        name=name,
        kernel_shape=[side, side],
        pads=[side // 2] * 4,
    )


def weights(name: str, outputs: int, inputs: int, side: int) -> dict[str, Any]:
    values = RNG.normal(0, 0.3, (outputs, inputs, side, side)).astype(np.float32)
    return {f"{name}.weight": values, f"{name}.bias": RNG.normal(0, 1, outputs).astype(np.float32)}


def run(model: onnx.ModelProto, x: Any) -> Any:
    return open_session(model.SerializeToString(), providers=["cpu"]).run({"x": x})["y"]


def folded(x: Any) -> Any:
    """(N, C, 2 H, 2 W) to (N, 4 C, H, W), channels (i, j, c)."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


@pytest.mark.parametrize("side", [1, 3])
def test_expanded_weights_do_the_same_to_four_neighbours(side: int) -> None:
    given = weights("conv", 5, 3, side)
    x = RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)
    plain = run(graph([convolution("conv", "x", "y", side)], given, (5, 8, 8)), x)
    wide = {"conv.weight": expanded(given["conv.weight"]), "conv.bias": np.tile(given["conv.bias"], 4)}
    model = graph([convolution("conv", "x", "y", side)], wide, (20, 4, 4))
    del model.graph.input[0].type.tensor_type.shape.dim[1:]
    model.graph.input[0].type.tensor_type.shape.dim.extend(
        onnx.TensorShapeProto.Dimension(dim_value=value) for value in (12, 4, 4)
    )
    np.testing.assert_allclose(run(model, folded(x)), folded(plain), atol=1e-5)


def test_all_rules_together_change_no_number() -> None:
    given = {
        **weights("first", 8, 3, 3),
        **weights("second", 12, 2, 3),
        **weights("adapt", 3, 3, 3),
        **weights("last", 2, 6, 1),
        **weights("low", 2, 2, 3),
        "none": np.zeros(0, np.float32),
        "double": np.array([1, 1, 2, 2], np.float32),
        "two": np.float32(2),
    }
    nodes = [
        helper.make_node(
            "AveragePool", ["x"], ["quarter"], kernel_shape=[4, 4], strides=[4, 4], name="quarter"
        ),
        convolution("first", "quarter", "unshuffled", 3),
        helper.make_node("DepthToSpace", ["unshuffled"], ["half"], blocksize=2, mode="CRD", name="up1"),
        helper.make_node("LeakyRelu", ["half"], ["active"], alpha=0.2, name="active"),
        convolution("low", "active", "low_out", 3),
        helper.make_node(
            "Resize",
            ["low_out", "none", "double"],
            ["doubled"],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
            name="resize",
        ),
        convolution("second", "active", "unshuffled2", 3),
        helper.make_node("DepthToSpace", ["unshuffled2"], ["z"], blocksize=2, mode="CRD", name="up2"),
        helper.make_node("Mul", ["x", "two"], ["pixels"], name="pixels"),
        convolution("adapt", "pixels", "adapted", 3),
        helper.make_node("Concat", ["z", "adapted"], ["both"], axis=1, name="both"),
        helper.make_node("Sigmoid", ["both"], ["gate"], name="gate"),
        convolution("last", "gate", "detail", 1),
        helper.make_node("Add", ["doubled", "detail"], ["sum"], name="sum"),
        helper.make_node("Abs", ["sum"], ["y"], name="abs"),
    ]
    model = graph(nodes, given, (2, 8, 8))
    arranged = arrange(model)
    assert not {"DepthToSpace", "Resize"} & {node.op_type for node in arranged.graph.node}
    x = RNG.normal(size=(3, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(run(arranged, x), run(model, x), atol=1e-5)


def test_what_is_behind_a_shuffle_ends_where_something_else_joins() -> None:
    model = onnx.load(load_bundle("mini").path("generator"))
    editing = Editing(model)
    inside = region(editing, shuffled(editing)[-1:])
    assert [node.op_type for node in inside].count("Conv") == 4
    assert inside[-1].op_type == "Conv"


def test_what_ships_is_arranged_into_the_same_function() -> None:
    bundle = load_bundle("mini")
    model = onnx.load(bundle.path("generator"))
    arranged = arrange(model)
    assert "DepthToSpace" not in {node.op_type for node in arranged.graph.node}
    feeds = {
        "target": RNG.uniform(0, 1, (2, 3, 256, 256)).astype(np.float32),
        "identity_vector": RNG.normal(0, 0.1, (2, bundle.vector_size)).astype(np.float32),
    }
    plain, same = (
        open_session(one.SerializeToString(), providers=["cpu"]).run(feeds) for one in (model, arranged)
    )
    for name, values in plain.items():
        np.testing.assert_allclose(same[name], values, atol=2e-4)


def test_a_graph_without_patterns_stays_as_it_is() -> None:
    given = weights("conv", 5, 3, 3)
    model = graph(
        [convolution("conv", "x", "raw", 3), helper.make_node("Relu", ["raw"], ["y"], name="relu")],
        given,
        (5, 8, 8),
    )
    assert arrange(model).graph == model.graph
