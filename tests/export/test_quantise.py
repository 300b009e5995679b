"""An int8 graph beside the float one: it agrees, holds no weights of its own, and is refused where it would be seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hififace.errors import FaceError
from hififace.export.quantise import (
    INT8_FILE,
    Examples,
    FloatGraph,
    find_scales,
    fit_scale,
    quantise_bundle,
    weight_steps,
)
from hififace.weights.bundle import EMBEDDED_BUNDLES, load_bundle
from hififace.weights.sessions import open_session

ROOT = Path(__file__).parents[2]
PORTRAITS = sorted((ROOT / "benchmarks" / "portraits").glob("*.jpg"))


def test_a_scale_holds_the_values_and_zero() -> None:
    values = np.random.default_rng(0).uniform(-1.0, 3.0, 10_000).astype(np.float32)
    step, zero = fit_scale(values, -1.0, 3.0)
    whole = np.clip(np.round(values / step) + zero, 0, 255)
    assert np.abs((whole - zero) * step - values).max() <= step * 1.5
    assert zero == pytest.approx(255 / 4, abs=1)


def test_a_scale_gives_up_what_is_rare() -> None:
    values = np.random.default_rng(0).normal(0.0, 1.0, 100_000).astype(np.float32)
    assert fit_scale(values, -100.0, 100.0).step < 0.5
    assert fit_scale(np.zeros(10, np.float32), 0.0, 0.0).step > 0


def test_each_output_channel_has_its_step() -> None:
    weight = np.zeros((3, 2, 1, 1), np.float32)
    weight[0, 1], weight[1, 0] = -1.27, 0.5
    assert weight_steps(weight)[:2] == pytest.approx([0.01, 0.5 / 127])
    assert weight_steps(weight)[2] > 0


def test_a_convolution_without_a_bias_is_quantised_as_well() -> None:
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.1, shape).astype(np.float32) for shape in ((8, 3, 5, 5), (3, 8, 3, 3))]
    nodes = [
        helper.make_node("Conv", ["target", "w0"], ["middle"], name="first", pads=[2, 2, 2, 2]),
        helper.make_node("Conv", ["middle", "w1"], ["image"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["image"], ["mask"], axes=[1]),
    ]
    values = [helper.make_tensor_value_info("target", onnx.TensorProto.FLOAT, ["B", 3, 32, 32])]
    values.append(helper.make_tensor_value_info("identity_vector", onnx.TensorProto.FLOAT, ["B", 4]))
    results = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["B", channels, 32, 32])
        for name, channels in (("image", 3), ("mask", 1))
    ]
    stored = [numpy_helper.from_array(weight, f"w{number}") for number, weight in enumerate(weights)]
    model = helper.make_model(
        helper.make_graph(nodes, "bare", values, results, stored),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    graph = FloatGraph(model)
    assert [graph.gains(node) for node in graph.convolutions] == [True, True]
    shown = Examples(rng.uniform(size=(4, 3, 32, 32)).astype(np.float32), np.zeros((4, 4), np.float32))
    made = graph.quantised({"first", "second"}, find_scales(graph, shown))
    assert sum(name.endswith(".weight.rounded") for node in made.graph.node for name in node.output) == 2
    feeds = {"target": shown.crops[:1], "identity_vector": shown.vectors[:1]}
    exact, rounded = (
        open_session(one.SerializeToString(), providers=["cpu"]).run(feeds) for one in (model, made)
    )
    error = np.mean((exact["image"] - rounded["image"]) ** 2) / np.var(exact["image"])
    assert 0 < error < 1e-3


def test_what_ships_agrees_with_float() -> None:
    bundle = load_bundle("mini")
    target = np.linspace(0.2, 0.8, 256, dtype=np.float32)
    feeds = {
        "target": np.broadcast_to(target, (1, 3, 256, 256)).copy(),
        "identity_vector": np.zeros((1, bundle.vector_size), np.float32),
    }
    graphs = [open_session(bundle.path(name), providers=["cpu"]) for name in ("generator", "generator_int8")]
    exact, rounded = (graph.run(feeds) for graph in graphs)
    assert 0 < np.mean((exact["image"] - rounded["image"]) ** 2) < 1e-3  # 30 dB: this is no face
    assert np.abs(exact["mask"] - rounded["mask"]).mean() < 0.02


def test_what_ships_takes_its_weights_from_the_float_graph() -> None:
    folder = EMBEDDED_BUNDLES / "mini"
    graph = onnx.load(folder / INT8_FILE, load_external_data=False).graph
    outside = [one for one in graph.initializer if one.data_location == onnx.TensorProto.EXTERNAL]
    places = [{entry.key: entry.value for entry in one.external_data} for one in outside]
    assert {place["location"] for place in places} == {"generator.onnx"}
    assert sum(int(place["length"]) for place in places) > 11_000_000
    assert sum(path.stat().st_size for path in folder.iterdir()) < 16_000_000


def test_too_few_faces_write_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    shutil.copytree(EMBEDDED_BUNDLES / "mini", folder)
    before = (folder / "model.json").read_bytes()
    with pytest.raises(FaceError, match="1 of 2 photos show a face"):
        quantise_bundle(folder, [PORTRAITS[0], np.zeros((200, 200, 3), np.uint8)])
    assert (folder / "model.json").read_bytes() == before


@pytest.mark.slow
def test_a_bundle_is_quantised_again(tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    shutil.copytree(EMBEDDED_BUNDLES / "mini", folder)
    report = quantise_bundle(folder, PORTRAITS[:12])
    assert np.median(report.decibels) > 42
    assert len(report.quantised) > 30
    assert "/generator/encoder/stem/Conv" in report.in_float
    assert load_bundle(folder).graphs.generator_int8 == INT8_FILE
