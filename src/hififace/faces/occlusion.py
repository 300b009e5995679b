"""What lies before a face: it stays in front, whatever the network generated there.

The generator has seen few hands, masks, dark glasses and microphones, and draws a face over them. A small network finds
them where a bundle has one (`OccluderSegmenter`). Besides, what is not skin is told from a face by colour: skin of one
person in one light has one hue, and large parts of a face are neither far from it nor black. What is small (eyes,
brows, lips, nostrils, rims of glasses) is the face's own. So are a beard, and what is red, or brighter than the skin
without another hue, or of the colour of skin.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.share_network import ShareNetwork, crop_of_side
from hififace.types import FloatArray, RGBImage

NETWORK_SIDE_PX: Final = 128
"""Side of the crop that the network is made for, in the proportions of the template `mini_128`."""

SURE, POSSIBLE = 0.7, 0.25
"""Shares from which the network is sure that something covers a face, and from which it may."""

LEAST_SURE_AREA = 0.006
"""In areas of the crop, so much of a region has to be sure."""

OTHER_HUE = 22.0
"""Distance from the skin's a and b (CIE L*a*b*) from which a colour is not this person's skin."""

RED = 8.0
"""Lips and make-up are redder than the skin by more, and are no cover."""

DARK_SHARE, COLD_SHARE = 0.45, 0.15
"""What has less than this share of the skin's lightness, and less than this share of its colour, is black or grey; skin
in shadow keeps its colour..."""

SMOOTH_LEVELS = 4.0
"""...and where its lightness varies by less than this within a few pixels, it is no beard."""

DARKEST_HUE_LEVEL = 16.0
"""Below this lightness hue says nothing."""

SMALL_SHARE = 1 / 22
"""Radius, in sides of the crop, of the largest disc that fits into features of the face itself."""

LEAST_AREA_SHARE = 0.012
"""Smaller regions, in areas of the crop, are taken for the face's own."""

GROWN_SHARE = 1 / 32
"""Regions are grown by so much, as their rims are mixed with skin."""

LARGEST_SIDE_PX = 128
"""Covers are large: finer crops are looked at at this size."""

SKIN_SHARES = (0.26, 0.3)
"""Half axes of the ellipse in the middle of the crop from which the colour of the skin is taken, in sides."""


class OccluderSegmenter:
    """Finds what covers a face: hands, microphones, masks.

    Args:
        path: the graph, with the output `covered`.
        how: further arguments of `ShareNetwork`.
    """

    def __init__(self, path: Path, **how: Any) -> None:
        self.network = ShareNetwork(path, "covered", (NETWORK_SIDE_PX, NETWORK_SIDE_PX), **how)

    def covered(self, crop: RGBImage) -> FloatArray:
        """How much of each pixel is covered.

        Args:
            crop: (S, S, 3) an aligned face, in ordinary light.

        Returns:
            (128, 128) 0 to 1; 0 where the network is not sure, and where too little is covered.
        """
        shares = self.network.shares(crop_of_side(crop, NETWORK_SIDE_PX))
        sure = (shares > SURE).astype(np.uint8)
        # Of what may be covered, only what hangs together with something that surely is.
        num, labels = cv2.connectedComponents((shares > POSSIBLE).astype(np.uint8))
        areas = np.bincount(labels[sure > 0], minlength=num)
        kept = areas >= LEAST_SURE_AREA * shares.size
        kept[0] = False
        return np.asarray(np.where(kept[labels], shares, 0.0), np.float32)


def occlusion(
    crop: RGBImage, mask: NDArray[np.floating], network: OccluderSegmenter | None = None
) -> FloatArray:
    """What covers a face, by its colour and by a network.

    Args:
        crop: (S, S, 3) an aligned face, in ordinary light.
        mask: (R, R) 0 to 1, of the same square: where it would be replaced.
        network: of the bundle, where it has one.

    Returns:
        (R, R) 0 where the face is free, 1 where something covers it, with a soft rim.
    """
    whole = mask.shape[0]
    side = min(crop.shape[0], LARGEST_SIDE_PX)
    reduced = crop_of_side(crop, side)
    coarse = cv2.resize(np.asarray(mask, np.float32), (side, side), interpolation=cv2.INTER_AREA)
    covered = _covered(reduced, np.asarray(coarse, np.float32))
    found = np.zeros((whole, whole), np.float32)
    for part in (covered, None if network is None else network.covered(reduced)):
        if part is not None and part.any():
            enlarged = cv2.resize(part, (whole, whole), interpolation=cv2.INTER_LINEAR)
            np.maximum(found, enlarged, out=found)
    return found


