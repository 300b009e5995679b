"""Reports of a training run: JSON lines, TensorBoard, and the time spent in each stage."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hififace.errors import TrainingError
from hififace.json_values import parse_json
from hififace.training.checkpoint import Progress
from hififace.training.distributed import World, mean_over_world
from hififace.training.tracking import Tracked, Tracker

Listener = Callable[[Progress, Mapping[str, float]], None]
"""Called on the first process with every report, for example by a progress bar."""


class StageClock:
    """Seconds spent in named stages since the last report.

    Stages are timed with the host's clock. On a GPU, kernels run asynchronously; with `exact` the clock synchronises
    with the device at the start and end of each stage, which costs a little speed. The total is exact in both cases.
    """

    def __init__(self, device: torch.device, *, exact: bool = False) -> None:
        self._device = device
        self._exact = exact and device.type == "cuda"
        self._seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time of the `with` block to the stage."""
        begin = time.perf_counter()
        yield
        if self._exact:
            torch.cuda.synchronize(self._device)
        self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - begin

    def take(self) -> tuple[float, dict[str, float]]:
        """Seconds since the last report, in all and by stage; resets them."""
        now = time.perf_counter()
        total, split = now - self._since, self._seconds
        self._since, self._seconds = now, {}
        return total, split


class RunningMeans:
    """Means of named scalars between two reports, kept on the device so that no step synchronises with it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Adds one value for each name; a name may be missing from some steps."""
        for name, value in values.items():
            value = value.detach().to(torch.float32)
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._counts[name] = self._counts.get(name, 0) + 1

    def not_finite(self) -> list[str]:
        """Names of the scalars that were infinite or NaN in some step. Synchronises with the device once."""
        if not self._sums:
            return []
        finite = torch.isfinite(torch.stack(list(self._sums.values()))).tolist()
        return [name for name, fine in zip(self._sums, finite, strict=True) if not fine]

    def take(self) -> dict[str, Tensor]:
        """The means since the last report; resets them."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means


class Reports:
    """Accumulates the scalars of many steps and writes them as one report."""

    def __init__(
        self,
        run: Path,
        progress: Progress,
        world: World,
        *,
        exact_times: bool,
        listener: Listener | None,
        track: Tracked | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.clock = StageClock(world.device, exact=exact_times)
        self._means = RunningMeans()
        self._world = world
        self._listener = listener if world.is_first else None
        self._log = RunLog(run, progress, track, config) if world.is_first else None
        self._images_reported = progress.images

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Adds the scalars of one step."""
        self._means.add(values)

    def expect_finite(self, progress: Progress) -> None:
        """Raises if a step since the last report was not finite, before its results are shown or saved.

        Raises:
            TrainingError: a loss or a gradient was not finite; the message names all that were.
        """
        broken = self._means.not_finite()
        if broken:
            raise TrainingError(
                f"Not finite between images {self._images_reported} and {progress.images}: {', '.join(broken)}. "
                "Nothing of this was saved; lower the learning rate or that term's weight, or go on from an earlier "
                "checkpoint."
            )

    def write(self, progress: Progress, more: Mapping[str, float] | None = None) -> dict[str, float]:
        """Writes the means since the last report over all processes, the time of every stage, and `more`."""
        values = {
            name: float(mean) for name, mean in mean_over_world(self._means.take(), self._world).items()
        }
        seconds, split = self.clock.take()
        images = max(progress.images - self._images_reported, 1)
        self._images_reported = progress.images
        values["speed/images_per_s"] = images / max(seconds, 1e-9)
        values.update({f"speed/{name}_s_per_image": spent / images for name, spent in split.items()})
        values.update(more or {})
        if self._log:
            self._log.write(progress.images, values)
        if self._listener:
            self._listener(progress, values)
        return values

    def image(self, name: str, pixels: Any, progress: Progress) -> None:
        """Adds an image (H, W, 3 uint8) to TensorBoard."""
        if self._log:
            self._log.image(name, pixels, progress.images)

    def close(self) -> None:
        """Closes the files."""
        if self._log:
            self._log.close()


class RunLog:
    """Writes `stats.jsonl`, `tensorboard/` if TensorBoard is installed, and to an experiment tracker if one is chosen.

    A resumed run first deletes the lines after its checkpoint, so that each image count appears once.
    """

    def __init__(
        self,
        run: Path,
        progress: Progress,
        track: Tracked | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._tracker = None if track is None else Tracker(track, run, config or {})
        self.path = run / "stats.jsonl"
        self._drop_after(progress.images)
        self._file = self.path.open("a", encoding="utf-8")
        self._board = _open_board(run / "tensorboard", progress.images)

    def write(self, images: int, values: Mapping[str, float], extra: Mapping[str, Any] | None = None) -> None:
        """Writes one line: image count, time, scalars, and `extra`."""
        line: dict[str, Any] = {"images": images, "time": round(time.time(), 3)}
        line.update({name: float(f"{value:.6g}") for name, value in values.items()})
        line.update(extra or {})
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, images)
        if self._tracker is not None:
            self._tracker.write(images, values)

    def image(self, name: str, pixels: Any, images: int) -> None:
        """Adds an image (H, W, 3 uint8) to TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, pixels, images, dataformats="HWC")
        if self._tracker is not None:
            self._tracker.image(name, pixels, images)

    def close(self) -> None:
        """Closes both files, and the run of the experiment tracker."""
        self._file.close()
        if self._board is not None:
            self._board.close()
        if self._tracker is not None:
            self._tracker.close()

    def _drop_after(self, images: int) -> None:
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _images_of(line) is not None and (_images_of(line) or 0) <= images]
        if len(kept) != len(lines):
            partial = self.path.with_suffix(".partial")
            partial.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
            partial.replace(self.path)


def _images_of(line: str) -> int | None:
    """The image count of a line; None for a truncated last line, which a kill can leave."""
    try:
        return int(parse_json(line)["images"])
    except (ValueError, KeyError, TypeError):
        return None


def _open_board(folder: Path, images: int) -> Any | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # an optional extra: the JSON lines hold the same numbers
        return None
    return SummaryWriter(str(folder), purge_step=images + 1)
