"""How blurred the new faces of a video are, steadied: what is read off single frames trembles, focus does not."""

from __future__ import annotations

import math
from typing import Any, Final

STEADY_S: Final = 0.2
"""Time constant: a pull of focus takes longer, a shake of the camera about as long."""

FORGET_S: Final = 0.25
"""After so long without a face, the next value passes unchanged."""


class TrackBlurs:
    """The blur of all faces, by the number of their track."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[float, float]] = {}

    def cut(self) -> None:
        """A new shot: nothing of the old one is mixed in."""
        self._values.clear()

    def update(self, track: int, blur_px: float, time_s: float) -> float:
        """The steadied value.

        Args:
            track: whose face.
            blur_px: of this frame alone, in pixels of the generated face.
            time_s: of the frame, later than the one before.
        """
        before, then_s = self._values.get(track, (blur_px, -math.inf))
        if 0 < time_s - then_s <= FORGET_S:
            blur_px = before + (1.0 - math.exp((then_s - time_s) / STEADY_S)) * (blur_px - before)
        self._values[track] = blur_px, time_s
        return blur_px

    def forget(self, time_s: float) -> None:
        """Drop the faces that are gone: a video of many people stays small."""
        self._values = {i: one for i, one in self._values.items() if time_s - one[1] <= FORGET_S}

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it."""
        return {str(track): list(one) for track, one in self._values.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` gave."""
        self._values = {int(track): (one[0], one[1]) for track, one in state.items()}
