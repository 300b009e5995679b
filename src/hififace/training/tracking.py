"""Sends a run's reports to Weights & Biases (`pip install '.[track]'`) or Trackio (`pip install trackio`).

Both have the same interface (`init`, `log`, `finish`). Nothing is sent anywhere unless `--track` asks for it; Trackio,
and Weights & Biases with WANDB_MODE=offline, keep everything on this machine.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from hififace.errors import RuntimeUnavailableError

Tracked = Literal["wandb", "trackio"]

PROJECT = "hififace"


class Tracker:
    """One run in an experiment tracker; a resumed run is resumed there too.

    Args:
        program: which tracker.
        run: the folder of the run, which names it.
        config: the dumped configuration.

    Raises:
        RuntimeUnavailableError: it is not installed.
    """

    def __init__(self, program: Tracked, run: Path, config: Mapping[str, Any]) -> None:
        try:
            self._module: Any = importlib.import_module(program)
        except ImportError as error:
            raise RuntimeUnavailableError(
                f"--track {program} needs {program}, which is not installed: pip install {program}."
            ) from error
        name = run.resolve().name
        extra: dict[str, Any] = {"dir": str(run), "id": name} if program == "wandb" else {}
        self._module.init(project=PROJECT, name=name, config=dict(config), resume="allow", **extra)

    def write(self, images: int, values: Mapping[str, float]) -> None:
        """Sends one report at an image count."""
        self._module.log(dict(values), step=images)

    def image(self, name: str, pixels: Any, images: int) -> None:
        """Sends an image (H, W, 3 uint8)."""
        self._module.log({name: self._module.Image(pixels)}, step=images)

    def close(self) -> None:
        """Ends the run there."""
        self._module.finish()
