"""The residual blocks of every network of the paper, and the AdaIN that carries the identity.

Letters: B images in the batch, C channels, H and W rows and columns, D length of the identity vector.
"""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from hififace.models.convolutions import Conv3x3, gated
from hififace.models.normalisation import SLOPE, leaky, normalise_activate
from hififace.models.params import Resample


def resample(x: Tensor, how: Resample) -> Tensor:
    """Halve by the mean of 2x2, double bilinearly (pixel centres), or nothing."""
    if how == "down":
        return F.avg_pool2d(x, 2)
    if how == "up":
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    return x


def conv3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """3x3, stride 1, same size, with bias."""
    return Conv3x3(channels_in, channels_out)


def side_conv(channels_in: int, channels_out: int, plain_skip: bool) -> nn.Module:
    """The 1x1 convolution of a side path; nothing at all where the width stays and `plain_skip` is set."""
    if plain_skip and channels_in == channels_out:
        return nn.Identity()
    return nn.Conv2d(channels_in, channels_out, 1)


class AdaIN(nn.Module):
    """Normalise, scale and shift every channel as the identity vector says, activate (method, 1.1 "Decoder").

    Departure of the reference and of `paper_256` from StarGAN v2: no "1 +" on the scale. `scale_offset` = 1
    brings it back for networks trained from scratch: at the start each block passes its features on.
    """

    def __init__(
        self,
        channels: int,  # of the features
        vector_size: int,  # D
        scale_offset: float,  # added to the scale
    ) -> None:
        super().__init__()
        self.scale = nn.Linear(vector_size, channels)
        self.shift = nn.Linear(vector_size, channels)
        self.scale_offset = scale_offset

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """LReLU(AdaIN(x)): x (B, C, H, W), vector (B, D) -> (B, C, H, W)."""
        scale = self.scale(vector)
        if self.scale_offset:
            scale = scale + self.scale_offset
        return normalise_activate(x, scale, self.shift(vector))


class ResBlock(nn.Module):
    """IN, LReLU, conv, resample, IN, LReLU, conv; plus a side path (StarGAN v2's pre-activation block).

    The sum is plain, without StarGAN v2's 1/sqrt(2), as in both public re-implementations.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        resample: Resample = "none",  # between the two convolutions, and on the side path
        normalise: bool = True,  # False in the discriminator
        late_widening: bool = False,  # down only: the first convolution keeps the width
        plain_skip: bool = False,  # no 1x1 convolution where the width stays
    ) -> None:
        super().__init__()
        self.resample: Resample = resample
        self.normalise = normalise
        # Pooling and a 1x1 convolution commute. Where numbers need not equal the reference's, pooling goes
        # first: a quarter of the work.
        self.pool_first = late_widening and resample == "down"
        width = channels_in if self.pool_first else channels_out
        self.conv1 = conv3(channels_in, width)
        self.conv2 = conv3(width, channels_out)
        self.side = side_conv(channels_in, channels_out, plain_skip)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H', W')."""
        # Main path.
        if self.normalise:
            y = normalise_activate(x)
        else:
            # Reference quirk (three places, this is one): without a norm its in-place activation reaches
            # the side path too.
            y = x = leaky(x)
        y = resample(self.conv1(y), self.resample)
        y = self.conv2(normalise_activate(y) if self.normalise else leaky(y))

        # Side path.
        how = self.resample
        side = self.side(resample(x, how)) if self.pool_first else resample(self.side(x), how)
        out: Tensor = y + side
        return out


class AdaINResBlock(nn.Module):
    """AdaIN, LReLU, conv, resample, AdaIN, LReLU, conv; plus a side path on the raw input."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        vector_size: int,  # D
        resample: Resample = "none",  # between the two convolutions, and on the side path
        scale_offset: float = 0.0,  # see AdaIN
        plain_skip: bool = False,  # no 1x1 convolution where the width stays
    ) -> None:
        super().__init__()
        self.resample: Resample = resample
        self.norm1 = AdaIN(channels_in, vector_size, scale_offset)
        self.conv1 = conv3(channels_in, channels_out)
        self.norm2 = AdaIN(channels_out, vector_size, scale_offset)
        self.conv2 = conv3(channels_out, channels_out)
        self.side = side_conv(channels_in, channels_out, plain_skip)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """X (B, C_in, H, W), vector (B, D) -> (B, C_out, H', W')."""
        y = resample(self.conv1(self.norm1(x, vector)), self.resample)
        y = self.conv2(self.norm2(y, vector))
        out: Tensor = y + resample(self.side(x), self.resample)
        return out


class SkipGate(nn.Module):
    """Adds the target's own features to the decoder's, as far as a gate that sees both lets them through. Ours.

        LReLU(z + sigmoid(conv1([z, e])) * conv3(a(e))),   a: AdaIN by the vector, or LReLU alone for pixels

    Under a mask that is 1 on the whole face, lids, teeth and light would otherwise have to pass the latent. FaceDancer
    (Rosberg et al. 2023) gates its skips likewise. The last convolution starts at zero: a gate added to a trained
    network changes nothing.
    """

    def __init__(
        self,
        channels: int,  # of z
        skip_channels: int,  # of e
        vector_size: int = 0,  # D; 0 where e are pixels, brought to -1..1 by the caller
        scale_offset: float = 0.0,  # see AdaIN
    ) -> None:
        super().__init__()
        self.norm = AdaIN(skip_channels, vector_size, scale_offset) if vector_size else None
        self.adapt = conv3(skip_channels, channels)
        self.gate = nn.Conv2d(channels + skip_channels, channels, 1)

    def forward(self, z: Tensor, skip: Tensor, vector: Tensor) -> Tensor:
        """Z (B, C, H, W), e (B, C', H, W), vector (B, D) -> (B, C, H, W), activated."""
        adapted = self.adapt(leaky(skip) if self.norm is None else self.norm(skip, vector))
        return gated(z, skip, adapted, self.gate)

    def close(self) -> None:
        """Lets nothing through yet."""
        nn.init.zeros_(self.adapt.weight)
        if self.adapt.bias is not None:
            nn.init.zeros_(self.adapt.bias)


def initialise(network: nn.Module, how: Literal["reference", "he"]) -> None:
    """Set every convolution and linear layer of `network`.

    Args:
        how: "reference" is N(0, 0.02) with zero biases. "he" keeps the variance through 3x3 convolutions
            after a leaky ReLU (He et al. 2015) and through 1x1 side paths (gain 1); AdaIN's linear layers
            start at half the width of their offset, so that the identity already tells at the first step.
    """
    for module in network.modules():
        if not isinstance(module, (nn.Conv2d, nn.Linear)):
            continue
        if how == "reference":
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.5 / math.sqrt(module.in_features))
        elif module.kernel_size == (1, 1):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        else:
            nn.init.kaiming_normal_(module.weight, a=SLOPE, nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
