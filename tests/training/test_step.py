"""One step of a run of many terms: it never waits for the host."""

from __future__ import annotations

import pytest
import torch

from hififace.data.index import PreparedSet
from hififace.data.loader import BatchLoader
from hififace.models.create import create_discriminator, create_generator
from hififace.training.checkpoint import Progress, TrainedParts
from hififace.training.distributed import World
from hififace.training.stats import StageClock
from hififace.training.step import TrainingStep
from tests.support.training_doubles import FakeLossNetworks, tiny_config, write_tiny_set
from tests.support.waiting import NoWaiting

CPU = torch.device("cpu")


class Standing(torch.optim.Adam):
    """Takes no step: the real one counts its steps in a number that lies on the CPU, and reads it there."""

    def step(self, closure=None):
        return None


def made_step(config):
    networks = {
        "generator": create_generator(config.generator),
        "discriminator": create_discriminator(config.discriminator),
    }
    optimisers = {name: Standing(network.parameters()) for name, network in networks.items()}
    return TrainingStep(config, TrainedParts(networks, optimisers), FakeLossNetworks(), World(0, 1, CPU))


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    photos = PreparedSet.open(write_tiny_set(tmp_path_factory.mktemp("set")))
    return next(iter(BatchLoader(photos, seed=1, batch_size=4, workers=0)))


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("number", [0, 1])  # with the gradient penalty, and without
def test_no_step_waits(batch, accumulation, number):
    step = made_step(tiny_config(accumulation=accumulation))
    progress = Progress(images=4 * number, steps=number)
    step(batch, progress, StageClock(CPU))
    with NoWaiting() as mode:
        stats = step(batch, progress, StageClock(CPU))
    assert len(mode.shapes) > 500
    assert ("discriminator/r1" in stats) == (number == 0)
    assert all(value.isfinite() for value in stats.values())
