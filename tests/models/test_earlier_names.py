"""Weights and configurations under the names of earlier versions."""

import json
from dataclasses import replace

import torch
from safetensors.torch import load_file, save_file

from hififace.export.trained import load_trained_generator
from hififace.models.create import create_discriminator
from hififace.models.earlier_names import current_weight_names
from hififace.models.generator import Generator
from hififace.models.params import generator_params, patch_discriminator, tiny, to_json
from hififace.training.checkpoint import CheckpointFolder, Progress, TrainedParts

PARAMS = replace(tiny(32), skip_gates=True, detail_channels=4)
THEN = {"subpixel": "unfold", "subpixel_gate": "unfold_gate", "head": "judge"}
PARAMS_THEN = {"pixel_unshuffle": "fold", "pixel_shuffle": "unfold", "shuffle_channels": "unfold_channels"}


def as_then(state):
    return {
        ".".join(THEN.get(part, part) for part in name.split(".")): value for name, value in state.items()
    }


def test_every_weight_gets_its_name_of_today():
    torch.manual_seed(0)
    for network in (Generator(PARAMS), create_discriminator(patch_discriminator())):
        state = network.state_dict()
        old = as_then(state)
        assert set(old) != set(state)
        assert list(current_weight_names(old)) == list(state)
        assert list(current_weight_names(state)) == list(state)


def test_params_written_then_describe_the_same_network():
    old = {PARAMS_THEN.get(name, name): value for name, value in to_json(PARAMS).items()}
    assert "fold" in old
    assert generator_params(json.loads(json.dumps(old))) == PARAMS


def test_a_checkpoint_written_then_is_exported_and_resumed(tmp_path):
    torch.manual_seed(0)
    network = Generator(PARAMS)
    parts = TrainedParts({"average": network}, {})
    folder = CheckpointFolder(tmp_path, keep_last=1, keep_every_images=None)
    checkpoint = folder.save(parts, Progress(images=4), {"generator": to_json(PARAMS)})

    # As the earlier version wrote it.
    weights = checkpoint / "average.safetensors"
    save_file(as_then(load_file(weights)), weights)
    state = json.loads((checkpoint / "state.json").read_text())
    state["config"]["generator"] = {
        PARAMS_THEN.get(name, name): value for name, value in state["config"]["generator"].items()
    }
    (checkpoint / "state.json").write_text(json.dumps(state))

    torch.manual_seed(1)
    other = Generator(PARAMS)
    assert folder.restore(checkpoint, TrainedParts({"average": other}, {})).images == 4
    exported = load_trained_generator(checkpoint)
    for name, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
        assert torch.equal(exported.state_dict()[name], value), name
