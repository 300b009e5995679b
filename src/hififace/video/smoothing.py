"""Steady points over time: less jitter on a still face without lag on a moving one, and bridges over short losses.

The filter is One-Euro (Casiez, Roussel and Vogel, "1 EUR Filter: A Simple Speed-based Low-pass Filter for Noisy
Input in Interactive Systems", CHI 2012): an exponential low-pass whose cut-off frequency rises with speed. Ours
differs in two points. Speed is measured in face sizes per second, so that one setting serves a face of 40 px and
one of 800; and it is split into the motion of the face as a whole, whose noise is small because all points
share it, and the motion of each point within the face (a mouth that speaks in a still head), which must be
clearly above the noise of one point before it counts.

Time stamps, never frame counts: with a variable frame rate, steps differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hififace.types import FloatArray


@dataclass(frozen=True, slots=True)
class SmoothingOptions:
    """How strongly faces are steadied; the defaults were chosen by `benchmarks/smoothing.py`."""

    min_cutoff_hz: float = 1.0
    """Cut-off frequency for a face at rest: lower is steadier."""
    beta: float = 60.0
    """Hz added for each face size per second of speed: higher follows faster."""
    speed_cutoff_hz: float = 3.0
    """Cut-off of the speed itself, which would otherwise be noise."""
    dead_speed: float = 0.04
    """Face sizes per second at which the whole face counts as resting: below it, speed is mostly noise."""
    own_dead_speed: float = 0.2
    """The same for one point within the face, whose speed is measured less well."""
    bridge_s: float = 0.25
    """How long a lost face is carried on along its path before it is given up."""

    def __post_init__(self) -> None:
        for name in ("min_cutoff_hz", "speed_cutoff_hz"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0, got {getattr(self, name)}")
        for name in ("beta", "dead_speed", "own_dead_speed", "bridge_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


def smoothing_factor(cutoff_hz: float, step_s: float) -> float:
    """The weight of the new value of an exponential low-pass, 0..1: a = r / (1 + r), r = 2 pi f dt (eq. 5, 6)."""
    ratio = 2.0 * math.pi * cutoff_hz * step_s
    return ratio / (1.0 + ratio)


class OneEuroFilter:
    """The filter for the points of one face, or for a few numbers that describe one motion.

    Attributes:
        value: the last filtered array, None before the first.
        speed: the filtered velocity, units per second, None before the first.
    """

    def __init__(self, options: SmoothingOptions | None = None) -> None:
        self.options = options or SmoothingOptions()
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next value passes unchanged."""
        self.value: NDArray[np.float64] | None = None
        self.speed: NDArray[np.float64] | None = None
        self._time_s = 0.0

    def __call__(self, values: NDArray[Any], time_s: float, scale: float = 1.0) -> NDArray[np.float64]:
        """Filter the next array.

        Args:
            values: (N, 2) or (N, 3) points, or (N,) numbers of one kind; the same shape until `reset`.
            time_s: its time, later than the one before.
            scale: size of the thing that moves, in units of `values`: speed is measured in it.

        Raises:
            ValueError: time does not advance, or the shape changes.
        """
        new = np.asarray(values, dtype=np.float64)
        if self.value is None or self.speed is None:
            self.value, self.speed, self._time_s = new.copy(), np.zeros_like(new), time_s
            return self.value + 0.0
        step_s = time_s - self._time_s
        if step_s <= 0 or new.shape != self.value.shape:
            raise ValueError(
                f"expected {self.value.shape} after {self._time_s} s, got {new.shape} at {time_s} s"
            )
        options = self.options
        raw_speed = (new - self.value) / step_s
        self.speed += smoothing_factor(options.speed_cutoff_hz, step_s) * (raw_speed - self.speed)
        cutoff = options.min_cutoff_hz + options.beta * self._relative_speed(max(scale, 1e-9))
        ratio = 2.0 * math.pi * cutoff * step_s
        self.value += ratio / (1.0 + ratio) * (new - self.value)
        self._time_s = time_s
        return self.value + 0.0

    def _relative_speed(self, scale: float) -> NDArray[np.float64]:
        """Speed above rest in sizes per second: one number, or (N, 1) for points (N, 2 or 3)."""
        assert self.speed is not None
        options = self.options
        if self.speed.ndim < 2:
            # Nothing is averaged here: as noisy as a single point.
            return np.asarray(np.maximum(np.linalg.norm(self.speed) / scale - options.own_dead_speed, 0.0))
        common = self.speed.mean(axis=0)
        own = np.linalg.norm(self.speed - common, axis=-1, keepdims=True) / scale
        whole = max(float(np.linalg.norm(common)) / scale - options.dead_speed, 0.0)
        return np.asarray(whole + np.maximum(own - options.own_dead_speed, 0.0))

    def ahead(self, time_s: float) -> NDArray[np.float64] | None:
        """Where the values would be if they went on: the speed dies away within a tenth of a second."""
        if self.value is None or self.speed is None:
            return None
        fade_s = 0.1
        travel_s = fade_s * (1.0 - math.exp(-max(time_s - self._time_s, 0.0) / fade_s))
        return self.value + self.speed * travel_s

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it."""
        if self.value is None or self.speed is None:
            return {}
        return {"value": self.value.tolist(), "speed": self.speed.tolist(), "time_s": self._time_s}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` gave."""
        self.reset()
        if state:
            self.value = np.asarray(state["value"], dtype=np.float64)
            self.speed = np.asarray(state["speed"], dtype=np.float64)
            self._time_s = float(state["time_s"])


class PointSmoother:
    """Steadies the points of one face (five or 468, 2D or 3D) and carries them over short losses."""

    def __init__(self, options: SmoothingOptions | None = None) -> None:
        self._filter = OneEuroFilter(options)
        self._seen_s = -math.inf

    def reset(self) -> None:
        """A cut, or another person: the past says nothing any more."""
        self._filter.reset()
        self._seen_s = -math.inf

    def update(self, points: NDArray[Any] | None, time_s: float) -> FloatArray | None:
        """The face's points now.

        Args:
            points: (N, 2) or (N, 3) as measured, or None where the face was not found.
            time_s: time of the frame.

        Returns:
            Same shape, float32; while the face is lost, its path goes on for `bridge_s`; then None.
        """
        if points is None:
            if time_s - self._seen_s > self._filter.options.bridge_s:
                self.reset()
                return None
            guess = self._filter.ahead(time_s)
            return None if guess is None else guess.astype(np.float32)
        self._seen_s = time_s
        return self._filter(points, time_s, face_size(points)).astype(np.float32)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it."""
        return {
            "filter": self._filter.state(),
            "seen_s": self._seen_s if self._filter.value is not None else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` gave."""
        self._filter.restore(state["filter"])
        self._seen_s = -math.inf if state["seen_s"] is None else float(state["seen_s"])


def face_size(points: NDArray[Any]) -> float:
    """Size of a face from any set of its points: root mean square distance from their centre, times two."""
    flat = np.asarray(points, dtype=np.float64)[:, :2]
    return 2.0 * float(np.sqrt(((flat - flat.mean(axis=0)) ** 2).sum(axis=1).mean()))
