"""Eyes and mouth as a soft map of pixels, to let a term's gradient through there alone, or keep another's out.

Letters: B samples, P mesh points, S side of the crop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

_PARTS = {
    "image_left_eye": (0.35, 0.9),
    "image_right_eye": (0.35, 0.9),
    "lips_outer": (0.25, 0.35),
}
"""Group of the mesh -> margin beyond its box, across and down, in widths of the box."""


class EyesAndMouth:
    """Where eyes and mouth are.

    Args:
        groups: the mesh's named index lists (`face_mesh.json`).
        side: S.
        device: where points will lie; elsewhere the indices are copied there at every call.
    """

    def __init__(
        self, groups: Mapping[str, Sequence[int]], side: int, device: torch.device | str = "cpu"
    ) -> None:
        self._parts = [
            (torch.tensor(sorted(groups[name]), device=device), margins) for name, margins in _PARTS.items()
        ]
        self._side = side

    @torch.no_grad()
    def __call__(self, points: Tensor) -> Tensor:
        """(B, P, 2 or more) in pixels of the crop to (B, 1, S, S): 1 on eyes and mouth, soft edges, 0 beyond."""
        steps = torch.arange(self._side, device=points.device, dtype=torch.float32)
        inside = torch.zeros((), device=points.device)
        for indices, (across, down) in self._parts:
            box = points[:, indices.to(points.device), :2]
            low, high = box.amin(dim=1), box.amax(dim=1)
            width = high[:, :1] - low[:, :1]
            middle = 0.5 * (low + high)
            half = 0.5 * (high - low) + 0.5 * torch.cat((width * across, width * down), dim=1)
            x = (steps - middle[:, :1]).abs() / half[:, :1]
            y = (steps - middle[:, 1:]).abs() / half[:, 1:]
            distance = torch.maximum(x[:, None, :], y[:, :, None])
            inside = torch.maximum(inside, ((1.25 - distance) * 4.0).clamp(0.0, 1.0))
        return inside[:, None]


def only_within(images: Tensor, region: Tensor) -> Tensor:
    """The same images (B, C, S, S), whose gradient passes in the region (B, 1, S, S) alone, in its share."""
    return torch.lerp(images.detach(), images, region)


def damped_within(images: Tensor, region: Tensor, keep: float) -> Tensor:
    """The same images, of whose gradient the region lets only a share `keep` pass."""
    return torch.lerp(images, images.detach(), region * (1.0 - keep))


def found_twice(find: Callable[[Tensor], Tensor], images: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """`find(images)` twice, by one pass: gradients of the first answer reach all pixels, of the second the region's.

    The same as `find(images), find(only_within(images, region))` with half of the forward work, for a network that is
    not trained itself.

    Args:
        find: from images to anything of which a gradient is taken; differentiable.
        images: (B, C, S, S).
        region: (B, 1, S, S) 0..1.
    """
    first, second = _FoundTwice.apply(images, region, find)  # type: ignore[no-untyped-call]
    return first, second


class _FoundTwice(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, region: Tensor, find: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            seen = images.detach().requires_grad_(True)
            found = find(seen)
        ctx.seen, ctx.found, ctx.region = seen, found, region
        return found.detach(), found.detach().clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (all_over,) = torch.autograd.grad(ctx.found, ctx.seen, gradients[0], retain_graph=True)
        (within,) = torch.autograd.grad(ctx.found, ctx.seen, gradients[1], retain_graph=True)
        return torch.addcmul(all_over, within, ctx.region), None, None
