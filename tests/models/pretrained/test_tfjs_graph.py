"""Graph models of TensorFlow.js: every kind of node against the same sum written out by hand."""

import base64
import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hififace.errors import WeightsError
from hififace.models.pretrained.faceres import MEAN_BGR, OUTPUT, load_faceres
from hififace.models.pretrained.tfjs_graph import load_tfjs_graph, read_tfjs_weights


class Graph:
    """Nodes and constants, written as a package has them."""

    def __init__(self):
        self.nodes, self.arrays, self.random = [], {}, np.random.default_rng(3)
        self.node("image", "Placeholder")

    def node(self, name, kind, *inputs, **attributes):
        self.nodes.append({"name": name, "op": kind, "input": list(inputs), "attr": attributes})
        return name

    def constant(self, name, value):
        self.arrays[name] = np.asarray(value)
        self.nodes.append({"name": name, "op": "Const"})
        return name

    def weights(self, name, *shape):
        return self.constant(name, self.random.normal(size=shape).astype(np.float32))

    def convolution(self, name, kind, *inputs, stride=1, padding="SAME", fused=()):
        return self.node(
            name,
            kind,
            *inputs,
            strides={"list": {"i": ["1", str(stride), str(stride), "1"]}},
            padding={"s": text(padding)},
            fused_ops={"list": {"s": [text(one) for one in fused]}},
        )

    def write(self, folder):
        layout = [
            {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
            for name, array in self.arrays.items()
        ]
        (folder / "model.bin").write_bytes(b"".join(array.tobytes() for array in self.arrays.values()))
        (folder / "model.json").write_text(
            json.dumps({"modelTopology": {"node": self.nodes}, "weightsManifest": [{"weights": layout}]})
        )
        return folder / "model.json", folder / "model.bin"


def text(words):
    return base64.b64encode(words.encode()).decode()


@pytest.fixture
def graph():
    return Graph()


@pytest.fixture
def image():
    torch.manual_seed(0)
    return torch.randn(2, 3, 8, 8)


def kernel(graph, name):
    """(O, I, H, W) of a constant (H, W, I, O)."""
    return torch.tensor(graph.arrays[name].transpose(3, 2, 0, 1).copy())


def depthwise_kernel(graph, name):
    """(C, 1, H, W) of a constant (H, W, C, 1)."""
    return torch.tensor(graph.arrays[name].transpose(2, 3, 0, 1).copy())


def test_a_convolution_of_stride_two_is_padded_below_and_to_the_right(graph, image, tmp_path):
    graph.convolution("out", "Conv2D", "image", graph.weights("k", 3, 3, 3, 5), stride=2)
    network = load_tfjs_graph(*graph.write(tmp_path), "out")
    expected = F.conv2d(F.pad(image, (0, 1, 0, 1)), kernel(graph, "k"), stride=2)
    torch.testing.assert_close(network(image), expected)
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("stride", [1, 2])
def test_a_depthwise_convolution_is_the_same_with_and_without_a_gradient(graph, image, tmp_path, stride):
    graph.convolution("out", "DepthwiseConv2dNative", "image", graph.weights("k", 3, 3, 3, 1), stride=stride)
    network = load_tfjs_graph(*graph.write(tmp_path), "out")
    pads = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)
    expected = F.conv2d(F.pad(image, pads), depthwise_kernel(graph, "k"), stride=stride, groups=3)
    torch.testing.assert_close(network(image), expected)
    asked = image.clone().requires_grad_(True)
    found = network(asked)
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found.sum(), asked)
    assert float(gradient.abs().sum()) > 0


def test_what_is_fused_into_a_node_is_applied_in_its_order(graph, image, tmp_path):
    inputs = ("image", graph.weights("k", 1, 1, 3, 4), graph.weights("b", 4), graph.weights("s", 4))
    graph.convolution("out", "_FusedConv2D", *inputs, fused=("BiasAdd", "Prelu"))
    network = load_tfjs_graph(*graph.write(tmp_path), "out")
    before = F.conv2d(image, kernel(graph, "k"), torch.tensor(graph.arrays["b"]))
    expected = torch.where(before > 0, before, before * torch.tensor(graph.arrays["s"])[:, None, None])
    torch.testing.assert_close(network(image), expected)


