"""Small checkpoints of a resident run: five files that can be carried, none larger than 15 MB for `mini_256`.

    average, generator, discriminators      float16
    moments                                 the generator's second moments, bfloat16
    state.json                              counters, the configuration

A run goes on from one within rounding, not bit for bit. It is written under a temporary name and renamed when whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from hififace.errors import TrainingError, WeightsError
from hififace.models.earlier_names import current_weight_names
from hififace.models.pretrained.strict_loading import read_state_dict
from hififace.training.checkpoint import SCHEMA_VERSION, Progress, read_state
from hififace.training.device_step import DeviceStep

_PARTIAL = ".partial"
_DISCRIMINATORS = ("fine", "coarse")
_MOMENTS_AGE = 1000.0
"""Steps that restored second moments count for: old enough that Adam does not correct them for youth."""


def save_compact(
    step: DeviceStep,
    run: Path,
    progress: Progress,
    config: Mapping[str, Any],
    *,
    template: str,
    keep_last: int,
) -> Path:
    """Writes `run/checkpoints/000120000`, then removes all but the last few; returns the folder."""
    folder = run / "checkpoints"
    final = folder / f"{progress.images:09d}"
    partial = final.with_name(final.name + _PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    networks = step.networks
    # A file that travels alone still says what it is (`hififace export FILE`).
    notes = {
        "generator": networks.generator.params.name,
        "images": str(progress.images),
        "template": template,
    }
    discriminators = {
        f"{name}.{key}": v
        for name in _DISCRIMINATORS
        for key, v in getattr(networks, name).state_dict().items()
    }
    _write(partial / "average.safetensors", step.average.state_dict(), torch.float16, notes)
    _write(partial / "generator.safetensors", networks.generator.state_dict(), torch.float16, notes)
    _write(partial / "discriminators.safetensors", discriminators, torch.float16, notes)
    moments = {
        name: step.generator_adam.state[parameter]["exp_avg_sq"]
        for name, parameter in networks.generator.named_parameters()
        if parameter in step.generator_adam.state
    }
    if moments:
        _write(partial / "moments.safetensors", moments, torch.bfloat16, notes)
    state = {
        "schema_version": SCHEMA_VERSION,
        "progress": {name: getattr(progress, name) for name in Progress.__slots__},
        "torch": torch.__version__,
        "template": template,
        "config": dict(config),
    }
    (partial / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    for old in _all(run)[:-keep_last]:
        shutil.rmtree(old)
    return final


def newest_compact(run: Path) -> Path | None:
    """The whole checkpoint with the most images, or None."""
    found = _all(run)
    return found[-1] if found else None


def restore_compact(checkpoint: Path, step: DeviceStep) -> Progress:
    """Loads a checkpoint into a step, in place.

    Raises:
        TrainingError: a file is missing or damaged, or of another architecture.
    """
    state = read_state(checkpoint)
    networks = step.networks
    try:
        discriminators = read_state_dict(checkpoint / "discriminators.safetensors")
        for network, weights in (
            (networks.generator, read_state_dict(checkpoint / "generator.safetensors")),
            (step.average, read_state_dict(checkpoint / "average.safetensors")),
            (networks.fine, _within(discriminators, "fine.")),
            (networks.coarse, _within(discriminators, "coarse.")),
        ):
            network.load_state_dict(
                {name: value.float() for name, value in current_weight_names(weights).items()}
            )
        if (checkpoint / "moments.safetensors").is_file():
            _restore_moments(step, current_weight_names(read_state_dict(checkpoint / "moments.safetensors")))
        return Progress(**state["progress"])
    except (KeyError, RuntimeError, TypeError, WeightsError) as error:
        raise TrainingError(
            f"The checkpoint {checkpoint} does not fit this run: {error}. Start with the configuration it was made "
            "with (state.json holds it), or choose another run folder."
        ) from error


def _restore_moments(step: DeviceStep, moments: Mapping[str, Tensor]) -> None:
    for name, parameter in step.networks.generator.named_parameters():
        entry = step.generator_adam.state[parameter]
        entry["step"] = torch.tensor(_MOMENTS_AGE, device=step.device)
        entry["exp_avg"] = torch.zeros_like(parameter)
        entry["exp_avg_sq"] = moments[name].to(parameter).clone(memory_format=torch.preserve_format)


def _write(path: Path, state: Mapping[str, Tensor], kind: torch.dtype, notes: dict[str, str]) -> None:
    tensors = {key: value.detach().to("cpu", kind).contiguous() for key, value in state.items()}
    save_file(tensors, path, metadata=notes)


def _within(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _all(run: Path) -> list[Path]:
    states = run.glob("checkpoints/*/state.json")
    return sorted(state.parent for state in states if state.parent.name.isdecimal())
