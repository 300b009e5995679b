"""Generated faces back into their image, through the network's own mask."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from hififace.faces.alignment import Border
from hififace.faces.blending import paste_back
from hififace.faces.exposure import dimmed
from hififace.faces.masks import border_fade, grey_as, match_colour, soft_erosion
from hififace.pixels import to_uint8
from hififace.swap.generate import GeneratedFace
from hififace.swap.options import SwapOptions
from hififace.types import FloatArray, RGBImage

EROSION_SIDE_PX = 256
"""Side of the crops for which the reference implementation chose its seven rounds of erosion."""


class Pasted(NamedTuple):
    """An image with one face put back."""

    image: RGBImage
    """(H, W, 3)."""
    crop: RGBImage
    """(N, N, 3) what was put back: its colour matched unless that was refused, grey in a grey image."""
    mask: FloatArray
    """(N, N) 0..1 through which it was."""


def paste(image: RGBImage, generated: GeneratedFace, options: SwapOptions, *, border: Border) -> Pasted:
    """Put one generated face back.

    Args:
        image: (H, W, 3) the image; it is not changed.
        generated: what the network made of one of its faces.
        options: how to blend.
        border: as the crop was aligned with.
    """
    mask = blending_mask(generated.mask, options)
    crop, target = generated.image, generated.target
    if options.match_colour:
        crop = match_colour(crop, _at_side(target.lit_crop, crop.shape[0]), mask)
    crop = grey_as(crop, target.lit_crop)
    back = dimmed(crop, target.gain)
    picture = paste_back(
        image, back, mask, generated.matrix, detail=options.detail, border=border, gain=target.gain
    )
    return Pasted(picture, back if back.dtype == np.uint8 else to_uint8(back), mask)


def blending_mask(mask: FloatArray, options: SwapOptions) -> FloatArray:
    """The network's mask (N, N), shrunk and softened as the options say.

    It tells where the network generated, which is a little more than it should be taken for: at the rim, generate and
    target are already mixed, and a hard edge there would show. Where the face is larger than the crop it reaches the
    border, and is faded toward it.
    """
    rounds = round(options.mask_erosion * mask.shape[0] / EROSION_SIDE_PX)
    soft = soft_erosion(mask, iterations=max(rounds, 1)) if options.mask_erosion else mask
    if options.mask_feather_px > 0:
        soft = np.asarray(cv2.GaussianBlur(soft, (0, 0), options.mask_feather_px), np.float32)
    return soft * border_fade(mask)


def _at_side(crop: RGBImage, side: int) -> RGBImage:
    if crop.shape[0] == side:
        return crop
    return np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
