"""Frames of eyeglasses in an aligned crop: the target's stay in front of the new face.

The generator draws thin rims blurred, or leaves them out in part, and the mask for blending is eroded by more pixels
than they have. So a small network (`models/small_unet.py`) finds them, and what it finds is kept after erosion.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from hififace.faces.share_network import ShareNetwork, crop_of_side
from hififace.types import FloatArray, RGBImage

SIDE_PX: Final = 256
"""Side of the crop that the network is made for, in the proportions of the template `mini_128`."""
BAND_PX: Final = 128
"""Rows of it, from the top, that it sees."""
LEAST_AREA: Final = 0.0025
"""Of the crop's area: less than this is no frame, but a few pixels of a brow or a strand of hair."""
LEAST_COVERAGE: Final = 0.5
"""Pixels that are surer than this count for that."""


class EyeglassSegmenter:
    """Finds frames of eyeglasses.

    Args:
        path: the graph, with the output `frames`.
        how: further arguments of `ShareNetwork`.
    """

    def __init__(self, path: Path, **how: Any) -> None:
        self.network = ShareNetwork(path, "frames", (BAND_PX, SIDE_PX), **how)

    def frames(self, crop: RGBImage) -> FloatArray | None:
        """How much of each pixel a frame covers.

        Args:
            crop: (S, S, 3) aligned, at normal brightness.

        Returns:
            (S, S) 0 to 1; None where nobody wears glasses.
        """
        side = crop.shape[0]
        covered = self.network.shares(crop_of_side(crop, SIDE_PX)[:BAND_PX])
        sure = covered > LEAST_COVERAGE
        if np.count_nonzero(sure) < LEAST_AREA * SIDE_PX**2:
            return None
        whole = np.zeros((SIDE_PX, SIDE_PX), np.float32)
        whole[:BAND_PX] = covered
        if side != SIDE_PX:
            whole = np.asarray(cv2.resize(whole, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
        return whole


def keep_frames(mask: FloatArray, frames: FloatArray) -> FloatArray:
    """A mask for blending without the frames.

    Args:
        mask: (R, R) 0 to 1, of the square of the crop.
        frames: (S, S) 0 to 1, R up to S.

    Returns:
        (S, S).
    """
    side = frames.shape[0]
    if mask.shape[0] != side:
        mask = np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
    # A little wider: the generator's own rims, which lie about there, are covered as well.
    sigma = side / SIDE_PX
    grown = np.asarray(cv2.dilate(frames, np.ones((3, 3), np.uint8)), np.float32)
    kept = np.clip(1.25 * cv2.GaussianBlur(grown, (0, 0), 0.7 * sigma), 0.0, 1.0)
    left: FloatArray = mask * (1.0 - kept).astype(np.float32)
    return left
