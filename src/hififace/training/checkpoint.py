"""Everything a run needs to resume as if it had never stopped, written completely or not at all.

A checkpoint is a folder `checkpoints/000120000` (images seen):

    generator.safetensors  average.safetensors  discriminator.safetensors      the networks
    optimisers.pt                                                              Adam's moments (tensors only)
    state.json                                                                 counters, versions, the configuration

It is written under a temporary name and renamed when every file is on disk, so that a kill at any moment leaves
either the complete new checkpoint or only older ones. Random numbers and the order of the data are not saved: both
are pure functions of (seed, rank, images seen).
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from hififace.errors import TrainingError
from hififace.json_values import parse_json_object
from hififace.models.earlier_names import current_param_names, current_weight_names

SCHEMA_VERSION = 1
_PARTIAL = ".partial"
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError)
"""Exceptions of the readers for files that are missing, truncated, of another format or unsafe."""


@dataclass(slots=True)
class Progress:
    """Progress of a run."""

    images: int = 0
    """Images (pairs) seen by the generator, over all processes."""
    steps: int = 0
    """Optimiser steps taken."""
    empty_mask_reports: int = 0
    """Consecutive reports in which the predicted mask was empty."""


@dataclass(frozen=True, slots=True)
class TrainedParts:
    """The named objects of one checkpoint."""

    networks: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]


class CheckpointFolder:
    """The checkpoints of one run."""

    def __init__(self, run: Path, *, keep_last: int, keep_every_images: int | None) -> None:
        self.folder = run / "checkpoints"
        self.keep_last = keep_last
        self.keep_every_images = keep_every_images

    def newest(self) -> Path | None:
        """The complete checkpoint with the most images, or None."""
        found = self._all()
        return found[-1] if found else None

    def save(self, parts: TrainedParts, progress: Progress, config: Mapping[str, Any]) -> Path:
        """Writes a checkpoint, then removes those that `keep_last` and `keep_every_images` do not keep."""
        final = self.folder / f"{progress.images:09d}"
        save_folder(final, parts.networks, progress, config, optimisers=parts.optimisers)
        self._prune()
        return final

    def restore(self, checkpoint: Path, parts: TrainedParts) -> Progress:
        """Loads a checkpoint into the given objects, strictly.

        Raises:
            TrainingError: if a file is missing or damaged, or belongs to another architecture.
        """
        state = read_state(checkpoint)
        try:
            for name, network in parts.networks.items():
                network.load_state_dict(current_weight_names(load_file(checkpoint / f"{name}.safetensors")))
            saved = torch.load(checkpoint / "optimisers.pt", map_location="cpu", weights_only=True)
            for name, optimiser in parts.optimisers.items():
                optimiser.load_state_dict(saved[name])
        except _DAMAGE as error:
            raise TrainingError(
                f"The checkpoint {checkpoint} does not fit this run: {error}. Start with the configuration it was made "
                "with (state.json holds it), or choose another run folder."
            ) from error
        return Progress(**state["progress"])

    def _all(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(p for p in self.folder.iterdir() if p.name.isdecimal() and (p / "state.json").is_file())

    def _prune(self) -> None:
        """Keeps the newest `keep_last` and, as milestones, the first one at or after every `keep_every_images`."""
        everything = self._all()
        kept = set(everything[-self.keep_last :])
        if self.keep_every_images:
            milestones: dict[int, Path] = {}
            for path in everything:
                milestones.setdefault(int(path.name) // self.keep_every_images, path)
            kept.update(path for number, path in milestones.items() if number > 0)
        for path in everything:
            if path not in kept:
                shutil.rmtree(path)
        for leftover in self.folder.glob(f"*{_PARTIAL}"):
            shutil.rmtree(leftover)


def save_folder(
    final: Path,
    networks: Mapping[str, nn.Module],
    progress: Progress,
    config: Mapping[str, Any],
    figures: Mapping[str, float] | None = None,
    *,
    optimisers: Mapping[str, torch.optim.Optimizer] | None = None,
) -> None:
    """Writes one checkpoint as the folder `final`, completely or not at all.

    Args:
        final: replaced if it exists.
        networks: by the name of their file.
        progress: how far the run is.
        config: the dumped configuration.
        figures: validation figures for `state.json`.
        optimisers: None for checkpoints that no run resumes from.
    """
    partial = final.with_name(final.name + _PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, network in networks.items():
        tensors = {key: value.detach().contiguous().cpu() for key, value in network.state_dict().items()}
        save_file(tensors, partial / f"{name}.safetensors")
    if optimisers is not None:
        torch.save({name: o.state_dict() for name, o in optimisers.items()}, partial / "optimisers.pt")
    state = {
        "schema_version": SCHEMA_VERSION,
        "progress": {name: getattr(progress, name) for name in Progress.__slots__},
        "torch": torch.__version__,
        "config": dict(config),
        **({"figures": dict(figures)} if figures else {}),
    }
    (partial / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    _flush_to_disk(partial)
    if final.exists():
        shutil.rmtree(final)
    partial.rename(final)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The counters and the configuration of a checkpoint.

    Raises:
        TrainingError: the folder is not a checkpoint, or has a newer layout.
    """
    try:
        state = parse_json_object((checkpoint / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{checkpoint} is not a checkpoint: its state.json cannot be read ({error}). "
            "Give a folder of the form RUN/checkpoints/000120000."
        ) from error
    if state.get("schema_version") != SCHEMA_VERSION:
        raise TrainingError(
            f"{checkpoint} has layout {state.get('schema_version')}, this program knows {SCHEMA_VERSION}: "
            "use the version of hififace that wrote it."
        )
    config = state.get("config")
    if isinstance(config, dict) and isinstance(config.get("generator"), dict):
        config["generator"] = current_param_names(config["generator"])
    return state


def _flush_to_disk(folder: Path) -> None:
    """Makes the files durable before the rename that marks the checkpoint as complete."""
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
