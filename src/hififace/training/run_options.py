"""Options that do not change the result of a run: device, starting weights, when to stop, where reports go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hififace.training.loss_networks import LossNetworks
from hififace.training.mesh_loss_networks import MeshLossNetworks
from hififace.training.stats import Listener
from hififace.training.tracking import Tracked


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of a run beside its configuration."""

    device: str = "auto"
    stop_after_images: int | None = None
    """Save and stop after this total number of images; None runs to `total_images`."""
    init_from: Path | None = None
    """Generator weights to start a new run from (`training/starting_weights.py`); ignored by a run that has a
    checkpoint."""
    discriminators: Path | None = None
    """Only for runs on one device: `discriminators.safetensors` of a checkpoint, for a new run. None takes
    them from the checkpoint that `init_from` names, or initialises them at random."""
    held_out: tuple[Path, ...] = ()
    """A set of other people (packed parts or a prepared folder) for validation during the run; the best checkpoint is
    kept in `best/`."""
    track: Tracked | None = None
    """Also send the reports to Weights & Biases or Trackio."""
    exact_times: bool = False
    report: Listener | None = None
    loss_networks: LossNetworks | None = None
    """Frozen networks that are loaded already; None loads those of the configuration's family."""
    loss_network_files: Path | None = None
    """Folder of the user-supplied frozen networks."""
    stop_after_minutes: float | None = None
    """Save and stop after this many minutes of training; in runs on one device (`training/device_loop.py`) the learning
    rate schedule ends then."""
    device_loss_networks: MeshLossNetworks | None = None
    """The same for a run on one device."""
