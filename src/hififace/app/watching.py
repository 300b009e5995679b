"""A look at a video while it is worked on: now and then one finished frame, small and labelled.

Only for a page that asks: nobody looks, nothing is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from hififace.media.frames import Frame
from hififace.provenance.claim import Claim
from hififace.swap.output import live_jpeg
from hififace.types import RGBImage

EVERY_S: Final = 0.7
"""At most so often a frame is made ready."""
_PATIENCE_S: Final = 5.0
"""A page that has not asked for so long is taken for closed."""
_SIDE_PX: Final = 960
"""Longest side of what is shown."""


class Watching:
    """The last frame that a page may show of one video at work. Threads may share one.

    Args:
        claim: what the frame, and the video, says about itself.
        clock: seconds that only grow.
    """

    def __init__(self, claim: Claim, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.claim, self._clock = claim, clock
        self._asked_s, self._made_s = clock(), -1e9
        self._jpeg: bytes | None = None

    def take(self, frame: Frame) -> None:
        """A finished frame."""
        now = self._clock()
        if now - self._made_s >= EVERY_S and now - self._asked_s < _PATIENCE_S:
            self._made_s = now
            self._jpeg = live_jpeg(_small(frame.rgb()), self.claim)

    def latest(self) -> bytes | None:
        """A labelled JPEG; None before the first."""
        self._asked_s = self._clock()
        return self._jpeg


def _small(pixels: RGBImage) -> RGBImage:
    height, width = pixels.shape[:2]
    scale = _SIDE_PX / max(height, width)
    if scale >= 1.0:
        return pixels
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
