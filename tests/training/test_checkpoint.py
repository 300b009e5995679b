import json

import pytest
import torch
from torch import nn

from hififace.errors import TrainingError
from hififace.training.checkpoint import CheckpointFolder, Progress, TrainedParts, read_state


def make_parts(width=3, seed=0):
    torch.manual_seed(seed)
    network = nn.Linear(2, width)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1)
    network(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    return TrainedParts({"generator": network}, {"generator": optimiser})


def folder(tmp_path, **options):
    return CheckpointFolder(tmp_path, **{"keep_last": 2, "keep_every_images": None, **options})


def test_what_is_saved_is_restored_bit_for_bit(tmp_path):
    saved, fresh = make_parts(seed=1), make_parts(seed=2)
    checkpoints = folder(tmp_path)
    path = checkpoints.save(saved, Progress(images=120, steps=10), {"seed": 1})
    progress = checkpoints.restore(path, fresh)
    assert (progress.images, progress.steps) == (120, 10)
    for a, b in zip(
        saved.networks["generator"].parameters(), fresh.networks["generator"].parameters(), strict=True
    ):
        assert torch.equal(a, b)
    a, b = saved.optimisers["generator"].state_dict(), fresh.optimisers["generator"].state_dict()
    assert all(torch.equal(a["state"][0][k], b["state"][0][k]) for k in ("exp_avg", "exp_avg_sq", "step"))


def test_the_newest_whole_checkpoint_counts_and_a_torn_one_does_not(tmp_path):
    checkpoints = folder(tmp_path)
    checkpoints.save(make_parts(), Progress(images=100), {})
    newest = checkpoints.save(make_parts(), Progress(images=200), {})
    (checkpoints.folder / "000000300.partial").mkdir()  # what a kill in the middle of a save leaves
    (checkpoints.folder / "000000300.partial" / "generator.safetensors").write_bytes(b"torn")
    assert checkpoints.newest() == newest


def test_old_checkpoints_go_and_milestones_stay(tmp_path):
    checkpoints = folder(tmp_path, keep_every_images=1000)
    for images in (500, 1000, 1500, 2100, 2600, 3000):
        checkpoints.save(make_parts(), Progress(images=images), {})
    assert sorted(int(p.name) for p in checkpoints.folder.iterdir()) == [1000, 2100, 2600, 3000]


def test_another_architecture_is_refused_in_a_sentence(tmp_path):
    checkpoints = folder(tmp_path)
    path = checkpoints.save(make_parts(width=3), Progress(images=1), {})
    with pytest.raises(TrainingError, match="does not fit this run"):
        checkpoints.restore(path, make_parts(width=4))


@pytest.mark.parametrize("name", ["generator.safetensors", "optimisers.pt"])
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path, name):
    checkpoints = folder(tmp_path)
    path = checkpoints.save(make_parts(), Progress(images=1), {})
    whole = (path / name).read_bytes()
    (path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TrainingError, match="does not fit this run"):
        checkpoints.restore(path, make_parts())


def test_a_newer_layout_is_refused(tmp_path):
    path = folder(tmp_path).save(make_parts(), Progress(images=1), {})
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, "schema_version": 99}))
    with pytest.raises(TrainingError, match="layout 99"):
        read_state(path)


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(TrainingError, match="is not a checkpoint"):
        read_state(tmp_path)
