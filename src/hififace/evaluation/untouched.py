"""Measures of properties that a swap should keep: occluders, light, and no glasses that only the source wears.

- `occluder_change`: mean absolute difference of result and target on the occluder, in levels of 255; ideally 0. For
  glasses, `frames_kept` is the remaining contrast of their frames against the skin, in percent.
- `dim_error`: a target at a quarter of its levels should give the bright target's result at a quarter. Mean absolute
  difference in levels of the bright one, on the face; rounding to 8 bits alone gives 1.4.
- `frames_leak`: how much darker the result is, along the frames that glasses would have on the *target*, with frames
  drawn on the source than without, in percent of the darkening by frames drawn there; ideally 0. `frames_seen`: above
  15 %.

All are differences between two known images, so no classifier of glasses is needed.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.evaluation.scenes import glasses_lines
from hififace.faces.masks import region_mask
from hififace.types import RGBImage

FRAMES_LEVEL: Final = 23.0
"""Luma of the drawn frames."""

SEEN_PERCENT: Final = 15.0


def occluder_change(result: RGBImage, target: RGBImage, drawn: NDArray[np.bool_]) -> float:
    """`occluder_change` of the module's docstring; NaN if nothing was drawn within the image.

    Args:
        result: (H, W, 3).
        target: (H, W, 3) with the occluder.
        drawn: (H, W) mask of the occluder.
    """
    if not drawn.any():
        return float("nan")
    return float(np.abs(result[drawn].astype(np.float32) - target[drawn]).mean())


def frames_kept(result: RGBImage, target: RGBImage, drawn: NDArray[np.bool_]) -> float:
    """`frames_kept` of the module's docstring; NaN if nothing was drawn or the skin is as dark as the frames."""
    if not drawn.any():
        return float("nan")
    near = cv2.dilate(drawn.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    skin = near & ~(cv2.dilate(drawn.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)
    before, after = _luma(target), _luma(result)
    contrast = float(before[skin].mean() - before[drawn].mean()) if skin.any() else 0.0
    if contrast < 8.0:
        return float("nan")
    return 100.0 * (1.0 - float(np.abs(after[drawn] - before[drawn]).mean()) / contrast)


def dim_error(dim: RGBImage, bright: RGBImage, gain: float, mesh: NDArray[np.floating]) -> float:
    """`dim_error` of the module's docstring.

    Args:
        dim: (H, W, 3) the result of a target whose levels were multiplied by `gain`.
        bright: (H, W, 3) the result of the original target.
        gain: below 1.
        mesh: (468, 3) of the target.
    """
    size = (dim.shape[0], dim.shape[1])
    face = region_mask(mesh, size, dilate_px=0.0, feather_px=0.0) > 0
    return float(np.abs(dim[face] / np.float32(gain) - bright[face]).mean()) if face.any() else float("nan")


def frames_leak(framed: RGBImage, plain: RGBImage, mesh: NDArray[np.floating]) -> float:
    """`frames_leak` of the module's docstring; NaN if the face is as dark as the frames.

    Args:
        framed: (H, W, 3) the result with frames drawn on the source.
        plain: (H, W, 3) the result without them.
        mesh: (468, 3) of the target.
    """
    cover = np.zeros(framed.shape[:2], np.uint8)
    glasses_lines(cover, np.asarray(mesh, np.float64)[:, :2])
    where = cover > 0
    if not where.any():
        return float("nan")
    without = _luma(plain)[where]
    full = float(without.mean()) - FRAMES_LEVEL
    return 100.0 * float((without - _luma(framed)[where]).mean()) / full if full > 8.0 else float("nan")


def _luma(image: RGBImage) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
