"""What makes an accelerator wait for the host."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = ("_local_scalar_dense", "nonzero", "lift_fresh", "is_nonzero", "equal")
"""Operations that bring a number to the host, or a Python list to the device."""


class NoWaiting(TorchDispatchMode):
    """Fails on operations for which an accelerator would wait; notes the shapes of everything that is made."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in WAITING, f"{name} makes the device wait"
        if name.startswith("index"):  # a mask as an index is `nonzero` inside
            indices = [part for arg in args if isinstance(arg, (list, tuple)) for part in arg]
            assert all(part is None or part.dtype != torch.bool for part in indices), (
                "a mask makes the device wait"
            )
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.shapes.append((name, tuple(out.shape)))
        return out
