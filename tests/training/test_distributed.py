"""What can be said of processes without starting any; two gloo processes train in test_loop.py."""

import pytest
import torch
from torch import nn

from hififace.errors import OptionError
from hififace.training.distributed import (
    World,
    _own_gpu,
    any_in_world,
    assert_equal_everywhere,
    joined,
    mean_over_world,
    share,
    wait_for_all,
)


def test_more_processes_than_gpus_is_a_sentence():
    assert _own_gpu(1, 2) == torch.device("cuda:1")
    with pytest.raises(
        OptionError, match="process 3 on this machine, which has 2 GPUs: give --nproc-per-node 2"
    ):
        _own_gpu(2, 2)


def test_a_world_of_one_needs_no_process_group(monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    network = nn.Linear(2, 2)
    values = {"loss": torch.tensor(3.0)}
    with joined("cpu") as world:
        assert world == World(0, 1, torch.device("cpu"))
        assert world.is_first
        assert share(network, world) is network
        assert mean_over_world(values, world) is values
        assert any_in_world(True, world)
        assert not any_in_world(False, world)
        wait_for_all(world)
        assert_equal_everywhere(network, world, "network")
    assert not torch.distributed.is_initialized()
