"""The training run: set up, resume, {step, report, preview, save}, close.

"To resume, run the same command again." Counters count images; the data and every random number are functions of
(seed, rank, images seen), so six steps in one run give bit for bit the same result as three, a stop, and three more.
"""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import cast

import torch

from hififace.data.index import PreparedSet
from hififace.data.loader import BatchLoader
from hififace.data.resident import ResidentSet
from hififace.data.resident_loader import ResidentLoader, fits
from hififace.errors import InterruptedByUserError, TrainingError
from hififace.media.atomic import atomic_write
from hififace.media.lock import folder_lock
from hififace.models.create import create_discriminator, create_generator
from hififace.models.generator import Generator
from hififace.training.checkpoint import CheckpointFolder, Progress, TrainedParts, read_state, save_folder
from hififace.training.config import TrainingConfig, changes_of_run
from hififace.training.distributed import (
    World,
    any_in_world,
    assert_equal_everywhere,
    joined,
    wait_for_all,
)
from hififace.training.ema import MovingAverage
from hififace.training.families import check_set, load_loss_networks
from hififace.training.held_out import HeldOut
from hififace.training.pace import Pace
from hififace.training.preview import Preview
from hififace.training.run_options import RunOptions
from hififace.training.schedule import value_at
from hififace.training.starting_weights import start_generator
from hififace.training.stats import Reports
from hififace.training.step import TrainingStep, create_optimiser

LOGGER = logging.getLogger(__name__)

EMPTY_MASK = 0.05
"""Mean of the predicted mask inside the face below which it counts as empty."""


def train(config: TrainingConfig, data: Path, run: Path, options: RunOptions | None = None) -> Progress:
    """Trains until `config.total_images`, from the newest checkpoint of `run` or from the start.

    Args:
        config: what to train and how.
        data: a prepared set (`hififace prepare`).
        run: the folder of the run: config.json, stats.jsonl, previews/, checkpoints/, tensorboard/.
        options: device, starting weights, when to stop.

    Returns:
        The progress reached.

    Raises:
        OptionError: the batch size is not divisible by the processes and accumulation rounds.
        DataError: the set is missing, damaged or does not fit the configuration.
        TrainingError: a checkpoint of another architecture, a non-finite step, a mask that stays empty, or a run that
            another process is training.
        InterruptedByUserError: after Ctrl-C or a termination signal; the run is saved first.
    """
    options = options or RunOptions()
    with joined(options.device) as world, alone_in(run, world), stop_flag() as stop:
        # ---- Set up: numbers first, then data, loss networks and trained networks.
        round_size = config.split_batch(world.size)
        torch.manual_seed(config.seed)
        photos = PreparedSet.open(data)
        check_set(config, photos.card)
        loss_networks = options.loss_networks or load_loss_networks(
            config, photos.card, world.device, options.loss_network_files
        )
        generator = create_generator(config.generator)
        discriminator = create_discriminator(config.discriminator)
        average = MovingAverage(
            generator, half_life_images=config.ema_half_life_images, rampup=config.ema_rampup
        )
        memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
        for network in (generator, discriminator, average.module):
            network.to(device=world.device, memory_format=memory_format)  # type: ignore[call-overload]
        parts = TrainedParts(
            networks={"generator": generator, "average": average.module, "discriminator": discriminator},
            optimisers={
                "generator": create_optimiser(config.generator_optimiser, generator),
                "discriminator": create_optimiser(config.discriminator_optimiser, discriminator),
            },
        )

        # ---- Resume: the same command again.
        checkpoints = CheckpointFolder(
            run, keep_last=config.keep_last_checkpoints, keep_every_images=config.keep_every_images
        )
        progress = _resume(config, run, checkpoints, parts, options, world)
        reader = BatchLoader(
            photos,
            seed=config.seed,
            batch_size=round_size * config.accumulation,
            start_image=progress.images,
            rank=world.rank,
            world_size=world.size,
            same_rate=config.data.same_rate,
            min_native_px=config.data.min_native_px,
            augment=config.data.augment_options(),
            workers=config.data.workers,
            pin_memory=world.device.type == "cuda",
        )
        loader: BatchLoader | ResidentLoader = reader
        if config.data.is_resident(fits(photos, world.device)):
            loader = ResidentLoader(ResidentSet.from_prepared(photos, world.device), reader)
        step = TrainingStep(config, parts, loss_networks, world)
        preview = Preview(photos, loss_networks, config.preview_pairs, run / "previews", world.device)
        dumped = config.model_dump(mode="json")
        reports = Reports(
            run,
            progress,
            world,
            exact_times=options.exact_times,
            listener=options.report,
            track=options.track,
            config=dumped,
        )
        held_out = HeldOut.open(options, photos.card, config.held_out, run, world)
        keep_best = partial(save_folder, held_out.folder, {"average": average.module}, progress, dumped)
        pace = Pace(config.total_images, options, progress)

        # ---- Loop.
        batches = iter(loader)
        try:
            while progress.images < pace.goal:
                seen = progress.images
                with reports.clock.stage("data"):
                    batch = next(batches).to_device(world.device)
                reports.add(step(batch, progress, reports.clock))
                average.update(generator, batch_size=config.batch_size, images_seen=seen)
                progress.images += config.batch_size
                progress.steps += 1
                stopping = stop.requested = any_in_world(stop.requested, world)
                pausing = stopping or any_in_world(pace.is_over(progress), world)

                due = _due(config, seen, progress.images, all_of_it=pausing)
                if due:
                    reports.expect_finite(progress)
                if "report" in due:
                    more = pace.figures(progress, world.device)
                    more["run/learning_rate"] = value_at(config.generator_optimiser.learning_rate, seen)
                    more |= held_out.look(cast("Generator", average.module), keep_best, at_once=pausing)
                    _watch_mask(reports.write(progress, more), progress, config)
                if "preview" in due and world.is_first:
                    reports.image("preview", preview.draw(average.module, progress.images), progress)
                if "checkpoint" in due:
                    assert_equal_everywhere(generator, world, "generator")
                    if world.is_first:
                        checkpoints.save(parts, progress, dumped)
                    wait_for_all(world)
                if pausing:
                    break
        finally:
            # ---- Close.
            batches.close()
            reports.close()
        stop.end(progress, run)
        return progress


