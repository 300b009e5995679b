"""A training run on one device that holds the whole set: load, start, warm up, {burst of steps, report, save}.

"To resume, run the same command again." Reports, previews and checkpoints are due after fixed times; pairs are
functions of (seed, step). On a GPU every step replays a CUDA graph, and the host synchronises once per burst.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hififace.data.slots import Slots
from hififace.errors import OptionError
from hififace.media.atomic import atomic_write
from hififace.media.image import write_image
from hififace.training.checkpoint import Progress, read_state
from hififace.training.compact_checkpoint import (
    CheckpointForm,
    newest_compact,
    restore_compact,
    save_compact,
    write_compact,
)
from hififace.training.config import changes_of_run
from hififace.training.device_config import DeviceConfig
from hififace.training.device_photos import ResidentPhotos, load_photos
from hififace.training.device_setup import discriminators_to_start_from, make_step
from hififace.training.device_step import DeviceStep
from hififace.training.distributed import any_in_world, joined
from hififace.training.families import check_parts, check_set
from hififace.training.going_back import Watch
from hififace.training.held_out import HeldOut
from hififace.training.loop import alone_in, stop_flag
from hififace.training.pace import Pace
from hififace.training.run_options import RunOptions
from hififace.training.stats import RunLog

LOGGER = logging.getLogger(__name__)

BURST_S = 0.5
"""Approximate duration of a burst of steps, after which the host looks at the clock."""
TABLE_STEPS = 256
ARCHITECTURE_KEYS = ("family", "generator", "fine", "coarse", "seed")
SLOWEST = 0.03
"""Learning rate at the end of the run, as a share of its maximum."""
PREVIEW_SEED = 5


def train_on_device(
    config: DeviceConfig, sets: Sequence[Path], run: Path, options: RunOptions | None = None
) -> Progress:
    """Trains until `config.total_images` or `options.stop_after_minutes`, from the newest checkpoint of `run` or anew.

    Args:
        config: what to train and how.
        sets: parts of a packed set, or one folder of a prepared set.
        run: the folder of the run: config.json, stats.jsonl, previews/, checkpoints/, tensorboard/.
        options: device, starting weights, when to stop.

    Returns:
        The progress reached.

    Raises:
        OptionError: several processes, or nothing to start from that fits.
        DataError: the set is missing, damaged, or does not fit.
        TrainingError: a checkpoint of another architecture, or more rollbacks than the configuration allows.
        InterruptedByUserError: after Ctrl-C or a termination signal; the run is saved first.
    """
    options = options or RunOptions()
    with joined(options.device) as world, alone_in(run, world), stop_flag() as stop:
        # ---- Load.
        if world.size > 1:
            raise OptionError(
                f"The preset '{config.preset}' trains on one device; start it without torchrun."
            )
        torch.manual_seed(config.seed)
        photos = load_photos(sets, config, world.device)
        check_set(config, photos.card)
        check_parts(photos.card, options.loss_network_files)
        step = make_step(config, photos, world.device, options, run)

        # ---- Start, or resume: the same command again.
        progress = _resume(config, run, step)
        clock = _Clock(config, progress, options)
        table = _Table(photos, step)
        preview = _Preview(photos, step, config, run)
        dumped = config.model_dump(mode="json")
        log, watch = RunLog(run, progress, options.track, dumped), Watch(step, config.band)
        held_out = HeldOut.open(options, photos.card, config.held_out, run, world)
        form = CheckpointForm(dumped, photos.card.template, config.checkpoint_part_mb)
        keep_best = partial(write_compact, step, held_out.folder, progress, form)
        try:
            anew = progress.steps == 0 and discriminators_to_start_from(options) is None
            _warm_up(config, step, table, progress, config.warm_up_steps if anew else 0)
            preview.draw(progress)

            # ---- Loop.
            clock.begin()
            while (share := clock.share(progress)) < 1.0:
                step.set_rates(*rates(share, config, watch.slowness))
                for _ in range(clock.burst):
                    step.run(table.row(progress.steps), progress.steps)
                    progress.steps += 1
                    progress.images += config.batch_size
                clock.look(step, config.batch_size)
                stopping = stop.requested = any_in_world(stop.requested, world)
                pausing = stopping or clock.share(progress) >= 1.0
                if pausing or clock.due("log"):
                    values = step.read_stats()
                    if (wrong := watch.look(values)) is not None:
                        LOGGER.warning(
                            "%s: back to the last good state, at %g of the rate", wrong, watch.slowness
                        )
                    values |= clock.figures(progress, step)
                    values |= held_out.look(step.average, keep_best, at_once=pausing)
                    log.write(progress.images, values)
                    if options.report is not None:
                        options.report(progress, values)
                if pausing or clock.due("preview"):
                    log.image("preview", preview.draw(progress), progress.images)
                if pausing or clock.due("checkpoint"):
                    save_compact(step, run, progress, form, keep_last=config.keep_last_checkpoints)
                if stopping:
                    break
        finally:
            # ---- Close.
            log.close()
        stop.end(progress, run)
        return progress


def _warm_up(
    config: DeviceConfig, step: DeviceStep, table: _Table, progress: Progress, num_steps: int
) -> None:
    """Captures the graphs, and trains newly made discriminators against a fixed generator."""
    step.set_rates(0.0, config.step.discriminator_rate, 0.0)
    if step.device.type == "cuda" and config.graphs:
        step.run(table.row(progress.steps), 1)  # fills caches that may not be filled during capture
        step.capture()
    for number in range(num_steps):
        step.warm_up(table.row(number), number)
    step.read_stats()


def rates(share: float, config: DeviceConfig, slowness: float = 1.0) -> tuple[float, float, float]:
    """Learning rates of generator and discriminators, and the share 0..1 of the adversarial terms' weight.

    Args:
        share: 0 to 1, progress of the run.
        config: the shares of the run in which the rate increases and is constant; then it decays along a cosine.
        slowness: 0 to 1, factor on both rates.
    """
    beyond = max(0.0, share - config.flat_until) / (1.0 - config.flat_until)
    fall = SLOWEST + (1.0 - SLOWEST) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, beyond)))
    rise = min(1.0, share / config.rise + 0.05) if config.rise else 1.0
    length = config.adversarial_full_at - config.rise
    ramp = min(1.0, max(0.0, share - config.rise) / length) if length > 0 else 1.0
    generator = config.step.learning_rate * fall * rise * slowness
    return generator, config.step.discriminator_rate * max(fall, 0.3) * slowness, ramp


def _resume(config: DeviceConfig, run: Path, step: DeviceStep) -> Progress:
    newest, dumped = newest_compact(run), config.model_dump(mode="json")
    progress = Progress()
    if newest is not None:
        changes = changes_of_run(run, read_state(newest)["config"], dumped, ARCHITECTURE_KEYS)
        progress = restore_compact(newest, step)
        LOGGER.info("resuming %s at %d images", newest, progress.images)
        for change in changes:
            LOGGER.warning("%s", change)
        # Seeds the device's random numbers by the step, so that a resumed run does not repeat those of its beginning.
        torch.manual_seed(config.seed + 1 + progress.steps)
    run.mkdir(parents=True, exist_ok=True)
    atomic_write(run / "config.json", json.dumps(dumped, indent=1).encode())
    return progress


class _Clock:
    """Progress of the run in minutes and images, and the actions that are due."""

    def __init__(self, config: DeviceConfig, progress: Progress, options: RunOptions) -> None:
        self.every = {
            "log": config.log_every_s,
            "preview": config.preview_every_s,
            "checkpoint": config.checkpoint_every_s,
        }
        self.pace = Pace(config.total_images, options, progress)
        self.first = progress.images
        self.burst = 1
        self.begin()

    def begin(self) -> None:
        """Starts the clock."""
        self.pace.begin()
        self.looked = time.monotonic()
        self.last = dict.fromkeys(self.every, self.looked)

    def share(self, progress: Progress) -> float:
        """Progress 0 to 1, by images or by minutes, whichever is larger. At 1 the run ends."""
        begun = self.first / self.pace.total
        if self.pace.is_over(progress):
            return 1.0
        return max(progress.images / self.pace.total, begun + (1.0 - begun) * self.pace.spent)

    def look(self, step: DeviceStep, batch: int) -> None:
        """Waits for the device and chooses the number of steps of the next burst."""
        if step.device.type == "cuda":
            torch.cuda.synchronize(step.device)
        now = time.monotonic()
        if step.device.type == "cuda":
            self.burst = max(1, min(100, round(self.burst * BURST_S / max(now - self.looked, 1e-3))))
        self.looked = now

    def due(self, what: str) -> bool:
        """Whether a report, a preview or a checkpoint is due; if so, its interval starts again."""
        now = time.monotonic()
        if now - self.last[what] < self.every[what]:
            return False
        self.last[what] = now
        return True

    def figures(self, progress: Progress, step: DeviceStep) -> dict[str, float]:
        """Speed, progress, time left, memory and learning rate, for the report."""
        return self.pace.figures(progress, step.device) | {
            "run/share": self.share(progress),
            "run/learning_rate": float(step.generator_adam.param_groups[0]["lr"]),
        }


class _Table:
    """Rows of the photos of the next steps, put on the device a few hundred steps at a time."""

    def __init__(self, photos: ResidentPhotos, step: DeviceStep) -> None:
        self.sampler, self.slots, self.device = photos.sampler, Slots(step.slots.batch), step.device
        self.first, self.rows = 0, torch.empty(0)

    def row(self, number: int) -> torch.Tensor:
        """The rows of the photos of step `number`."""
        if not self.first <= number < self.first + len(self.rows):
            table = self.sampler.table(number, TABLE_STEPS, self.slots).packed()
            self.first, self.rows = number, torch.from_numpy(table).to(self.device)
        return self.rows[number - self.first]


class _Preview:
    """Preview grid of fixed pairs: the same sharp targets and sources during the whole run."""

    def __init__(self, photos: ResidentPhotos, step: DeviceStep, config: DeviceConfig, run: Path) -> None:
        random = np.random.default_rng(PREVIEW_SEED)
        sampler, count = photos.sampler, config.preview_pairs
        self.step, self.folder = step, run / "previews"
        self.targets = torch.from_numpy(random.permutation(sampler.sharp)[:count]).to(step.device)
        self.sources = torch.from_numpy(random.permutation(sampler.size)[: len(self.targets)]).to(step.device)

    def draw(self, progress: Progress) -> np.ndarray:
        """Writes `previews/000120000.png` and returns it: columns are pairs; source, target, result, mask."""
        shown = self.step.show(self.targets, self.sources)
        sheet = torch.cat([torch.cat(list(row), dim=2) for row in shown], dim=1)  # (3, 4·S, pairs·S)
        pixels = (sheet.clamp(0, 1).permute(1, 2, 0) * 255).round().byte().cpu().numpy()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_image(self.folder / f"{progress.images:09d}.png", pixels)
        return pixels
