"""When the detector looks at a video, and at which size: often and coarsely, now and then at everything.

Looking for the smallest faces costs ten times what looking for large ones does, and new faces are seldom tiny. So the
frames that are looked at at all are seen at a third or so of their size, every eighth of them whole; and whole
wherever it matters, at the beginning, at cuts and where a face was lost. An image that has not changed since it was
found empty is not looked at again.

While every known face is followed without doubt, looks only have to find new ones: four a second, one of them whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hififace.media.frames import Frame
from hififace.pixels import packed, unpacked
from hififace.types import Detection, Face, RGBImage

FindFaces = Callable[[RGBImage], list[Face]]

WHOLE_EVERY: Final = 8
"""Every N-th of the frames that are looked at is seen at its own size."""

COARSE_SHORT_SIDE_PX: Final = 360
"""Short side of a coarse look: shows faces from 24 px there on, 48 px in 720p and 72 px in 1080p."""

SETTLED_S: Final = 0.24
"""While nothing is in doubt, there is a look when so much time has passed since the last one..."""
SETTLED_WHOLE_S: Final = 0.96
"""...and it sees the whole frame at its own size when so much has passed since the last that did."""

_NEVER_S: Final = -1e9
_NEARLY_S: Final = 1e-6
"""Times of a rate such as 25 frames per second are not exact in binary."""

RELIABLE_PX: Final = 32.0
"""Faces that a look surely shows, in its own pixels: somewhat more than the detector needs."""

LEAST_GAIN: Final = 1.5
"""A video less than so many times larger than a coarse look is always seen whole."""

SAME_LEVELS: Final = 2
"""An image none of whose block averages changed by more is the same image. A face of 24 px that appears in 4K
changes the block of 60 x 60 px around it by more as soon as it differs by 13 levels from what was there."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the detector saw of one frame."""

    detections: tuple[Detection, ...]
    """In pixels of the frame."""
    reliable_px: float
    """Faces from this size on would have been seen."""


class DetectionSchedule:
    """Decides for every frame, and looks. `state` and `restore` carry it over an interruption."""

    def __init__(self, find_faces: FindFaces, every: int) -> None:
        """Nothing was looked at yet.

        Args:
            find_faces: the detector, for images of any size.
            every: look every so many frames.
        """
        self._find_faces, self._every = find_faces, every
        self._empty: NDArray[np.uint8] | None = None
        self._looked_s = self._looked_whole_s = _NEVER_S

    def look(
        self,
        frame: Frame,
        thumbnail: NDArray[np.uint8],
        *,
        force: bool,
        anybody: bool,
        settled: bool = False,
    ) -> Look | None:
        """Look at a frame, or decide not to.

        Args:
            frame: the next one.
            thumbnail: (h, w) its block averages.
            force: look at the whole frame, whatever the schedule says.
            anybody: whether faces are being followed: then the image is never taken for an empty one.
            settled: whether those who are followed are where they are without doubt.
        """
        time_s = float(frame.time_s)
        whole = frame.index % (self._every * WHOLE_EVERY) == 0
        if settled:
            whole = time_s - self._looked_whole_s > SETTLED_WHOLE_S - _NEARLY_S
        if not force and frame.index % self._every:
            return None
        if settled and not force and time_s - self._looked_s < SETTLED_S - _NEARLY_S:
            return None
        whole |= force
        if not force and not anybody and self._is_as_empty_as_before(thumbnail):
            return None
        size = None if whole else coarse_size(*frame.size)
        if size is None:
            found = tuple(face.detection for face in self._find_faces(frame.rgb()))
        else:
            factor = (frame.size[0] / size[0], frame.size[1] / size[1])
            found = tuple(
                enlarged(face.detection, *factor) for face in self._find_faces(frame.small_rgb(*size))
            )
        self._looked_s = time_s
        self._looked_whole_s = time_s if size is None else self._looked_whole_s
        # What a coarse look does not see may still be there.
        self._empty = thumbnail if size is None and not found else None if found else self._empty
        return Look(found, RELIABLE_PX * (1.0 if size is None else frame.size[1] / size[1]))

    def _is_as_empty_as_before(self, thumbnail: NDArray[np.uint8]) -> bool:
        last = self._empty
        if last is None or last.shape != thumbnail.shape:
            return False
        return int(np.abs(last.astype(np.int16) - thumbnail).max()) <= SAME_LEVELS

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it."""
        looked: dict[str, Any] = {"looked_s": self._looked_s, "looked_whole_s": self._looked_whole_s}
        if self._empty is None:
            return looked
        return looked | {"empty": packed(self._empty), "shape": list(self._empty.shape)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` gave."""
        self._looked_s = state.get("looked_s", _NEVER_S)
        self._looked_whole_s = state.get("looked_whole_s", _NEVER_S)
        self._empty = None
        if "empty" in state:
            self._empty = unpacked(state["empty"], np.uint8, state["shape"])


def coarse_size(width: int, height: int) -> tuple[int, int] | None:
    """Width and height of a coarse look at an image of that size; None where it would hardly be smaller."""
    factor = min(width, height) / COARSE_SHORT_SIDE_PX
    if factor < LEAST_GAIN:
        return None
    return round(width / factor), round(height / factor)


def enlarged(found: Detection, factor_x: float, factor_y: float) -> Detection:
    """A detection of a smaller image in pixels of the larger one; boxes are edges, points are centres."""
    factor = np.array([factor_x, factor_y], np.float32)
    return replace(
        found,
        box=(found.box.reshape(2, 2) * factor).reshape(4).astype(np.float32),
        points=((found.points + 0.5) * factor - 0.5).astype(np.float32),
    )
