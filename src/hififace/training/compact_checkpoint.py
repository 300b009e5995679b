"""Small checkpoints of a run with a resident set: five files that are easy to copy, each at most 15 MB for `mini_256`.

    average, generator, discriminators      float16
    moments                                 the generator's second moments, bfloat16
    state.json                              counters, the configuration

With `checkpoint_part_mb` each is split into smaller files, which are joined when they are read.

A run resumes from one up to rounding, not bit for bit. It is written under a temporary name and renamed when complete.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hififace.errors import TrainingError, WeightsError
from hififace.models.earlier_names import current_weight_names
from hififace.models.pretrained.strict_loading import read_state_dict
from hififace.training.checkpoint import SCHEMA_VERSION, Progress, read_state
from hififace.training.device_step import DeviceStep
from hififace.training.split_files import has_tensors, read_tensors, write_tensors

_PARTIAL = ".partial"
_DISCRIMINATORS = ("fine", "coarse")
_MOMENTS_AGE = 1000.0
"""Step count given to restored second moments: large enough that Adam's bias correction is negligible."""


class CheckpointForm(NamedTuple):
    """What all checkpoints of a run have in common."""

    config: Mapping[str, Any]
    """The dumped configuration."""
    template: str
    """Of the crops."""
    part_mb: float | None = None
    """Largest size of a file, in 10^6 bytes; None writes one file of each kind."""


def save_compact(
    step: DeviceStep, run: Path, progress: Progress, form: CheckpointForm, *, keep_last: int
) -> Path:
    """Writes `run/checkpoints/000120000`, then removes all but the last few; returns the folder.

    Raises:
        OptionError: files cannot be as small as the form asks.
    """
    final = run / "checkpoints" / f"{progress.images:09d}"
    write_compact(step, final, progress, form)
    for old in _all(run)[:-keep_last]:
        shutil.rmtree(old)
    return final


def write_compact(
    step: DeviceStep,
    final: Path,
    progress: Progress,
    form: CheckpointForm,
    *,
    figures: Mapping[str, float] | None = None,
) -> None:
    """Writes one checkpoint as the folder `final`, completely or not at all.

    Args:
        step: what is saved.
        final: replaced if it exists.
        progress: how far the run is.
        form: what all checkpoints of the run have in common.
        figures: validation figures for `state.json`.

    Raises:
        OptionError: files cannot be as small as the form asks.
    """
    partial = final.with_name(final.name + _PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    networks = step.networks
    # So that a file copied alone can still be exported (`hififace export FILE`).
    notes = {
        "generator": networks.generator.params.name,
        "images": str(progress.images),
        "template": form.template,
    }
    discriminators = {
        f"{name}.{key}": v
        for name in _DISCRIMINATORS
        for key, v in getattr(networks, name).state_dict().items()
    }

    def write(name: str, tensors: Mapping[str, Tensor], kind: torch.dtype) -> None:
        write_tensors(
            partial,
            name,
            {key: v.detach().to("cpu", kind) for key, v in tensors.items()},
            notes,
            form.part_mb,
        )

    write("average", step.average.state_dict(), torch.float16)
    write("generator", networks.generator.state_dict(), torch.float16)
    write("discriminators", discriminators, torch.float16)
    moments = {
        name: step.generator_adam.state[parameter]["exp_avg_sq"]
        for name, parameter in networks.generator.named_parameters()
        if parameter in step.generator_adam.state
    }
    if moments:
        write("moments", moments, torch.bfloat16)
    state = {
        "schema_version": SCHEMA_VERSION,
        "progress": {name: getattr(progress, name) for name in Progress.__slots__},
        "torch": torch.__version__,
        "template": form.template,
        "config": dict(form.config),
        **({"figures": dict(figures)} if figures else {}),
    }
    (partial / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)


def newest_compact(run: Path) -> Path | None:
    """The complete checkpoint with the most images, or None."""
    found = _all(run)
    return found[-1] if found else None


def restore_compact(checkpoint: Path, step: DeviceStep) -> Progress:
    """Loads a checkpoint into a training step, in place.

    Raises:
        TrainingError: a file is missing or damaged, or of another architecture.
    """
    state = read_state(checkpoint)
    networks = step.networks
    try:
        discriminators = read_tensors(checkpoint, "discriminators")
        for network, weights in (
            (networks.generator, read_tensors(checkpoint, "generator")),
            (step.average, read_tensors(checkpoint, "average")),
            (networks.fine, _within(discriminators, "fine.")),
            (networks.coarse, _within(discriminators, "coarse.")),
        ):
            network.load_state_dict(
                {name: value.float() for name, value in current_weight_names(weights).items()}
            )
        if has_tensors(checkpoint, "moments"):
            _restore_moments(step, current_weight_names(read_tensors(checkpoint, "moments")))
        return Progress(**state["progress"])
    except (KeyError, RuntimeError, TypeError, WeightsError) as error:
        raise TrainingError(
            f"The checkpoint {checkpoint} does not fit this run: {error}. Start with the configuration it was made "
            "with (state.json holds it), or choose another run folder."
        ) from error


def restore_discriminators(where: Path, step: DeviceStep) -> None:
    """Fills a step's discriminators from a file of a checkpoint, for a new run.

    Args:
        where: `discriminators.safetensors`, or the folder of a checkpoint.
        step: changed in place.

    Raises:
        TrainingError: no such file, or discriminators of another shape.
    """
    try:
        discriminators = read_state_dict(where) if where.is_file() else read_tensors(where, "discriminators")
        for name in _DISCRIMINATORS:
            weights = current_weight_names(_within(discriminators, f"{name}."))
            getattr(step.networks, name).load_state_dict({key: v.float() for key, v in weights.items()})
    except (KeyError, RuntimeError, WeightsError) as error:
        raise TrainingError(
            f"The discriminators at {where} do not fit this run: {error}. Give the discriminators.safetensors of a "
            "checkpoint of the same preset, or leave the option out to start with new ones."
        ) from error


def _restore_moments(step: DeviceStep, moments: Mapping[str, Tensor]) -> None:
    for name, parameter in step.networks.generator.named_parameters():
        entry = step.generator_adam.state[parameter]
        entry["step"] = torch.tensor(_MOMENTS_AGE, device=step.device)
        entry["exp_avg"] = torch.zeros_like(parameter)
        entry["exp_avg_sq"] = moments[name].to(parameter).clone(memory_format=torch.preserve_format)


def _within(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _all(run: Path) -> list[Path]:
    states = run.glob("checkpoints/*/state.json")
    return sorted(state.parent for state in states if state.parent.name.isdecimal())
