"""Frames of eyeglasses in an aligned crop: the target's stay in front of the new face.

The generator draws thin rims blurred, or leaves them out in part, and the mask for blending is eroded by more pixels
than they have. So a small network (`models/eyeglasses.py`) finds them, and what it finds is kept after erosion.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from hififace.errors import BundleError
from hififace.pixels import to_nchw
from hififace.types import FloatArray, RGBImage
from hififace.weights.sessions import Session, open_bfloat16_session, open_session

SIDE_PX: Final = 256
"""Side of the crop that the network is made for, in the proportions of the template `mini_128`."""
BAND_PX: Final = 128
"""Rows of it, from the top, that it sees."""
LEAST_AREA: Final = 0.0025
"""Of the crop's area: less than this is no frame, but a few pixels of a brow or a strand of hair."""
LEAST_COVERAGE: Final = 0.5
"""Some pixel of a frame is at least as sure as this."""


class EyeglassSegmenter:
    """Finds frames of eyeglasses.

    Args:
        path: the graph: input `crop` (B, 3, 128, 256) RGB 0..1, output `frames` (B, 1, 128, 256) 0..1.
        providers: as of `open_session`.
        threads: likewise.
        bfloat16: runs it as `open_bfloat16_session` does.

    Raises:
        WeightsError: the graph cannot be opened.
        RuntimeUnavailableError: bfloat16, where it is not possible.
        BundleError: it is another one.
    """

    def __init__(
        self,
        path: Path,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        bfloat16: bool = False,
    ) -> None:
        self._session: Session = (
            open_bfloat16_session(path, threads=threads)
            if bfloat16
            else open_session(path, providers=providers, threads=threads)
        )
        found = {one.name: tuple(one.shape[1:]) for one in (*self._session.inputs, *self._session.outputs)}
        expected = {"crop": (3, BAND_PX, SIDE_PX), "frames": (1, BAND_PX, SIDE_PX)}
        if found != expected:
            raise BundleError(
                f"{path.name} has the inputs and outputs {found}; {expected} was expected. Export the bundle again."
            )

    def frames(self, crop: RGBImage) -> FloatArray | None:
        """How much of each pixel a frame covers.

        Args:
            crop: (S, S, 3) aligned, at normal brightness.

        Returns:
            (S, S) 0 to 1; None where nobody wears glasses.
        """
        side = crop.shape[0]
        seen = crop
        if side != SIDE_PX:
            how = cv2.INTER_AREA if side > SIDE_PX else cv2.INTER_CUBIC
            seen = np.asarray(cv2.resize(crop, (SIDE_PX, SIDE_PX), interpolation=how), np.uint8)
        covered = self._session.run({"crop": to_nchw(seen[None, :BAND_PX])})["frames"][0, 0]
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
