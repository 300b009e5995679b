"""Semantic facial fusion (SFF) and F_up: where encoder and decoder meet, and the image comes out.

Method, section 1.1 "Semantic facial fusion"; in the paper its part of the same name, and figure 12
of the supplement.

Letters: B images, C channels of z_dec, S side of z_dec, N side of the result, D length of the vector.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.models.blocks import AdaINResBlock, ResBlock, SkipGate, conv3, resample
from hififace.models.normalisation import leaky
from hififace.models.params import GeneratorParams

_HEAD_INITIALISATION_SCALE = (
    0.03  # what He-initialised heads are multiplied by: an even image and mask at the start
)
_FIRST_MASK_LOGIT = 0.4  # sigmoid = 0.6: the result reaches the losses, and neither mask starts saturated
_FIRST_GREY = 0.5


class FusedFeatures(NamedTuple):
    """What the fusion hands on."""

    features: Tensor  # (B, C, S, S), activated
    image_low: Tensor  # (B, 3, S, S), RGB 0..1 unclamped
    mask_low: Tensor  # (B, 1, S, S), 0..1


class SemanticFusion(nn.Module):
    """Blend encoder and decoder features by a predicted mask, then let the identity work on the blend.

    M_low   = sigmoid(conv(z_dec))
    z_fuse  = M_low * z_dec + (1 - M_low) * sigma(z_enc)
    I_low   = M_low * conv(LReLU(AdaIN blocks(z_fuse))) + (1 - M_low) * down(I_t)
    """

    def __init__(
        self,
        params: GeneratorParams,
        encoder_channels: int,  # of z_enc
        decoder_channels: int,  # of z_dec
    ) -> None:
        super().__init__()
        self.reduction = params.resolution // params.low_resolution
        self.low_target = params.low_target
        self.sigma = ResBlock(encoder_channels, decoder_channels, plain_skip=params.plain_skip)
        self.mask_head = conv3(decoder_channels, 1)
        self.blocks = nn.ModuleList(
            AdaINResBlock(
                decoder_channels,
                decoder_channels,
                params.vector_size,
                scale_offset=params.scale_offset,
                plain_skip=params.plain_skip,
            )
            for _ in range(params.num_fusion_blocks)
        )
        self.gate: SkipGate | None = None
        if params.skip_gates:
            self.gate = SkipGate(decoder_channels, encoder_channels, params.vector_size, params.scale_offset)
        self.image_head = conv3(decoder_channels, 3)

    def forward(self, target: Tensor, z_enc: Tensor, z_dec: Tensor, vector: Tensor) -> FusedFeatures:
        """Target (B, 3, R, R), z_enc (B, C', S, S), z_dec (B, C, S, S), vector (B, D)."""
        # Feature level.
        mask = torch.sigmoid(self.mask_head(z_dec))  # (B, 1, S, S)
        z = mask * z_dec + (1.0 - mask) * self.sigma(z_enc)  # (B, C, S, S)
        for block in self.blocks:
            z = block(z, vector)

        # Low image. Reference quirk: its in-place activation reaches F_up, which therefore starts from
        # the activated features, on its main and its side path.
        z = leaky(z) if self.gate is None else self.gate(z, z_enc, vector)
        image = mask * self.image_head(z) + (1.0 - mask) * self.reduce(target)  # (B, 3, S, S)
        return FusedFeatures(z, image, mask)

    def reduce(self, target: Tensor) -> Tensor:
        """(B, 3, R, R) -> (B, 3, S, S).

        The reference picks every fourth pixel here although its loss compares with the bilinear reduction;
        networks of ours use the loss's, so that I_low = down(I_t) outside the mask exactly.
        """
        step = self.reduction
        if self.low_target == "nearest":
            return target[:, :, ::step, ::step]
        return F.interpolate(target, scale_factor=1.0 / step, mode="bilinear", align_corners=False)

    def initialise_heads(self) -> None:
        """Start with an even grey image and an even mask of 0.6 (He initialisation only)."""
        _initialise_head(self.image_head, _FIRST_GREY)
        _initialise_head(self.mask_head, _FIRST_MASK_LOGIT)


class Upsampler(nn.Module):
    """F_up and its two heads: I_out = conv(LReLU(.)), M_r = sigmoid(conv(LReLU(.))).

    With `pixel_shuffle`, one convolution and a pixel shuffle take the place of the last, dearest block, and one
    narrow convolution smooths what they leave. With `detail_channels` a second such stage doubles once more; its heads
    add to the enlarged image and mask logits of the first, so that it starts as the smaller network enlarged.
    """

    def __init__(self, params: GeneratorParams, channels_in: int) -> None:
        super().__init__()
        widths = (channels_in, *params.upsampler)
        self.blocks = nn.ModuleList(
            ResBlock(before, after, "up", plain_skip=params.plain_skip) for before, after in pairwise(widths)
        )
        channels = widths[-1]
        self.gate: SkipGate | None = None
        if params.skip_gates:
            self.gate = SkipGate(channels, params.stem_channels, params.vector_size, params.scale_offset)
        self.subpixel: nn.Conv2d | None = None
        self.smooth: nn.Conv2d | None = None
        self.subpixel_gate: SkipGate | None = None
        if params.pixel_shuffle > 1:
            self.subpixel = conv3(channels, params.shuffle_channels * params.pixel_shuffle**2)
            channels = params.shuffle_channels
            self.subpixel_gate = SkipGate(channels, 3) if params.skip_gates else None
            self.smooth = conv3(channels, channels)
        self.shuffle_factor = params.pixel_shuffle
        self.image_head = conv3(channels, 3)
        self.mask_head = conv3(channels, 1)
        self.detail = DetailStage(channels, params.detail_channels) if params.detail_channels else None

    def forward(
        self, features: Tensor, stem: Tensor, target: Tensor, vector: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Features (B, C, S, S), stem (B, C', s, s), target (B, 3, R, R), vector (B, D).

        Returns:
            The image (B, 3, N, N), unbounded, and the mask (B, 1, N, N), 0..1.
        """
        for block in self.blocks:
            features = block(features)
        features = leaky(features) if self.gate is None else self.gate(features, stem, vector)
        if self.subpixel is not None and self.smooth is not None:
            # (B, C, N/2, N/2) -> (B, c * 4, N/2, N/2) -> (B, c, N, N)
            features = F.pixel_shuffle(self.subpixel(features), self.shuffle_factor)
            if self.subpixel_gate is None:
                features = leaky(features)
            else:
                pixels = target if self.detail is None else F.avg_pool2d(target, 2)
                features = self.subpixel_gate(features, pixels * 2.0 - 1.0, vector)
            features = leaky(self.smooth(features))
        # Reference quirk: the mask head sees the activated features too (in-place activation of the image
        # head).
        out = both_heads(self.image_head, self.mask_head, features)  # (B, 4, n, n)
        if self.detail is not None:
            out = resample(out, "up") + self.detail(features, target, vector)  # (B, 4, N, N)
        return out[:, :3], torch.sigmoid(out[:, 3:])

    def initialise_heads(self) -> None:
        """Even heads, and pixel shuffles that start as nearest-neighbour doubling (He initialisation only)."""
        _initialise_head(self.image_head, _FIRST_GREY)
        _initialise_head(self.mask_head, _FIRST_MASK_LOGIT)
        if self.subpixel is not None:
            even_shuffle(self.subpixel, self.shuffle_factor)
        if self.detail is not None:
            self.detail.silence()


class DetailStage(nn.Module):
    """The last doubling: pixel shuffle, the target's pixels through a gate, one convolution, heads that start at 0."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.subpixel = conv3(channels_in, channels * 4)
        self.gate = SkipGate(channels, 3)
        self.smooth = conv3(channels, channels)
        self.image_head = conv3(channels, 3)
        self.mask_head = conv3(channels, 1)

    def forward(self, features: Tensor, target: Tensor, vector: Tensor) -> Tensor:
        """(B, C, N/2, N/2), target (B, 3, N, N) -> what is added to image and mask logits, (B, 4, N, N)."""
        x = self.gate(F.pixel_shuffle(self.subpixel(features), 2), target * 2.0 - 1.0, vector)
        x = leaky(self.smooth(x))
        return both_heads(self.image_head, self.mask_head, x)

    def silence(self) -> None:
        """Adds nothing yet; its pixel shuffle starts as nearest-neighbour doubling."""
        for head in (self.image_head, self.mask_head):
            nn.init.zeros_(head.weight)
            if head.bias is not None:
                nn.init.zeros_(head.bias)
        even_shuffle(self.subpixel, 2)


def both_heads(image_head: nn.Conv2d, mask_head: nn.Conv2d, features: Tensor) -> Tensor:
    """Image and mask logits, (B, 4, N, N), by one convolution: thin ones waste a CPU."""
    weight = torch.cat([image_head.weight, mask_head.weight])
    return F.conv2d(features, weight, _biases(image_head, mask_head), padding=1)


def even_shuffle(subpixel: nn.Conv2d, factor: int) -> None:
    """Equal filters for the pixels that come out of one place.

    ICNR (Aitken et al. 2017): no checkerboard for training to unlearn.
    """
    with torch.no_grad():
        first = subpixel.weight[:: factor**2]
        subpixel.weight.copy_(first.repeat_interleave(factor**2, dim=0))


def _biases(*heads: nn.Conv2d) -> Tensor:
    biases = [head.bias for head in heads if head.bias is not None]
    return torch.cat(biases)


def _initialise_head(head: nn.Conv2d, bias: float) -> None:
    with torch.no_grad():
        head.weight.mul_(_HEAD_INITIALISATION_SCALE)
        if head.bias is not None:
            head.bias.fill_(bias)
