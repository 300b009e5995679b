"""Mask: how much of the target's face was generated at all. A network that copies its target generates nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hififace.faces.masks import region_mask


def mask_area(mask: NDArray[np.floating], mesh: NDArray[np.floating]) -> float:
    """Sum of a mask over the area of the face.

    Args:
        mask: (H, W) 0..1 in pixels of the image: what the result took of the generated face.
        mesh: (468, 3) of the target, in the same pixels. The area is that of `region_mask`, forehead included.

    Returns:
        About 1 where exactly the face was generated, 0 for nothing.
    """
    size = (int(mask.shape[0]), int(mask.shape[1]))
    area = float(region_mask(mesh, size, dilate_px=0.0, feather_px=0.0).sum())
    return float(mask.sum(dtype=np.float64)) / max(area, 1.0)
