"""Small networks of a bundle that say for each pixel of a crop how much of it something covers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from hififace.errors import BundleError
from hififace.pixels import to_nchw
from hififace.types import FloatArray, RGBImage
from hififace.weights.sessions import Session, open_bfloat16_session, open_session


class ShareNetwork:
    """A network with the input `crop` (B, 3, H, W) RGB 0..1 and one output (B, 1, H, W) 0..1 (`models/small_unet.py`).

    Args:
        path: the graph.
        output: name of its output.
        size_hw: H and W.
        providers: as of `open_session`.
        threads: likewise.
        bfloat16: runs it as `open_bfloat16_session` does.

    Raises:
        WeightsError: the graph cannot be opened.
        RuntimeUnavailableError: bfloat16, where it is not possible.
        BundleError: it is another graph.
    """

    def __init__(
        self,
        path: Path,
        output: str,
        size_hw: tuple[int, int],
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        bfloat16: bool = False,
    ) -> None:
        self.session: Session = (
            open_bfloat16_session(path, threads=threads)
            if bfloat16
            else open_session(path, providers=providers, threads=threads)
        )
        self._output = output
        found = {one.name: tuple(one.shape[1:]) for one in (*self.session.inputs, *self.session.outputs)}
        expected = {"crop": (3, *size_hw), output: (1, *size_hw)}
        if found != expected:
            raise BundleError(
                f"{path.name} has the inputs and outputs {found}; {expected} was expected. Export the bundle again."
            )

    def shares(self, crop: RGBImage) -> FloatArray:
        """(H, W) 0 to 1 of a crop (H, W, 3)."""
        return np.asarray(self.session.run({"crop": to_nchw(crop[None])})[self._output][0, 0], np.float32)


def crop_of_side(crop: RGBImage, side: int) -> RGBImage:
    """A square crop (S, S, 3) at another side; itself where it has it."""
    if crop.shape[0] == side:
        return crop
    how = cv2.INTER_AREA if crop.shape[0] > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (side, side), interpolation=how), np.uint8)
