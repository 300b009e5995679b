"""What of a run does not change its result: where it is computed, when it pauses, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hififace.training.loss_networks import LossNetworks
from hififace.training.mesh_loss_networks import MeshLossNetworks
from hififace.training.stats import Listener
from hififace.training.tracking import Tracked


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What does not change the result: where it is computed and when to pause."""

    device: str = "auto"
    stop_after_images: int | None = None
    """Stop, saved, once this many images are seen in all; None runs to `total_images`."""
    init_from: Path | None = None
    """Generator weights to start a new run from (`training/starting_weights.py`); a run that has a checkpoint ignores
    it."""
    discriminators: Path | None = None
    """Only for runs on one device: `discriminators.safetensors` of a checkpoint, for a new run. Without, they are taken
    from the checkpoint that `init_from` names, or made anew."""
    held_out: tuple[Path, ...] = ()
    """A set of other people (packed parts or a prepared folder), on which the run is measured while it trains; its best
    checkpoint is kept in `best/`."""
    track: Tracked | None = None
    """Also send the reports to Weights & Biases or to Trackio."""
    exact_times: bool = False
    report: Listener | None = None
    loss_networks: LossNetworks | None = None
    """Frozen networks ready made; None loads the ones of the configuration's family."""
    loss_network_files: Path | None = None
    """Folder of the frozen networks that the user brings."""
    stop_after_minutes: float | None = None
    """Stop, saved, after so many minutes of training; in runs on one device (`training/device_loop.py`) the schedule
    ends then."""
    device_loss_networks: MeshLossNetworks | None = None
    """Frozen networks ready made of such a run."""