def alone_in(run: Path, world: World) -> AbstractContextManager[None]:
    """Locks the run's folder in the first process, on behalf of all of them."""
    if not world.is_first:
        return nullcontext()
    return folder_lock(
        run,
        TrainingError(
            f"The run in {run} is being trained by another program. Wait for it, stop it, or choose another run folder."
        ),
    )


def _resume(
    config: TrainingConfig,
    run: Path,
    checkpoints: CheckpointFolder,
    parts: TrainedParts,
    options: RunOptions,
    world: World,
) -> Progress:
    """Restores the newest checkpoint, or starts anew; logs the settings that differ from the saved run's."""
    newest = checkpoints.newest()
    dumped = config.model_dump(mode="json")
    if newest is None:
        if options.init_from is not None:
            _load_generator(options.init_from, parts)
        progress = Progress()
    else:
        changes = changes_of_run(run, read_state(newest)["config"], dumped)
        progress = checkpoints.restore(newest, parts)
        LOGGER.info("resuming %s at %d images", newest, progress.images)
        for change in changes:
            LOGGER.warning("%s", change)
    if world.is_first:
        run.mkdir(parents=True, exist_ok=True)
        atomic_write(run / "config.json", json.dumps(dumped, indent=1).encode())
        with (run / "config-history.jsonl").open("a", encoding="utf-8") as history:
            history.write(json.dumps({"images": progress.images, "config": dumped}) + "\n")
    wait_for_all(world)
    return progress


def _load_generator(path: Path, parts: TrainedParts) -> None:
    """Loads weights into the generator and its average; weights missing in the file are initialised equally in both."""
    generator = parts.networks["generator"]
    start_generator(cast("Generator", generator), path)
    parts.networks["average"].load_state_dict(generator.state_dict())


def _watch_mask(values: Mapping[str, float], progress: Progress, config: TrainingConfig) -> None:
    """Warns when the predicted mask is empty, the known failure of this network: the result equals the target.

    Raises:
        TrainingError: it was empty in `empty_mask_patience` consecutive reports.
    """
    inside = values.get("mask/inside", 1.0)
    if inside >= EMPTY_MASK:
        progress.empty_mask_reports = 0
        return
    progress.empty_mask_reports += 1
    LOGGER.warning(
        "the predicted mask is empty (%.3f inside the face, report %d in a row): the result is the target",
        inside,
        progress.empty_mask_reports,
    )
    if progress.empty_mask_reports >= config.empty_mask_patience:
        raise TrainingError(
            f"The predicted mask stayed empty for {progress.empty_mask_reports} reports, until image "
            f"{progress.images}: every result equals its target. Raise loss.weights.segmentation, start the "
            "adversarial term later, or add adversarial.r1_gamma; then go on from an older checkpoint."
        )


def _due(config: TrainingConfig, before: int, after: int, *, all_of_it: bool) -> set[str]:
    """Actions due after a step: those with a multiple of their interval in (before, after], or all of them."""
    intervals = {
        "report": config.log_every_images,
        "preview": config.preview_every_images,
        "checkpoint": config.checkpoint_every_images,
    }
    return {name for name, every in intervals.items() if all_of_it or before // every != after // every}


class _StopFlag:
    """Set by Ctrl-C or a termination signal; the loop checks it between two steps."""

    def __init__(self) -> None:
        self.requested = False

    def end(self, progress: Progress, run: Path) -> None:
        """Ends the run if the flag is set.

        Raises:
            InterruptedByUserError: the flag is set.
        """
        if self.requested:
            raise InterruptedByUserError(
                f"Stopped after {progress.images} images; the run is saved in {run}. "
                "The same command resumes it."
            )

    def raise_it(self, *_: object) -> None:
        self.requested = True


@contextmanager
def stop_flag() -> Iterator[_StopFlag]:
    """Sets a flag on signals while the loop runs. Only the main thread receives signals; elsewhere it does nothing."""
    flag = _StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, flag.raise_it) for number in signals]
    try:
        yield flag
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
