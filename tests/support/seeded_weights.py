"""Weights and images that anyone can make again: those that the numbers in tests/golden were made with.

Each tensor depends on its name in the reference implementation and on its shape alone, so a network with
names of its own fetches them through its key map.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[1] / "golden"
SEED = "hififace-parity-1"

Shapes = Mapping[str, tuple[int, ...]]


def reference_shapes(name: str, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Names and shapes of the reference's state dict, in its order.

    Args:
        name: "generator" (1425 entries, frozen networks included) or "discriminator" (42).
        prefix: keep only the names that start so, and cut it off.
    """
    with gzip.open(GOLDEN / f"reference_{name}_keys.tsv.gz", "rt") as lines:
        rows = (line.rstrip("\n").split("\t") for line in lines)
        return {key[len(prefix) :]: tuple(json.loads(shape)) for key, shape in rows if key.startswith(prefix)}


def seeded_tensor(
    key: str, shape: tuple[int, ...], is_batch_norm: bool, seed: str = SEED
) -> NDArray[np.generic]:
    """The tensor called `key`, float32 (int64 for `num_batches_tracked`).

    Args:
        key: full name in the reference's state dict.
        is_batch_norm: whether its module also has a `running_mean`.
    """
    number = int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8], "little")
    rng = np.random.Generator(np.random.Philox(key=number))
    kind = key.rsplit(".", 1)[-1]
    if kind == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if kind == "running_var":
        values = rng.uniform(0.5, 1.5, shape)
    elif kind == "running_mean":
        values = 0.1 * rng.standard_normal(shape)
    elif kind == "bias":
        values = 0.05 * rng.standard_normal(shape)
    elif is_batch_norm:
        values = rng.uniform(0.8, 1.2, shape)
    elif len(shape) == 1:  # PReLU
        values = rng.uniform(0.1, 0.3, shape)
    else:
        values = rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
    return np.asarray(values, np.float32)


def seeded_state(
    shapes: Shapes, prefix: str = "", only: Iterable[str] | None = None, seed: str = SEED
) -> dict[str, NDArray[np.generic]]:
    """A whole state dict.

    Args:
        shapes: names without `prefix`, as from `reference_shapes(name, prefix)`.
        prefix: what the full names start with: it takes part in the seed, not in the returned names.
        only: return these names alone; None means all.
    """
    wanted = shapes if only is None else {key: shapes[key] for key in only}
    return {
        key: seeded_tensor(prefix + key, shape, f"{key.rsplit('.', 1)[0]}.running_mean" in shapes, seed)
        for key, shape in wanted.items()
    }


def seeded_image(phase: float, side: int = 256) -> NDArray[np.float32]:
    """(1, 3, side, side), 0..1: waves. The source of the golden numbers has phase 0, the target 1."""
    c, y, x = np.meshgrid(np.arange(3), np.arange(side), np.arange(side), indexing="ij")
    waves = np.sin(2 * np.pi * ((c + 1) * x / 97 + (c + 2) * y / 61) + phase)
    return (0.5 + 0.5 * waves).astype(np.float32)[None]
