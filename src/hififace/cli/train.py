"""`hififace train`: train a network from a prepared set, or resume a run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from hififace.cli.running import needs
from hififace.errors import OptionError

if TYPE_CHECKING:
    from hififace.training.checkpoint import Progress
    from hififace.training.config import TrainingConfig
    from hififace.training.device_config import DeviceConfig
    from hififace.training.run_options import RunOptions
    from hififace.training.tracking import Tracked


def train(
    packs: Annotated[
        list[Path] | None,
        typer.Argument(help="mini_256: files of a packed set (`hififace pack`), or a folder of them."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Preset: smoke, mini_128, mini_256, mini_256_finetune, paper_256, paper_512 or reference_256."
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", help="config.json of a run, or an edited copy, instead of a preset."),
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder of a prepared set (`hififace prepare`).")] = Path(),
    run: Annotated[
        Path, typer.Option(help="Folder of the run; if it holds a checkpoint, the run resumes.")
    ] = Path(),
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Override a setting: section.name=value, with the value as JSON; repeatable."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    stop_after: Annotated[
        int | None,
        typer.Option(help="Save and stop at this number of images, counted from the start of the run."),
    ] = None,
    stop_after_minutes: Annotated[
        float | None,
        typer.Option(
            help="Save and stop after this many minutes of training; mini_256 lowers its learning rate by then."
        ),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            help="Initial weights of a new run: a .safetensors file of generator weights, a run, a checkpoint, a "
            "bundle, the name of an embedded model (mini), or a published generator_320000.pth."
        ),
    ] = None,
    discriminators: Annotated[
        Path | None,
        typer.Option(
            help="mini_256: initial discriminators of a new run, a checkpoint's discriminators.safetensors; default: "
            "those of --init-from, or new ones, which are warmed up first."
        ),
    ] = None,
    loss_networks: Annotated[
        Path | None,
        typer.Option(help="Folder of the user-supplied loss networks that the preset needs."),
    ] = None,
    held_out: Annotated[
        list[Path] | None,
        typer.Option(
            help="Validation set of other people (packed files, repeatable, or a prepared folder), measured every "
            "held_out.every_s seconds; the best checkpoint is kept in RUN/best."
        ),
    ] = None,
    track: Annotated[str | None, typer.Option(help="Also send the reports to wandb or trackio.")] = None,
    exact_times: Annotated[
        bool,
        typer.Option(help="Synchronise with the GPU after every stage: exact times, slightly slower."),
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Print the whole configuration and exit.")] = False,
) -> None:
    """Train a network. To resume, run the same command again.

    On several GPUs: torchrun --nproc-per-node 8 -m -- hififace train --preset paper_256 --data SET --run RUN
    """
    with needs("train", "Training", "PyTorch"):
        import torch  # noqa: F401 - the whole command needs it; say so before anything else is done
    from hififace.training.config import with_overrides
    from hififace.training.device_config import DeviceConfig
    from hififace.training.run_options import RunOptions

    config: TrainingConfig | DeviceConfig = with_overrides(_chosen(preset, config_file), overrides or [])
    if dry_run:
        typer.echo(json.dumps(config.model_dump(mode="json"), indent=1))
        return
    if run == Path():
        raise OptionError("--run is missing: give the folder.")
    options = RunOptions(
        device=device,
        stop_after_images=stop_after,
        stop_after_minutes=stop_after_minutes,
        init_from=init_from,
        discriminators=discriminators,
        held_out=tuple(held_out or ()),
        track=_tracked(track),
        exact_times=exact_times,
        loss_network_files=loss_networks,
    )
    if isinstance(config, DeviceConfig):
        _run_on_device(config, [*(packs or []), *([data] if data != Path() else [])], run, options)
        return
    if packs or discriminators is not None:
        raise OptionError(
            f"Packed sets and --discriminators are for runs on one device (mini_256); '{config.preset}' takes "
            "--data SET and --init-from."
        )
    if data == Path():
        raise OptionError("--data is missing: give the folder.")
    _run(config, data, run, options)


def _tracked(name: str | None) -> Tracked | None:
    """The tracking program of a name.

    Raises:
        OptionError: another name.
    """
    from hififace.training.tracking import Tracked

    if name is not None and name not in get_args(Tracked):
        raise OptionError(f"--track {name}: expected {' or '.join(get_args(Tracked))}.")
    return cast("Tracked | None", name)


def _chosen(preset: str | None, file: Path | None) -> TrainingConfig | DeviceConfig:
    """The preset, or what a file says."""
    from hififace.json_values import parse_json_object
    from hififace.training.config import TrainingConfig, parse_config
    from hififace.training.device_config import DEVICE_PRESETS, DeviceConfig
    from hififace.training.presets import make_preset

    if (preset is None) == (file is None):
        raise OptionError("Give either --preset NAME or --config FILE.")
    if file is None:
        return DEVICE_PRESETS[str(preset)]() if preset in DEVICE_PRESETS else make_preset(str(preset))
    try:
        values = parse_json_object(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(
            f"The configuration {file} cannot be read ({error}). Give a run's config.json."
        ) from error
    if "fine" in values:
        return parse_config(values, DeviceConfig)
    return parse_config(values, TrainingConfig)


def _run(config: TrainingConfig, data: Path, run: Path, options: RunOptions) -> None:
    from dataclasses import replace

    from hififace.training.loop import train as train_network

    is_first = int(os.environ.get("RANK", "0")) == 0
    if is_first:
        typer.echo(json.dumps(config.model_dump(mode="json")))
    progress = train_network(config, data, run, replace(options, report=_print_report if is_first else None))
    if is_first:
        _say_done(progress, run)


def _run_on_device(config: DeviceConfig, sets: list[Path], run: Path, options: RunOptions) -> None:
    from dataclasses import replace

    from hififace.training.device_loop import train_on_device

    if not sets:
        raise OptionError(
            "There is no set to train from: give the parts of a packed set (PACK...), or --data SET."
        )
    typer.echo(json.dumps(config.model_dump(mode="json")))
    _say_done(train_on_device(config, sets, run, replace(options, report=_print_device_report)), run)


def _say_done(progress: Progress, run: Path) -> None:
    typer.echo(
        f"Done: {progress.images} images in {progress.steps} steps. Checkpoints are in {run / 'checkpoints'}."
    )


def _print_report(progress: Progress, values: Mapping[str, Any]) -> None:
    """One line for each report: what a person watches, the rest is in stats.jsonl."""
    shown = "  ".join(
        f"{name.split('/')[-1]} {value:.3f}" for name, value in values.items() if _is_shown(name)
    )
    typer.echo(f"{_how_far(progress, values)}  {shown}{_held_out(values)}")


def _print_device_report(progress: Progress, values: Mapping[str, float]) -> None:
    """One line: images, share, images/s, time left, learning rate, memory, identity, discriminator's accuracy."""
    typer.echo(
        f"{_how_far(progress, values)}  identity {values['cosine_0']:.3f}  accuracy {values['coarse_accuracy']:.2f}"
        f"{_held_out(values)}"
    )


def _how_far(progress: Progress, values: Mapping[str, float]) -> str:
    """Images, share, images/s, time left, learning rate and memory."""
    minutes, seconds = divmod(round(values["run/seconds_left"]), 60)
    hours, minutes = divmod(minutes, 60)
    speed = values["speed/images_per_s"]
    return (
        f"{progress.images:>9,} images  {100 * values['run/share']:5.1f} %  {speed:.{1 if speed >= 10 else 2}f}/s  "
        f"{hours}:{minutes:02d}:{seconds:02d} left  rate {values['run/learning_rate']:.1e}  "
        f"{values['run/memory_gib']:.1f} GiB"
    )


def _held_out(values: Mapping[str, float]) -> str:
    """The held-out figures, where this report has some."""
    found = {name.removeprefix("held_out/"): v for name, v in values.items() if name.startswith("held_out/")}
    shown = "  ".join(f"{name} {value:.3f}" for name, value in found.items())
    return f"\n          held out: {shown}" if found else ""


def _is_shown(name: str) -> bool:
    return name.startswith(("loss/", "mask/", "discriminator/"))
