"""Differentiable resampling of images through affine maps: how a crop reaches a network with its own template.

Letters: B images, C channels, S side of the output.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hififace.models.pretrained.frozen import full_precision


def invert_affine(matrix: Tensor) -> Tensor:
    """The inverse of affine maps, (..., 2, 3) to (..., 2, 3)."""
    with full_precision(matrix):
        # In closed form: a library's inverse of a 2 x 2 matrix looks at its answer on the host: an accelerator waits.
        (a, b, x), (c, d, y) = (row.unbind(-1) for row in matrix.unbind(-2))
        scale = 1.0 / (a * d - b * c)
        rows = (
            torch.stack((d, -b, b * y - d * x), dim=-1),
            torch.stack((-c, a, c * x - a * y), dim=-1),
        )
        return torch.stack(rows, dim=-2) * scale[..., None, None]


def resample_affine(images: Tensor, matrix: Tensor, size: int, *, padding: str = "zeros") -> Tensor:
    """The images as seen through an affine map, bilinearly; carries gradients to the images.

    Pixel centres are at integers, as everywhere: the map takes (x, y) of the image to (x, y) of the output.
    There is no antialiasing: meant for scales between about 0.5 and any enlargement.

    Args:
        images: (B, C, H, W).
        matrix: (2, 3), or (B, 2, 3) for a map of each image's own.
        size: side S of the output.
        padding: "zeros" or "border", what lies outside the image.

    Returns:
        (B, C, S, S).
    """
    batch, _, height, width = images.shape
    inverse = invert_affine(matrix.to(images.device, torch.float32))
    if inverse.ndim == 2:
        inverse = inverse.expand(batch, 2, 3)
    steps = torch.arange(size, device=images.device, dtype=torch.float32)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack((columns, rows, torch.ones_like(rows)), dim=-1).view(1, -1, 3)  # (1, S·S, 3)
    with full_precision(images):
        places = points @ inverse.transpose(1, 2)  # (B, S·S, 2) image pixels
    # grid_sample counts from the image's outer edges: -1 is half a pixel before the first centre.
    across, down = places.unbind(-1)
    grid = torch.stack(((across + 0.5) * (2.0 / width) - 1.0, (down + 0.5) * (2.0 / height) - 1.0), dim=-1)
    grid = grid.view(batch, size, size, 2)
    return F.grid_sample(
        images, grid.to(images.dtype), mode="bilinear", padding_mode=padding, align_corners=False
    )


def apply_affine(matrix: Tensor, points: Tensor) -> Tensor:
    """Maps points: (2, 3) or (B, 2, 3) and (B, N, 2 or 3) to (B, N, 2 or 3); a z is scaled with the map."""
    linear, shift = matrix[..., :2], matrix[..., 2]
    with full_precision(points):
        flat = points[..., :2] @ linear.transpose(-1, -2) + shift[..., None, :]
    if points.shape[-1] == 2:
        return flat
    determinant = linear[..., 0, 0] * linear[..., 1, 1] - linear[..., 0, 1] * linear[..., 1, 0]
    scale = determinant.abs().sqrt()
    return torch.cat((flat, points[..., 2:] * scale[..., None, None]), dim=-1)
