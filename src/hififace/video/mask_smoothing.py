"""Masks over time: a rim that trembles from frame to frame stands still, a hand before the face is followed at once.

In pixels of the face's crop, where a face that moves and turns stays in its place. The filter is the One-Euro filter's
idea (`smoothing.py`) for each pixel: a low-pass whose cut-off frequency rises with how fast things change. How fast is
judged by the pixel's surroundings, so that noise of single pixels stays noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.pixels import packed, unpacked
from hififace.types import FloatArray

_LEVELS = 65535
"""Masks are kept in whole steps of 1 / 65535, so that what is stored and read again is exactly what was there."""


@dataclass(frozen=True, slots=True)
class MaskSmoothingOptions:
    """How strongly masks are steadied; the defaults were chosen by `benchmarks/smoothing.py`."""

    min_cutoff_hz: float = 1.0
    """Cut-off frequency where nothing changes: lower is steadier."""
    beta: float = 100.0
    """Hz added where the mask of the surroundings differs by 1 from what it was: higher follows faster."""
    dead_change: float = 0.2
    """Differences of the surroundings up to this are taken for noise."""
    around: float = 1 / 24
    """Side of the surroundings over the side of the mask."""
    forget_s: float = 0.25
    """After so long without a mask, the next one passes unchanged."""

    def __post_init__(self) -> None:
        if not (self.min_cutoff_hz > 0 and self.beta >= 0 and self.dead_change >= 0 and self.around > 0):
            raise ValueError(f"mask smoothing options out of range: {self}")


class MaskSmoother:
    """Steadies the mask of one face."""

    def __init__(self, options: MaskSmoothingOptions | None = None) -> None:
        self.options = options or MaskSmoothingOptions()
        self.reset()

    def reset(self) -> None:
        """A cut, or another person: the next mask passes unchanged."""
        self._value: NDArray[np.uint16] | None = None
        self._time_s = 0.0

    def is_stale(self, time_s: float) -> bool:
        """Whether the last mask is so old that it says nothing any more."""
        return self._value is None or time_s - self._time_s > self.options.forget_s

    def update(self, mask: NDArray[np.floating], time_s: float) -> FloatArray:
        """The steadied mask.

        Args:
            mask: (N, N), 0 to 1, in pixels of the crop.
            time_s: time of the frame, later than the one before.

        Returns:
            (N, N) float32.
        """
        new: FloatArray = np.clip(np.asarray(mask, np.float32), 0.0, 1.0).astype(np.float32)
        step_s = time_s - self._time_s
        if (
            self._value is not None
            and self._value.shape == new.shape
            and step_s > 0
            and not self.is_stale(time_s)
        ):
            new = self._mixed(_as_float(self._value), new, step_s)
        self._value, self._time_s = np.rint(new * _LEVELS).astype(np.uint16), time_s
        return _as_float(self._value)

    def _mixed(self, old: FloatArray, new: FloatArray, step_s: float) -> FloatArray:
        options = self.options
        side = max(round(options.around * new.shape[0]), 1)
        change = np.abs(cv2.blur(new - old, (side, side), borderType=cv2.BORDER_REPLICATE))
        cutoff_hz = options.min_cutoff_hz + options.beta * np.maximum(change - options.dead_change, 0.0)
        ratio = (2.0 * np.pi * step_s) * cutoff_hz
        mixed: FloatArray = (old + ratio / (1.0 + ratio) * (new - old)).astype(np.float32)
        return mixed

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it."""
        if self._value is None:
            return {}
        mask = packed(self._value.astype("<u2"))
        return {"mask": mask, "shape": list(self._value.shape), "time_s": self._time_s}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` gave."""
        self.reset()
        if state:
            self._value = unpacked(state["mask"], "<u2", state["shape"]).astype(np.uint16)
            self._time_s = state["time_s"]


def _as_float(value: NDArray[np.uint16]) -> FloatArray:
    return np.asarray(value.astype(np.float32) / np.float32(_LEVELS), np.float32)


class TrackMasks:
    """The masks of all faces of a video, by the number of their track."""

    def __init__(self, options: MaskSmoothingOptions | None = None) -> None:
        self._options = options
        self._smoothers: dict[int, MaskSmoother] = {}

    def cut(self) -> None:
        """A new shot: nothing of the old one is mixed in."""
        self._smoothers.clear()

    def update(self, track: int, mask: NDArray[np.floating], time_s: float) -> FloatArray:
        """The steadied mask of one face; see `MaskSmoother.update`."""
        if track not in self._smoothers:
            self._smoothers[track] = MaskSmoother(self._options)
        return self._smoothers[track].update(mask, time_s)

    def forget(self, time_s: float) -> None:
        """Drop the faces that are gone: a video of many people stays small."""
        self._smoothers = {i: one for i, one in self._smoothers.items() if not one.is_stale(time_s)}

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it."""
        return {str(track): one.state() for track, one in self._smoothers.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` gave."""
        self._smoothers = {}
        for track, one in state.items():
            self._smoothers[int(track)] = MaskSmoother(self._options)
            self._smoothers[int(track)].restore(one)