def _covered(crop: RGBImage, mask: FloatArray) -> FloatArray | None:
    """(S, S) as `occlusion`, of a crop and a mask of one size; None where nothing covers the face."""
    side = crop.shape[0]
    lab = cv2.cvtColor(crop.astype(np.float32) / np.float32(255.0), cv2.COLOR_RGB2LAB)
    skin = _skin(np.asarray(lab, np.float32))
    light, a, b = cv2.split(lab)
    redder, yellower = a - skin[1], b - skin[2]
    warmth = (a * skin[1] + b * skin[2]) / max(float(skin[1] ** 2 + skin[2] ** 2), 1.0)
    window = max(side // 24, 3) | 1
    mean = cv2.blur(light, (window, window))
    variance = cv2.blur(light**2, (window, window)) - mean**2
    cold = warmth < COLD_SHARE
    black = (mean < DARK_SHARE * skin[0]) & cold & (variance < SMOOTH_LEVELS**2)
    other = (cv2.magnitude(redder, yellower) > OTHER_HUE) & (light > DARKEST_HUE_LEVEL) & (redder < RED)
    # A highlight is skin with less of its colour: bright, and neither bluer nor greener than grey.
    other &= (light <= skin[0]) | (warmth <= 0.0)
    seeds = cv2.morphologyEx(
        _image((black | other) & (mask > 0.05)), cv2.MORPH_OPEN, _disc(side * SMALL_SHARE)
    )
    # Opening rounds corners off, and at an edge nothing is smooth: both are given back.
    around = other | ((light < DARK_SHARE * skin[0]) & cold)
    covered = np.minimum(cv2.dilate(seeds, _disc(side * SMALL_SHARE)), _image(around & (mask > 0.05)))
    covered = np.maximum(covered, seeds)
    num, labels, stats, _ = cv2.connectedComponentsWithStats(covered)
    kept = np.zeros(num, bool)
    kept[1:] = stats[1:, cv2.CC_STAT_AREA] >= LEAST_AREA_SHARE * side * side
    if not kept.any():
        return None
    region = cv2.dilate(kept[labels].astype(np.float32), _disc(side * GROWN_SHARE))
    soft = cv2.GaussianBlur(region, (0, 0), max(side * GROWN_SHARE / 4, 0.5))
    return np.asarray(np.clip(soft, 0.0, 1.0), np.float32)


def _skin(lab: FloatArray) -> FloatArray:
    """(3,) the skin's colour: the median of what is neither the darkest nor the brightest in the middle of the face."""
    inside = lab[_middle(lab.shape[0])]
    warm = inside[(inside[:, 1] > 3.0) & (inside[:, 2] > 0.0)]  # skin of every tone is red and yellow
    chosen = warm if len(warm) >= 0.15 * len(inside) else inside
    low, high = np.percentile(chosen[:, 0], (30, 95))
    chosen = chosen[(chosen[:, 0] >= low) & (chosen[:, 0] <= high)]
    # Each channel in memory of its own: along an axis of three, numpy takes twice as long.
    return np.asarray([np.median(channel) for channel in np.ascontiguousarray(chosen.T)], np.float32)


@lru_cache(maxsize=8)
def _middle(side: int) -> NDArray[np.bool_]:
    """(side, side) the ellipse in the middle of a crop."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    across, down = SKIN_SHARES
    return np.asarray(np.add.outer((axis / down) ** 2, (axis / across) ** 2) <= 1.0)


def _image(where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return where.astype(np.uint8) * np.uint8(255)


def _disc(radius: float) -> NDArray[np.uint8]:
    size = 2 * max(round(radius), 1) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
