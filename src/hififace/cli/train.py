"""`hififace train`: train a network from a prepared set, or go on with a run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hififace.errors import OptionError, RuntimeUnavailableError

if TYPE_CHECKING:
    from hififace.training.checkpoint import Progress
    from hififace.training.config import TrainingConfig


def train(
    preset: Annotated[str, typer.Option(help="smoke, mini_128, paper_256, paper_512 or reference_256.")],
    data: Annotated[Path, typer.Option(help="A set made by `hififace prepare`.")] = Path(),
    run: Annotated[
        Path, typer.Option(help="Folder of the run; if it holds a checkpoint, the run goes on.")
    ] = Path(),
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="section.name=value, as often as needed; values are JSON."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    stop_after: Annotated[
        int | None, typer.Option(help="Pause, saved, once this many images are seen in all.")
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(help="A .safetensors file of generator weights to start a new run from."),
    ] = None,
    teachers: Annotated[
        Path | None, typer.Option(help="Folder of the frozen networks that a preset needs from you.")
    ] = None,
    exact_times: Annotated[
        bool,
        typer.Option(help="Wait for the GPU at the border of every stage: honest times, a little slower."),
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Print the whole configuration and stop.")] = False,
) -> None:
    """Train a network. To resume, run the same command again.

    On several GPUs: torchrun --nproc-per-node 8 -m -- hififace train --preset paper_256 --data SET --run RUN
    """
    try:
        import torch  # noqa: F401 - the whole command needs it; say so before anything else is done
    except ImportError as error:
        raise RuntimeUnavailableError(
            "Training needs PyTorch, which is not installed: pip install '.[train]'."
        ) from error
    from hififace.training.config import with_overrides
    from hififace.training.presets import make_preset

    config = with_overrides(make_preset(preset), overrides or [])
    if dry_run:
        typer.echo(json.dumps(config.model_dump(mode="json"), indent=1))
        return
    for name, folder in (("--data", data), ("--run", run)):
        if folder == Path():
            raise OptionError(f"{name} is missing: give the folder.")
    _run(config, data, run, device, stop_after, init_from, teachers, exact_times)


def _run(
    config: TrainingConfig,
    data: Path,
    run: Path,
    device: str,
    stop_after: int | None,
    init_from: Path | None,
    teacher_files: Path | None,
    exact_times: bool,
) -> None:
    from hififace.training.loop import RunOptions
    from hififace.training.loop import train as train_network

    is_first = int(os.environ.get("RANK", "0")) == 0
    if is_first:
        typer.echo(json.dumps(config.model_dump(mode="json")))
    progress = train_network(
        config,
        data,
        run,
        RunOptions(
            device=device,
            stop_after_images=stop_after,
            init_from=init_from,
            exact_times=exact_times,
            report=_print_report if is_first else None,
            teacher_files=teacher_files,
        ),
    )
    if is_first:
        typer.echo(
            f"Done: {progress.images} images in {progress.steps} steps. Checkpoints are in {run / 'checkpoints'}."
        )


def _print_report(progress: Progress, values: Mapping[str, Any]) -> None:
    """One line for each report: what a person watches, the rest is in stats.jsonl."""
    speed = values.get("speed/images_per_s", 0.0)
    shown = "  ".join(
        f"{name.split('/')[-1]} {value:.3f}" for name, value in values.items() if _is_shown(name)
    )
    typer.echo(f"{progress.images:>9,} images  {speed:.2f}/s  {shown}")


def _is_shown(name: str) -> bool:
    return name.startswith(("loss/", "mask/", "discriminator/"))
