"""What adaptive normalisation and its activation cost in a training step of `mini_128`, forward and backward, on a CPU.

Three sides in turns, on channels-last bfloat16 features of the sizes that occur in the network, equal outputs and
gradients checked first:

    rows                   `models/normalisation.py`: sums over rows of channels
    group norm, reshaped   PyTorch's group normalisation of B*C groups, as other layouts use it
    group norm, in place   the same without leaving the memory order

    python benchmarks/normalisation.py [--threads 1] [--batch 8] [--rounds 9] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from contract import environment, in_turns, write_result
from hififace.models.normalisation import NORM_EPS, SLOPE, normalise_activate

RESULT = Path(__file__).with_name("results") / "normalisation.json"
SIZES = ((40, 64), (72, 32), (144, 16))
"""Channels and side in px."""


def group_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """The other side: one fused kernel over B*C groups."""
    batch, channels, height, width = x.shape
    groups = batch * channels
    flat = F.group_norm(
        x.reshape(1, groups, height, width), groups, scale.reshape(-1), shift.reshape(-1), eps=NORM_EPS
    )
    return F.leaky_relu(flat.reshape(batch, channels, height, width), SLOPE)


def grouped_in_place(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Group normalisation without leaving the memory order; scale and shift follow."""
    y = F.group_norm(x, x.shape[1], eps=NORM_EPS)
    return F.leaky_relu(scale[:, :, None, None] * y + shift[:, :, None, None], SLOPE)


def make_call(
    kernel: Callable[[Tensor, Tensor, Tensor], Tensor], batch: int, channels: int, side: int
) -> Callable[[], tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    x = torch.randn(batch, channels, side, side).bfloat16().to(memory_format=torch.channels_last)
    x.requires_grad_()
    scale, shift = torch.randn(2, batch, channels).bfloat16().unbind()
    grad = torch.randn_like(x)

    def call() -> tuple[Tensor, Tensor]:
        y = kernel(x, scale, shift)
        (dx,) = torch.autograd.grad(y, x, grad)
        return y.detach().float(), dx.float()

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kernels = {
        "rows": normalise_activate,
        "group norm, reshaped": group_norm,
        "group norm, in place": grouped_in_place,
    }
    result = {"environment": environment(options.threads), "batch_size": options.batch, "sizes": {}}
    for channels, side in SIZES:
        calls = {name: make_call(kernel, options.batch, channels, side) for name, kernel in kernels.items()}
        answers = {name: call() for name, call in calls.items()}
        for ours, theirs in zip(answers["rows"], answers["group norm, in place"], strict=True):
            # bfloat16 puts some values on the other side of the activation's corner: compare the whole, not each.
            difference = float((ours - theirs).norm() / theirs.norm())
            if difference > 0.05:
                raise SystemExit(f"the sides differ by {difference:.1%}: this is no comparison")
        timings = in_turns(calls, rounds=options.rounds)
        result["sizes"][f"{channels} channels, {side} px"] = {
            name: timing.as_json() for name, timing in timings.items()
        }
    write_result(options.output, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
