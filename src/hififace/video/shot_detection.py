"""Where one shot ends and the next begins, from brightness thumbnails alone.

Two images belong to one shot if their *structure* agrees, whatever their brightness: the correlation of their
gradients, at rest or after the shift that fits best (a pan). An image without structure (a flash, a fade through
black) decides nothing; the next one with structure is compared with the last one that had some.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.pixels import packed, unpacked
from hififace.types import FloatArray

_FLAT = 0.5
"""Mean gradient (levels per pixel) below which an image has no structure to compare."""

_MEMORY = 0.85
"""How much of the usual difference is kept from frame to frame."""


class CutDetector:
    """Says for each frame whether a new shot begins with it.

    Fast motion raises the bar: a cut must stand out from the differences before it.

    Attributes:
        difference: of the last frame from the one before, 0 (same) to 1 (nothing in common).
    """

    def __init__(self, threshold: float = 0.55, margin: float = 0.3) -> None:
        """Set the bar.

        Args:
            threshold: least difference of a cut, 0 (same) to 1 (nothing in common).
            margin: how far above the usual difference of the last frames it must lie.
        """
        self._threshold, self._margin = threshold, margin
        self.reset()

    def reset(self) -> None:
        """Forget the video so far."""
        self._last: NDArray[np.uint8] | None = None
        self._usual = self.difference = 0.0

    def update(self, thumbnail: NDArray[np.uint8]) -> bool:
        """Whether this frame begins a new shot; the first frame does not.

        Args:
            thumbnail: (h, w) uint8 brightness, e.g. 36 x 64 (`Frame.thumbnail`).
        """
        self.difference = 0.0
        if np.abs(gradients(thumbnail)).mean() < _FLAT:
            return False
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        self.difference = found = difference(last, thumbnail)
        if found > max(self._threshold, min(self._usual + self._margin, 0.9)):
            self.cut()
            return True
        self._usual = _MEMORY * self._usual + (1.0 - _MEMORY) * found
        return False

    def cut(self) -> None:
        """A new shot began, whoever saw it: what was usual before says nothing any more."""
        self._usual = 0.0

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON can hold it."""
        if self._last is None:
            return {"usual": self._usual}
        return {"usual": self._usual, "shape": list(self._last.shape), "last": packed(self._last)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` gave."""
        self.reset()
        self._usual = float(state["usual"])
        if "last" in state:
            self._last = unpacked(state["last"], np.uint8, state["shape"])


def gradients(thumbnail: NDArray[np.uint8]) -> FloatArray:
    """(2, h, w) float32 differences to the neighbours across and down, levels per pixel."""
    smooth = cv2.GaussianBlur(thumbnail.astype(np.float32), (3, 3), 0)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    return np.stack([across, down]).astype(np.float32)


def difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """0 for images of the same structure, about 1 for images that have nothing in common."""
    a, b = gradients(first), gradients(second)
    still = _correlation(a, b)
    if still > 0.8:
        return 1.0 - still
    # Bring b back over a: the shift comes from the images, the verdict from the gradients.
    height, width = first.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(first.astype(np.float32), second.astype(np.float32), window)
    x, y = round(dx), round(dy)
    if (x, y) == (0, 0) or abs(x) > width // 2 or abs(y) > height // 2:
        return 1.0 - max(still, 0.0)
    over_a = a[:, max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)]
    over_b = b[:, max(y, 0) : height - max(-y, 0), max(x, 0) : width - max(-x, 0)]
    return 1.0 - max(still, _correlation(over_a, over_b), 0.0)


def _correlation(a: FloatArray, b: FloatArray) -> float:
    """Cosine between two gradient fields, -1 to 1."""
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0
