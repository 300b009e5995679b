"""Decoding a whole packed set with many processes: threads of one process stand in each other's way.

On 16 cores 28,136 images of 256 px took 72 s with 16 threads (benchmarks/results/training-h200.json).
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import AvifImagePlugin

from hififace.data.packed import PackedSet
from hififace.processes import end_with_parent
from hififace.types import RGBImage

WORTH_IT = 2_000
"""Photos from which on starting processes (each imports Pillow and opens the set) pays."""
STRETCH = 64

_opened: PackedSet | None = None
"""In a worker: the set that it reads."""


def unpack_images(paths: Sequence[Path], packed: PackedSet, workers: int) -> RGBImage:
    """(N, S, S, 3) uint8 crops of a whole set.

    A program that calls this with many workers needs the usual `if __name__ == "__main__":`.

    Args:
        paths: what `packed` was opened from.
        packed: the set, opened.
        workers: processes; 1 decodes here, and so do sets of fewer than `WORTH_IT` photos.

    Raises:
        DataError: an image cannot be decoded.
    """
    if workers <= 1 or len(packed) < WORTH_IT:
        return packed.images(workers=workers)
    size = packed.card.resolution
    pixels = np.empty((len(packed), size, size, 3), np.uint8)
    context = multiprocessing.get_context(
        "spawn"
    )  # a fork of a process with threads, or with a GPU, may hang
    starts = range(0, len(packed), STRETCH)
    with ProcessPoolExecutor(workers, context, _open, ([str(path) for path in paths],)) as pool:
        for start, some in zip(starts, pool.map(_decode, starts, chunksize=4), strict=True):
            pixels[start : start + len(some)] = some
    return pixels


def _open(paths: list[str]) -> None:
    global _opened
    end_with_parent()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # as many processes as cores already
    _opened = PackedSet.open(paths if len(paths) > 1 else paths[0])


def _decode(start: int) -> RGBImage:
    assert _opened is not None
    return _opened.images(range(start, min(start + STRETCH, len(_opened))))
