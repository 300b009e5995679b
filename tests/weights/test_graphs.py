"""Reading weights out of graphs: storage types, what is left out, and files that are no graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hififace.errors import WeightsError
from hififace.weights.graphs import read_initializers


def _write_graph(path: Path, initializers: list[TensorProto]) -> Path:
    node = helper.make_node("Identity", ["image"], ["copy"])
    value = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("copy", TensorProto.FLOAT, [1])
    graph = helper.make_graph([node], "graph", [value], [result], initializers)
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def test_half_and_double_weights_come_back_as_float32(tmp_path: Path) -> None:
    numbers = np.array([0.1, -2.5, 3.0])
    path = _write_graph(
        tmp_path / "graph.onnx",
        [
            numpy_helper.from_array(numbers.astype(np.float16), "conv.weight"),
            numpy_helper.from_array(numbers.astype(np.float32), "conv.bias"),
            numpy_helper.from_array(numbers, "norm.weight"),
        ],
    )
    weights = read_initializers(path)
    assert list(weights) == ["conv.weight", "conv.bias", "norm.weight"]
    assert all(array.dtype == np.float32 for array in weights.values())
    np.testing.assert_array_equal(weights["conv.weight"], numbers.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(weights["conv.bias"], numbers.astype(np.float32))


def test_shapes_and_axes_are_no_weights(tmp_path: Path) -> None:
    path = _write_graph(tmp_path / "graph.onnx", [numpy_helper.from_array(np.array([1, 2]), "shape")])
    assert read_initializers(path) == {}


def test_weights_outside_the_file_are_refused(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.zeros(3, dtype=np.float32), "secret")
    onnx.external_data_helper.set_external_data(tensor, location="../../etc/passwd")
    tensor.ClearField("raw_data")
    with pytest.raises(WeightsError, match="'secret' in another file"):
        read_initializers(_write_graph(tmp_path / "graph.onnx", [tensor]))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "no graph"), (b"not a graph at all", "not an ONNX graph"), (b"\x80\x04\x95", "not an ONNX graph")],
)
def test_a_file_that_is_no_graph_is_said_to_be_none(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=sentence):
        read_initializers(path)


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.onnx"):
        read_initializers(tmp_path / "nowhere.onnx")


def test_a_graph_cut_short_is_refused(tmp_path: Path) -> None:
    path = _write_graph(tmp_path / "graph.onnx", [numpy_helper.from_array(np.zeros(500, np.float32), "w")])
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(WeightsError, match="cut short"):
        read_initializers(path)
