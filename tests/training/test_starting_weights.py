"""Weights to start from, wherever they lie."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from safetensors.torch import save_file

from hififace.errors import TrainingError
from hififace.models.generator import Generator
from hififace.models.params import mini_256, paper_512, tiny
from hififace.models.reference_keys import generator_key_map
from hififace.training.starting_weights import read_generator_weights, start_generator
from hififace.training.warm_start import start_from
from hififace.weights.bundle import EMBEDDED_BUNDLES, load_bundle
from hififace.weights.sessions import open_session
from tests.support.published_doubles import SMALL, small_state

DETAILED = replace(tiny(32), skip_gates=True, detail_channels=4)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Generator(tiny(32))


def assert_weights(found, network):
    expected = network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_a_safetensors_file(network, tmp_path):
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    assert_weights(read_generator_weights(tmp_path / "w.safetensors"), network)


def test_a_run_gives_the_average_of_its_newest_checkpoint(network, tmp_path):
    for images, content in ((4, {"x": torch.zeros(1)}), (12, network.state_dict())):
        folder = tmp_path / "checkpoints" / f"{images:09d}"
        folder.mkdir(parents=True)
        save_file(content, folder / "average.safetensors")
        (folder / "state.json").write_text("{}")
    assert_weights(read_generator_weights(tmp_path), network)
    assert_weights(read_generator_weights(tmp_path / "checkpoints/000000012"), network)


def test_gates_of_an_earlier_trial_get_todays_names(tmp_path):
    old = {
        "skip32.adapt.weight": torch.ones(1),
        "skip64.gate.bias": torch.ones(1),
        "skip128.adapt.bias": torch.ones(1),
    }
    save_file(old, tmp_path / "old.safetensors")
    assert sorted(read_generator_weights(tmp_path / "old.safetensors")) == [
        "fusion.gate.adapt.weight",
        "upsampler.gate.gate.bias",
        "upsampler.subpixel_gate.adapt.bias",
    ]


def test_the_bundle_that_ships_gives_every_weight_but_the_low_head():
    found = read_generator_weights(EMBEDDED_BUNDLES / "mini")
    expected = Generator(mini_256()).state_dict()
    assert set(expected) - set(found) == {"fusion.image_head.weight", "fusion.image_head.bias"}
    assert all(found[name].shape == expected[name].shape for name in found)


@torch.no_grad()
def test_a_network_that_starts_from_the_bundle_is_the_bundle():
    network = Generator(mini_256())
    new = start_from(network, read_generator_weights(EMBEDDED_BUNDLES / "mini"))
    assert new == ["fusion.image_head.bias", "fusion.image_head.weight"]
    rng = np.random.default_rng(0)
    target = rng.random((1, 3, 256, 256), np.float32)
    size = load_bundle("mini").vector_size
    vector = (rng.standard_normal((1, size)) / size**0.5).astype(np.float32)
    session = open_session(load_bundle("mini").path("generator"))
    bundle = session.run({"target": target, "identity_vector": vector})
    # What ships asks for more of the source than training did: gains of its own, in the graph.
    trained = {part.name: part.gain for part in mini_256().vector}
    more = [np.full(part.size, part.gain / trained[part.name]) for part in load_bundle("mini").vector]
    seen = (vector * np.concatenate(more)).astype(np.float32)
    ours = network(torch.from_numpy(target), torch.from_numpy(seen))
    assert np.abs(ours.image.numpy() - bundle["image"]).max() < 2e-3
    assert np.abs(ours.mask.numpy() - bundle["mask"]).max() < 2e-3


def write_graph(path, weights):
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    node = helper.make_node("Identity", [tensors[0].name], ["out"])
    out = helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)
    path.write_bytes(
        helper.make_model(helper.make_graph([node], "g", [], [out], tensors)).SerializeToString()
    )
    return path


def test_a_graph_with_a_detail_stage_has_two_pairs_of_heads(tmp_path):
    """Its order is that of the network: the coarse heads first."""
    network = Generator(DETAILED).state_dict()
    weights, number = {}, 100
    for name, value in network.items():
        if "_head" not in name or name.startswith("fusion"):
            weights[f"generator.{name}"] = value.numpy()
    for prefix in ("upsampler.", "upsampler.detail."):
        for kind in ("weight", "bias"):
            both = [network[f"{prefix}{head}_head.{kind}"] for head in ("image", "mask")]
            weights[f"onnx::Conv_{number}"] = torch.cat(both).numpy()
            number += 1
    found = read_generator_weights(write_graph(tmp_path / "generator.onnx", weights))
    assert found.keys() == network.keys()
    assert all(torch.equal(found[name], network[name]) for name in found)


def test_a_foreign_graph_is_refused(tmp_path):
    path = write_graph(tmp_path / "g.onnx", {"conv.weight": np.zeros((4, 3, 3, 3), np.float32)})
    with pytest.raises(TrainingError, match="not a generator that `hififace export` wrote"):
        read_generator_weights(path)


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_nothing_to_start_from_is_said_with_what_ships(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"no weights to start from .*ships \(.*mini"):
        read_generator_weights(tmp_path / name)


def test_a_damaged_file_is_a_sentence(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="cannot start from"):
        read_generator_weights(tmp_path / "w.safetensors")


def published_file(tmp_path, monkeypatch):
    """A checkpoint of the reference's make, of a small network; and that network's own weights."""
    monkeypatch.setattr(
        "hififace.training.starting_weights.generator_key_map", lambda: generator_key_map(SMALL)
    )
    state = small_state()
    torch.save(state, tmp_path / "generator_320000.pth")
    return tmp_path / "generator_320000.pth", {
        ours: state[theirs] for theirs, ours in generator_key_map(SMALL).items()
    }


def test_a_published_checkpoint_gives_its_generator_alone(tmp_path, monkeypatch):
    path, expected = published_file(tmp_path, monkeypatch)
    found = read_generator_weights(path)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    network = Generator(SMALL)
    assert start_generator(network, path) == []
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_a_finer_network_starts_from_a_published_checkpoint_but_for_its_last_block(tmp_path, monkeypatch):
    """As paper_512 from a 256 px checkpoint: one more block of F_up, and heads that see it."""
    path, expected = published_file(tmp_path, monkeypatch)
    network = Generator(replace(SMALL, name="finer", upsampler=(4, 2)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    new = start_generator(network, path)
    assert {name.rsplit(".", 1)[0] for name in new} == {
        "upsampler.blocks.1.conv1",
        "upsampler.blocks.1.conv2",
        "upsampler.blocks.1.side",
        "upsampler.image_head",
        "upsampler.mask_head",
    }
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in new)
    assert all(torch.equal(after[name], expected[name]) for name in after if name not in new)
    assert len(paper_512().upsampler) == 3  # what the test stands for


def test_weights_that_lack_more_than_a_last_block_are_refused(tmp_path, monkeypatch):
    path, _ = published_file(tmp_path, monkeypatch)
    deeper = replace(SMALL, name="deeper", num_fusion_blocks=3, upsampler=(4, 2))
    with pytest.raises(TrainingError, match=r"lack \d+ of those of 'deeper', fusion\.blocks\.2"):
        start_generator(Generator(deeper), path)
