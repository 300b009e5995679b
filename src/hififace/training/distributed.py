"""Distributed training with torch.distributed under `torchrun`.

Outside `torchrun` every function works with a world size of 1, so that the loop has one code path.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from hififace.errors import OptionError


class World(NamedTuple):
    """Rank of this process and the world size."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes logs, previews and checkpoints."""
        return self.rank == 0


@contextmanager
def joined(device_name: str = "auto") -> Iterator[World]:
    """Joins the process group that `torchrun` announces in the environment, and leaves it at the end.

    Args:
        device_name: "auto" (CUDA, else Apple's MPS, else CPU), or a torch device such as "cpu" or "cuda:1". Under
            `torchrun` on GPUs each process takes the GPU of its *local* rank, so that several machines work.

    Raises:
        OptionError: `torchrun` started more processes than this machine has GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    device = _choose_device(device_name)
    if size == 1:
        yield World(0, 1, device)
        return
    if device.type == "cuda":
        device = _own_gpu(int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count())
        torch.cuda.set_device(device)
        # Bound to its GPU from the start, so that barriers and error messages refer to the right one.
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    try:
        yield World(rank, size, device)
    finally:
        dist.destroy_process_group()


def _own_gpu(local_rank: int, num_gpus: int) -> torch.device:
    if local_rank >= num_gpus:
        raise OptionError(
            f"torchrun started process {local_rank + 1} on this machine, which has {num_gpus} GPUs: give "
            f"--nproc-per-node {num_gpus}, or --device cpu."
        )
    return torch.device("cuda", local_rank)


def _choose_device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def share(network: nn.Module, world: World) -> nn.Module:
    """Wraps the network so that its gradients are averaged over all processes; unchanged with a world size of 1."""
    if world.size == 1:
        return network
    ids = [world.device.index] if world.device.type == "cuda" else None
    # Buffers are constants here: broadcasting them before every forward pass would cost time, and would overwrite
    # tensors that an earlier pass of the same step saved for its backward pass. PyTorch 2.13 renamed the option.
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    option = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    never: dict[str, Any] = {option: False}
    return DistributedDataParallel(network, device_ids=ids, gradient_as_bucket_view=True, **never)


@contextmanager
def without_gradient_sync(network: nn.Module, *, active: bool) -> Iterator[None]:
    """Skips gradient averaging, for all accumulation rounds but the last."""
    if active and isinstance(network, DistributedDataParallel):
        with network.no_sync():
            yield
    else:
        yield


def mean_over_world(values: dict[str, Tensor], world: World) -> dict[str, Tensor]:
    """Averages named scalars over all processes; every process must pass the same names."""
    if world.size == 1 or not values:
        return values
    names = sorted(values)
    stacked = torch.stack([values[name].detach().to(torch.float32) for name in names])
    dist.all_reduce(stacked)
    stacked /= world.size
    return dict(zip(names, stacked.unbind(), strict=True))


def any_in_world(flag: bool, world: World) -> bool:
    """Whether the flag is set in any process: all must stop at the same step, or the others wait forever."""
    if world.size == 1:
        return flag
    raised = torch.tensor(float(flag), device=world.device)
    dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return bool(raised.item() > 0)


def wait_for_all(world: World) -> None:
    """Barrier: returns once every process has called it."""
    if world.size > 1:
        dist.barrier()


def assert_equal_everywhere(network: nn.Module, world: World, name: str) -> None:
    """Checks that all processes hold the same weights; otherwise diverging replicas would go unnoticed.

    Raises:
        RuntimeError: if any parameter of this process differs from the first process's.
    """
    if world.size == 1:
        return
    for key, value in network.state_dict().items():
        theirs = value.clone()
        dist.broadcast(theirs, src=0)
        if not torch.equal(torch.nan_to_num(theirs), torch.nan_to_num(value)):
            raise RuntimeError(f"{name}.{key} differs between process 0 and process {world.rank}")
