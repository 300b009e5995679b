"""One network into one graph: names, free batch, nothing outside the file, half-size weights."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from hififace.errors import WeightsError
from hififace.export.onnx import OPSET, export_graph
from hififace.weights.graphs import read_initializers
from hififace.weights.sessions import open_session


class _Network(nn.Module):
    """A network with what exporters stumble over: normalisation, resizing, a constant, a shape."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.widen = nn.Conv2d(3, 64, 3, padding=1)
        self.norm = nn.BatchNorm2d(64)
        self.scale = nn.Linear(5, 64)
        self.narrow = nn.Conv2d(64, 2, 1)

    def forward(self, image: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm(self.widen(image)) * self.scale(vector)[:, :, None, None]
        x = nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = self.narrow(x)
        return x, x.flatten(1).mean(1, keepdim=True)


INPUTS = {"image": torch.rand(2, 3, 8, 8), "vector": torch.rand(2, 5)}
OUTPUTS = ("enlarged", "mean")


@pytest.fixture(scope="module")
def network() -> _Network:
    return _Network().eval()


@pytest.fixture(scope="module", params=[False, True], ids=["single", "half"])
def graph(
    request: pytest.FixtureRequest, network: _Network, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("graph") / f"{request.param}.onnx"
    export_graph(network, INPUTS, OUTPUTS, path, half=request.param)
    return path


def test_inputs_and_outputs_bear_the_names_given_and_only_the_batch_is_free(graph: Path) -> None:
    session = open_session(graph)
    assert {info.name: info.shape for info in session.inputs} == {
        "image": ("batch", 3, 8, 8),
        "vector": ("batch", 5),
    }
    assert {info.name: info.shape for info in session.outputs} == {
        "enlarged": ("batch", 2, 16, 16),
        "mean": ("batch", 1),
    }


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_every_batch_size_gives_pytorchs_numbers(graph: Path, network: _Network, batch: int) -> None:
    image, vector = torch.rand(batch, 3, 8, 8), torch.rand(batch, 5)
    found = open_session(graph).run({"image": image.numpy(), "vector": vector.numpy()})
    with torch.no_grad():
        expected = network(image, vector)
    tolerance = 1e-3 if graph.stem == "True" else 1e-5
    for name, tensor in zip(OUTPUTS, expected, strict=True):
        assert np.abs(found[name] - tensor.numpy()).max() <= tolerance


def test_the_graph_is_valid_whole_and_says_nothing_of_the_machine(graph: Path) -> None:
    model = onnx.load(graph)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert list(graph.parent.iterdir()) == [graph], "weights lie beside the graph"
    content = graph.read_bytes()
    assert b".py" not in content
    assert str(Path.cwd()).encode() not in content
    assert not {node.op_type for node in model.graph.node} & {"Constant", "Identity", "BatchNormalization"}


def test_half_weights_come_back_under_their_own_names(network: _Network, tmp_path: Path) -> None:
    export_graph(network, INPUTS, OUTPUTS, tmp_path / "half.onnx", half=True)
    export_graph(network, INPUTS, OUTPUTS, tmp_path / "single.onnx")
    half, single = (read_initializers(tmp_path / f"{name}.onnx") for name in ("half", "single"))
    assert half.keys() == single.keys()
    stored = {t.name: t.data_type for t in onnx.load(tmp_path / "half.onnx").graph.initializer}
    large = [name for name, numbers in single.items() if numbers.size >= 1024]
    assert large, "the network has no weight worth halving"
    for name, numbers in single.items():
        is_half = stored[name] == onnx.TensorProto.FLOAT16
        assert is_half == (name in large)
        expected = numbers.astype(np.float16).astype(np.float32) if is_half else numbers
        np.testing.assert_array_equal(half[name], expected)


def test_weights_beyond_the_range_of_half_are_kept(network: _Network, tmp_path: Path) -> None:
    large = _Network().eval()
    with torch.no_grad():
        large.widen.weight[0, 0, 0, 0] = 1e6
    export_graph(large, INPUTS, OUTPUTS, tmp_path / "large.onnx", half=True)
    assert all(np.isfinite(numbers).all() for numbers in read_initializers(tmp_path / "large.onnx").values())


def test_exporting_is_quiet(
    network: _Network, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        export_graph(network, INPUTS, OUTPUTS, tmp_path / "graph.onnx")
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


class _Strange(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.linalg.eigvals(image)


def test_what_onnx_does_not_know_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="_Strange cannot be written as an ONNX graph"):
        export_graph(_Strange(), {"image": torch.rand(2, 4, 4)}, ["values"], tmp_path / "graph.onnx")


def test_a_place_that_cannot_be_written_is_a_sentence(network: _Network, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no-such-folder"):
        export_graph(network, INPUTS, OUTPUTS, tmp_path / "no-such-folder" / "graph.onnx")