@pytest.mark.parametrize("way", ["absolute", "bounds"])
def test_a_prelu_written_out_becomes_one_layer(graph, image, tmp_path, way):
    slopes = graph.weights("a", 3)
    if way == "absolute":  # relu(x) + (x - |x|) a
        first = graph.node("relu", "Relu", "image")
        graph.node("abs", "Abs", "image")
        inner = graph.node("sub", "Sub", "image", "abs")
        factor = 2.0
    else:  # max(0, x) + a min(0, x)
        nought = graph.constant("nought", np.float32(0))
        first = graph.node("max", "Maximum", nought, "image")
        inner = graph.node("min", "Minimum", nought, "image")
        factor = 1.0
    graph.node("mul", "Mul", inner, slopes)
    graph.node("out", "Add", first, "mul")
    network = load_tfjs_graph(*graph.write(tmp_path), "out")
    a = factor * torch.tensor(graph.arrays["a"])[:, None, None]
    torch.testing.assert_close(network(image), torch.where(image > 0, image, a * image))
    assert [type(layer).__name__ for layer in network.layers] == ["FrozenPReLU"]


def test_constants_keep_their_side_and_their_channels(graph, image, tmp_path):
    graph.node("sub", "Sub", graph.weights("c", 3), "image")
    graph.node("mul", "Mul", "sub", graph.constant("half", np.float32(0.5)))
    graph.node("low", "Minimum", "mul", graph.constant("one", np.float32(1)))
    graph.node("sum", "Add", "low", "image")
    pads = graph.constant("pads", np.array([[0, 0], [1, 0], [0, 2], [0, 0]], np.int32))
    graph.node("out", "Pad", "sum", pads)
    network = load_tfjs_graph(*graph.write(tmp_path), "out")
    c = torch.tensor(graph.arrays["c"])[:, None, None]
    expected = F.pad((0.5 * (c - image)).clamp_max(1.0) + image, (0, 2, 1, 0))
    torch.testing.assert_close(network(image), expected)


def test_a_flattened_image_has_its_channels_last(graph, image, tmp_path):
    graph.node("flat", "Reshape", "image", graph.constant("shape", np.array([-1, 192], np.int32)))
    graph.node("dense", "MatMul", "flat", graph.weights("k", 192, 4))
    graph.node("out", "Mul", "dense", graph.weights("s", 4))
    network = load_tfjs_graph(*graph.write(tmp_path), "out")
    flat = image.permute(0, 2, 3, 1).reshape(2, 192)
    expected = flat @ torch.tensor(graph.arrays["k"]) * torch.tensor(graph.arrays["s"])
    torch.testing.assert_close(network(image), expected)


def test_files_that_are_no_such_graph_are_named(graph, tmp_path):
    graph.node("out", "Relu", "image")
    model, weights = graph.write(tmp_path)
    with pytest.raises(WeightsError, match="has no node 'other'"):
        load_tfjs_graph(model, weights, "other")
    weights.write_bytes(b"1234")
    with pytest.raises(WeightsError, match="has 4 bytes, 0 expected"):
        load_tfjs_graph(model, weights, "out")
    model.write_text("{")
    with pytest.raises(WeightsError, match=r"not a TensorFlow.js graph model.*Fetch the files again"):
        load_tfjs_graph(model, weights, "out")
    graph.node("odd", "Einsum", "image")
    with pytest.raises(WeightsError, match="'odd' is a Einsum"):
        load_tfjs_graph(*graph.write(tmp_path), "odd")


def test_faceres_sees_blue_first_without_its_mean(graph, tmp_path):
    axes = graph.constant("axes", np.array([1, 2], np.int32))
    graph.node(OUTPUT, "Mean", "image", axes)
    model, weights = graph.write(tmp_path)
    faces = torch.rand(2, 3, 224, 224)
    expected = 255.0 * faces.mean((2, 3)).flip(1) - torch.tensor(MEAN_BGR)
    torch.testing.assert_close(load_faceres(weights, model)(faces), expected, rtol=1e-4, atol=1e-3)


def test_a_tensor_in_eight_bits_is_scaled_and_shifted():
    """Literals: q = 0, 10, 255 with scale 0.5 and least value -1; then a plain float."""
    manifest = [
        {
            "weights": [
                {
                    "name": "a",
                    "shape": [3],
                    "dtype": "float32",
                    "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0},
                },
                {"name": "b", "shape": [1, 1], "dtype": "float32"},
            ]
        }
    ]
    found = read_tfjs_weights(bytes([0, 10, 255]) + np.float32(2.5).tobytes(), manifest)
    np.testing.assert_array_equal(found["a"], [-1.0, 4.0, 126.5])
    np.testing.assert_array_equal(found["b"], [[2.5]])
    with pytest.raises(ValueError, match="i is stored as int32"):
        read_tfjs_weights(bytes(4), [{"weights": [{"name": "i", "shape": [1], "dtype": "int32"}]}])
