"""What a page shares with the service in whose process it runs: models, the line of images, turns, counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from hififace.hosting.bundles import Bundles
from hififace.hosting.meter import RequestMeter
from hififace.media.image import LoadedImage
from hififace.swap.options import OutputOptions, SwapOptions
from hififace.swap.result import SwapResult
from hififace.swap.source_map import SourceMap

SwapImage: TypeAlias = "Callable[[str, LoadedImage, SwapOptions, OutputOptions, SourceMap], SwapResult]"
"""Name of the model, target, options of both kinds, who becomes whom; blocks until the result is there, and raises what
`FaceSwapper.swap` raises, or `LimitError` where too many wait."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Who has whose turn: one for everything that a process serves."""

    bundles: Bundles
    swap_image: SwapImage
    videos: threading.Semaphore
    """As many permits as videos and lists of images may be at work at the same time."""
    meter: RequestMeter
    """Requests of the last minute, by address."""
    alone: bool = False
    """Nobody else swaps in this process: a page may call the engine itself, with what it found before."""


def own_turns(bundles: Bundles, *, videos_at_once: int, requests_per_minute: int) -> Turns:
    """For a page that has the process to itself: each image is swapped at once, in the thread that asks."""
    return Turns(
        bundles,
        lambda model, target, options, output, source_map: bundles.swapper(model).swap(
            target, options, output, sources=source_map
        ),
        threading.BoundedSemaphore(videos_at_once),
        RequestMeter(requests_per_minute),
        alone=True,
    )
