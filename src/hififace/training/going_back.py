"""Automatic rollback: a run that leaves the band of healthy values returns to its last good state."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hififace.errors import TrainingError
from hififace.training.device_config import BandConfig
from hififace.training.device_step import DeviceStep

LOGGER = logging.getLogger(__name__)

WATCHED = {"identity": "cosine_0", "accuracy": "coarse_accuracy"}
"""Range of `BandConfig` -> the statistic of the step that it limits."""


@dataclass
class Watch:
    """Keeps the last good state on the device, and restores it in place, which captured CUDA graphs require."""

    step: DeviceStep
    band: BandConfig
    slowness: float = 1.0
    """Factor on the learning rates, reduced at every rollback."""
    _bad: int = 0
    _times: int = 0
    _good: list[Tensor] = field(default_factory=list)

    def look(self, values: Mapping[str, float]) -> str | None:
        """Checks one report; rolls back if a value has been out of its range for `patience` reports.

        Returns:
            The reason, if this call rolled back; otherwise None.

        Raises:
            TrainingError: the run was already rolled back as often as the configuration allows.
        """
        wrong = self._wrong(values)
        if wrong is None:
            self._bad = 0
            self._good = [tensor.clone() for tensor in self._tensors()]
            return None
        self._bad += 1
        not_finite = not all(math.isfinite(value) for value in values.values())
        if self._bad < self.band.patience and not not_finite:
            return None
        if self._times >= self.band.times or not self._good:
            raise TrainingError(
                f"{wrong}, and the run was already rolled back {self._times} times. Lower step.learning_rate or "
                "step.discriminator_rate, or widen the band, and resume from the last checkpoint."
            )
        with torch.no_grad():
            for tensor, before in zip(self._tensors(), self._good, strict=True):
                tensor.copy_(before)
        self._times, self._bad = self._times + 1, 0
        self.slowness *= self.band.slow_down
        LOGGER.warning("%s: back to the last good state, at %g of the rate", wrong, self.slowness)
        return wrong

    def _wrong(self, values: Mapping[str, float]) -> str | None:
        for name, value in values.items():
            if not math.isfinite(value):
                return f"'{name}' is not finite"
        for name, statistic in WATCHED.items():
            low, high = getattr(self.band, name)
            if statistic in values and not low <= values[statistic] <= high:
                return f"The {name} of {values[statistic]:.3f} is outside {low:g} to {high:g}"
        return None

    def _tensors(self) -> list[Tensor]:
        """Weights and Adam's state; their order is fixed after the first step of every optimiser."""
        networks, step = self.step.networks, self.step
        found: list[Tensor] = []
        for network in (networks.generator, networks.fine, networks.coarse, step.average):
            found.extend(parameter.data for parameter in network.parameters())
        for optimiser in (step.generator_adam, step.discriminator_adam):
            for group in optimiser.param_groups:
                for parameter in group["params"]:
                    state = optimiser.state.get(parameter, {})
                    found.extend(value for _, value in sorted(state.items()) if isinstance(value, Tensor))
        return found
