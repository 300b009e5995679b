"""Augmentations of targets that the network must undo, or must keep; on the device, with static shapes.

    warp_outline   changes the jaw's outline in the input; the label is the photo, so the network learns to move
    outlines occluders      objects in front of the face, in input and label, so the network learns to keep them dim
    darkens input and label

Letters: B images, S their side.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

CHIN, LEFT_EYE, RIGHT_EYE = 152, 33, 263  # mesh points: chin, outer eye corners
LEFT_JAW, RIGHT_JAW = 172, 397  # angles of the jaw


def warp_outline(images: Tensor, points: Tensor, width: Tensor, length: Tensor) -> Tensor:
    """Warps the outline of the lower face; eyes, nose and mouth keep their places.

    A backward warp: x' = cx + u (1 + a w(v) g(u)),  y' = y + b h r(v) f(u), with u from the face's axis, v from the
    eyes (0) to the chin (1), h their distance. g is 0 within the mouth's width and 1 at the jaw, r begins below the
    lips.

    Args:
        images: (B, 3, S, S).
        points: (B, P, 2 or more) mesh points, crop pixels.
        width: (B,) a: 0.1 makes the jaw about 10 % narrower, -0.1 wider.
        length: (B,) b: 0.05 shortens, -0.05 lengthens the chin by 5 % of h.

    Returns:
        (B, 3, S, S).
    """
    side = images.shape[-1]
    eyes = 0.5 * (points[:, LEFT_EYE, :2] + points[:, RIGHT_EYE, :2])
    top, height = eyes[:, 1], (points[:, CHIN, 1] - eyes[:, 1]).clamp_min(side / 8)
    half = (0.5 * (points[:, RIGHT_JAW, 0] - points[:, LEFT_JAW, 0])).abs().clamp_min(side / 8)
    middle = 0.5 * (points[:, RIGHT_JAW, 0] + points[:, LEFT_JAW, 0])
    steps = torch.arange(side, device=images.device, dtype=torch.float32)
    x, y = steps[None, None, :], steps[None, :, None]
    u = (x - middle[:, None, None]) / half[:, None, None]  # (B, 1, S)
    v = (y - top[:, None, None]) / height[:, None, None]  # (B, S, 1)
    below = torch.exp(-((v - 1.0).clamp_min(0.0) / 0.35).square())
    beyond = torch.exp(-((u.abs() - 1.0).clamp_min(0.0) / 0.5).square())
    sideways = _rise(v, 0.1, 0.7) * below * _rise(u.abs(), 0.4, 0.95) * beyond  # (B, S, S)
    downwards = _rise(v, 0.72, 1.0) * below * beyond
    x_from = x + u * half[:, None, None] * width[:, None, None] * sideways
    y_from = y + height[:, None, None] * length[:, None, None] * downwards
    grid = torch.stack(((x_from + 0.5) * (2.0 / side) - 1.0, (y_from + 0.5) * (2.0 / side) - 1.0), dim=-1)
    return F.grid_sample(
        images, grid.to(images.dtype), mode="bilinear", padding_mode="border", align_corners=False
    )


class Occluders(NamedTuple):
    """Objects in front of faces."""

    cover: Tensor
    """(B, 1, S, S) 0..1: opacity at each pixel."""
    look: Tensor
    """(B, 3, S, S) RGB 0..1."""


def draw_occluders(images: Tensor, share: float) -> Occluders:
    """Draws a bar or an ellipse at a random place over some of the faces, in one colour or filled from another image.

    Args:
        images: (B, 3, S, S); an occluder may be filled with pixels of another image of the batch.
        share: 0 to 1, probability of an occluder for each image.
    """
    batch, _, side, _ = images.shape
    r = torch.rand(12, batch, 1, 1, device=images.device)
    steps = (torch.arange(side, device=images.device, dtype=torch.float32) + 0.5) / side - 0.5
    x, y = steps[None, None, :] - (r[0] - 0.5) * 0.7, steps[None, :, None] - (r[1] - 0.4) * 0.7
    angle = r[2] * torch.pi
    across, along = torch.cos(angle) * x + torch.sin(angle) * y, torch.cos(angle) * y - torch.sin(angle) * x
    short, long = 0.02 + 0.11 * r[3], 0.08 + 0.35 * r[4]
    ellipse = ((across / short).square() + (along / long).square()).sqrt() - 1.0
    bar = torch.maximum(across.abs() / short, along.abs() / long) - 1.0
    inside = (
        torch.where(r[5] < 0.5, ellipse, bar) * short * side
    )  # approximate signed distance from the edge, in pixels
    cover = torch.sigmoid(-inside * 1.5) * (r[6] < share)
    plain = torch.stack((r[7], r[8], r[9]), dim=1).view(batch, 3, 1, 1)
    lent = images.roll(1, dims=0).flip(2)
    return Occluders(cover[:, None], torch.where(r[10][:, None] < 0.6, lent, plain.expand_as(images)))


def dim(images: Tensor, share: float, darkest: float) -> Tensor:
    """(B, 3, S, S): darkens a share of the images by a random factor between `darkest` and 1."""
    r = torch.rand(2, images.shape[0], 1, 1, 1, device=images.device)
    return images * torch.where(r[0] < share, darkest + (1.0 - darkest) * r[1], torch.ones_like(r[0]))


def _rise(x: Tensor, low: float, high: float) -> Tensor:
    """0 below `low`, 1 above `high`, smooth between."""
    t = ((x - low) / (high - low)).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
