"""The discriminators of training: the reference's residual discriminator, and a PatchGAN for small networks.

Both see RGB 0..1 alone, hold no random or batch-wide state, and survive the second derivative that the R1
penalty asks for. Letters: B images, R their side.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from hififace.models.blocks import ResBlock, conv3, initialise
from hififace.models.normalisation import leaky
from hififace.models.params import DiscriminatorParams


class DiscriminatorOutput(NamedTuple):
    """Verdicts and what led to them."""

    logits: Tensor  # residual (B, num_logits, 1, 1), patch (B, num_logits, h, w), projected (B, n, 1, 1); > 0: real
    features: list[Tensor]  # after each stage, high resolution first: for feature matching


class ResidualDiscriminator(nn.Module):
    """The reference's, after StarGAN v2: conv, halving residual blocks without norm down to 4 px, two convs.

    Reference quirks that are kept: the side path of each block sees the activated input (`ResBlock`), both
    of its two logits answer the same question, and the logits themselves pass a leaky ReLU, so that a verdict
    of "fake" costs five times as much as one of "real".
    """

    def __init__(self, params: DiscriminatorParams) -> None:
        super().__init__()
        self.params = params
        widths = (params.stem_channels, *params.channels)
        self.stem = conv3(3, params.stem_channels)
        self.blocks = nn.ModuleList(
            ResBlock(before, after, "down", normalise=False) for before, after in pairwise(widths)
        )
        self.reduce = nn.Conv2d(widths[-1], widths[-1], 4)
        self.head = nn.Conv2d(widths[-1], params.num_logits, 1)
        initialise(self, "reference")

    def forward(self, image: Tensor) -> DiscriminatorOutput:
        """(B, 3, R, R), RGB 0..1 -> logits (B, num_logits, 1, 1). Raises ValueError at any other size."""
        check_image(image, self.params)
        x = self.stem(image)
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        x = self.reduce(x)  # (B, C, 4, 4) -> (B, C, 1, 1)
        return DiscriminatorOutput(leaky(self.head(leaky(x))), features)


class PatchDiscriminator(nn.Module):
    """Halving 4x4 convolutions, then two 3x3 ones: a verdict for every patch (Isola et al. 2017).

    Ours, not the paper's: people who built the paper anew found a PatchGAN steadier than its residual
    discriminator, and at 128 px it costs a tenth. No normalisation: R1 is what keeps it smooth.
    """

    def __init__(self, params: DiscriminatorParams) -> None:
        super().__init__()
        self.params = params
        widths = (3, params.stem_channels, *params.channels)
        self.stages = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.context = conv3(widths[-1], widths[-1])
        self.head = conv3(widths[-1], params.num_logits)
        initialise(self, "he")

    def forward(self, image: Tensor) -> DiscriminatorOutput:
        """(B, 3, R, R), RGB 0..1 -> logits (B, num_logits, h, w). Raises ValueError at any other size."""
        check_image(image, self.params)
        x = image * 2.0 - 1.0  # He initialisation wants inputs around zero
        features = []
        for stage in (*self.stages, self.context):
            x = leaky(stage(x))
            features.append(x)
        return DiscriminatorOutput(self.head(x), features)


def check_image(image: Tensor, params: DiscriminatorParams) -> None:
    """Raises ValueError where an image is not of the size that a discriminator is made for."""
    side = params.resolution
    if image.ndim != 4 or tuple(image.shape[1:]) != (3, side, side):
        raise ValueError(
            f"The image is {tuple(image.shape)}; the discriminator '{params.name}' expects "
            f"(B, 3, {side}, {side})."
        )
