"""Checkpoints of the network that ships, by its real shapes: small enough to carry, and whole when joined again."""

import pytest
import torch

from hififace.errors import TrainingError
from hififace.models.create import create_discriminator, create_generator
from hififace.training.checkpoint import Progress, read_state
from hififace.training.compact_checkpoint import (
    CheckpointForm,
    newest_compact,
    restore_compact,
    restore_discriminators,
    save_compact,
    write_compact,
)
from hififace.training.device_batch import Networks
from hififace.training.device_config import mini_256
from hififace.training.starting_weights import read_generator_weights
from tests.support.device_doubles import made_up_step


@pytest.fixture(scope="module")
def real_step():
    """A step with the networks of `mini_256` and second moments as after a step; nothing of it is run."""
    torch.manual_seed(0)
    config = mini_256()
    step = made_up_step()
    step.networks = Networks(
        create_generator(config.generator),
        create_discriminator(config.fine),
        create_discriminator(config.coarse),
    )
    step.average = create_generator(config.generator)
    step.generator_adam = torch.optim.Adam(step.networks.generator.parameters())
    for parameter in step.networks.generator.parameters():
        parameter.grad = torch.ones_like(parameter)
    step.generator_adam.step()
    return step


def test_a_checkpoint_of_mini_256_can_be_carried(real_step, tmp_path):
    """47 MB in all; on request in files of 8 MB and less, which `--init-from` joins again."""
    config = mini_256().model_dump(mode="json")
    whole = save_compact(
        real_step, tmp_path / "whole", Progress(64, 1), CheckpointForm(config, "t"), keep_last=1
    )
    sizes = [path.stat().st_size for path in whole.iterdir()]
    assert 30e6 < sum(sizes) <= 48e6
    parts = save_compact(
        real_step, tmp_path / "parts", Progress(64, 1), CheckpointForm(config, "t", 8.0), keep_last=1
    )
    cut = {path.name: path.stat().st_size for path in parts.iterdir()}
    assert max(cut.values()) <= 8e6 < max(sizes)
    assert {"average-000.safetensors", "average-001.safetensors", "moments-001.safetensors"} <= cut.keys()
    assert sum(cut.values()) <= 48e6
    first, second = read_generator_weights(whole), read_generator_weights(tmp_path / "parts")
    assert first.keys() == second.keys() == real_step.average.state_dict().keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_files_of_15_mb_are_what_mini_256_has_anyway(real_step, tmp_path):
    folder = save_compact(real_step, tmp_path, Progress(64, 1), CheckpointForm({}, "t", 15.0), keep_last=1)
    assert all(path.stat().st_size <= 15e6 for path in folder.iterdir())
    assert len(list(folder.iterdir())) == 5


def test_a_step_is_restored_from_parts_as_from_whole_files(tmp_path):
    saved = made_up_step(seed=1)
    restored = []
    for part_mb in (None, 0.1):
        folder = save_compact(
            saved, tmp_path / str(part_mb), Progress(8, 1), CheckpointForm({}, "t", part_mb), keep_last=1
        )
        step = made_up_step(seed=2)
        assert restore_compact(folder, step).images == 8
        restored.append(
            [p.detach() for network in (*step.networks, step.average) for p in network.parameters()]
        )
    assert len(list((tmp_path / "0.1/checkpoints/000000008").iterdir())) > 5
    assert all(torch.equal(a, b) for a, b in zip(*restored, strict=True))


def test_the_best_is_written_with_its_figures_and_is_not_the_newest(tmp_path):
    step = made_up_step()
    write_compact(step, tmp_path / "best", Progress(8, 1), CheckpointForm({}, "t"), figures={"score": 0.5})
    assert read_state(tmp_path / "best")["figures"] == {"score": 0.5}
    assert newest_compact(tmp_path) is None
    assert read_generator_weights(tmp_path / "best").keys() == step.average.state_dict().keys()


@pytest.mark.parametrize("as_file", [True, False])
def test_discriminators_are_taken_along(tmp_path, as_file):
    saved, step = made_up_step(seed=1), made_up_step(seed=2)
    folder = save_compact(saved, tmp_path, Progress(8, 1), CheckpointForm({}, "t"), keep_last=1)
    restore_discriminators(folder / "discriminators.safetensors" if as_file else folder, step)
    for name in ("fine", "coarse"):
        theirs, ours = (getattr(which.networks, name).state_dict() for which in (saved, step))
        assert all(torch.equal(ours[key], theirs[key].half().float()) for key in theirs)


def test_discriminators_of_another_shape_are_refused(tmp_path, real_step):
    write_compact(real_step, tmp_path / "real", Progress(8, 1), CheckpointForm({}, "t"))
    with pytest.raises(TrainingError, match=r"discriminators at .* do not fit this run"):
        restore_discriminators(tmp_path / "real", made_up_step())
