"""Progress, speed, time left and memory of a run, for its reports."""

from __future__ import annotations

import math
import sys
import time

import torch

from hififace.training.checkpoint import Progress
from hififace.training.run_options import RunOptions


class Pace:
    """Images and minutes of a run.

    Args:
        total_images: of the whole run.
        options: when it stops.
        progress: at the start of this process.
    """

    def __init__(self, total_images: int, options: RunOptions, progress: Progress) -> None:
        self.total = total_images
        self.goal = min(total_images, options.stop_after_images or total_images)
        minutes = options.stop_after_minutes
        self.limit_s = math.inf if minutes is None else minutes * 60.0
        self.reported = progress.images
        self.begin()

    def begin(self) -> None:
        """Starts the clock."""
        self.started = self.reported_at = time.monotonic()

    @property
    def spent(self) -> float:
        """Share of the time limit that has passed; 0 without a limit."""
        return (time.monotonic() - self.started) / self.limit_s

    def is_over(self, progress: Progress) -> bool:
        """Whether the limit of images or minutes is reached."""
        return progress.images >= self.goal or self.spent >= 1.0

    def figures(self, progress: Progress, device: torch.device) -> dict[str, float]:
        """Images per second since the last report, share of the run, seconds left, and the peak memory."""
        now = time.monotonic()
        speed = (progress.images - self.reported) / max(now - self.reported_at, 1e-6)
        self.reported, self.reported_at = progress.images, now
        left = min((self.goal - progress.images) / max(speed, 1e-6), self.limit_s - (now - self.started))
        return {
            "speed/images_per_s": speed,
            "run/share": min(progress.images / self.total, 1.0),
            "run/seconds_left": max(left, 0.0),
            "run/memory_gib": largest_memory_gib(device),
        }


def largest_memory_gib(device: torch.device) -> float:
    """Peak memory in GiB: of the GPU's allocator, or of the process on a CPU; 0 where the system does not report it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
