"""The generator of HifiFace: encoder, AdaIN decoder, semantic facial fusion, up-sampling.

Method, section 1.1; figure 2 of the paper. One class serves every preset of `models/params.py`.
Letters: B images, R side of the target, S side of the low result, N side of the result, D length of the
identity vector.

    target ──► encoder ──► latent ──► decoder ◄── identity vector
                  │                      │
                z_enc                  z_dec
                  └──► fusion (M_low) ◄──┘──► I_low
                          │
                        F_up ──► I_out, M_r ──► I_r = M_r · I_out + (1 − M_r) · I_t
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.models.blocks import AdaINResBlock, ResBlock, SkipGate, conv3, initialise
from hififace.models.fusion import SemanticFusion, Upsampler
from hififace.models.normalisation import is_exporting
from hififace.models.params import GeneratorParams


class GeneratorOutput(NamedTuple):
    """What a swap gives. Images are RGB 0..1 but not clamped: losses want the raw numbers."""

    image: Tensor  # (B, 3, N, N) I_r
    image_low: Tensor  # (B, 3, S, S) I_low
    mask: Tensor  # (B, 1, N, N) M_r, 0..1: where the face is generated
    mask_low: Tensor  # (B, 1, S, S) M_low, 0..1


class Encoder(nn.Module):
    """Target -> features at the fusion's resolution, and a latent that knows the target as a whole."""

    def __init__(self, params: GeneratorParams) -> None:
        super().__init__()
        self.pixel_unshuffle = params.pixel_unshuffle
        self.fusion_index = params.fusion_index
        self.stem = conv3(3 * params.pixel_unshuffle**2, params.stem_channels)
        blocks: list[nn.Module] = []
        channels = params.stem_channels
        for block in params.encoder:
            blocks.append(
                ResBlock(
                    channels,
                    block.channels,
                    block.resample,
                    late_widening=params.late_widening,
                    plain_skip=params.plain_skip,
                )
            )
            channels = block.channels
        self.blocks = nn.ModuleList(blocks)

    def forward(self, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, R, R) -> the stem (B, C, R/u, R/u), z_enc (B, C', S, S), both raw, latent (B, C'', s, s)."""
        x = F.pixel_unshuffle(target, self.pixel_unshuffle) if self.pixel_unshuffle > 1 else target
        stem = x = self.stem(x)
        z_enc = x
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == self.fusion_index:
                z_enc = x
        return stem, z_enc, x


class Decoder(nn.Module):
    """Latent -> z_dec: the identity enters by AdaIN, twice in every block."""

    def __init__(self, params: GeneratorParams) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = params.encoder[-1].channels
        for block in params.decoder:
            blocks.append(
                AdaINResBlock(
                    channels,
                    block.channels,
                    params.vector_size,
                    block.resample,
                    scale_offset=params.scale_offset,
                    plain_skip=params.plain_skip,
                )
            )
            channels = block.channels
        self.blocks = nn.ModuleList(blocks)

    def forward(self, latent: Tensor, vector: Tensor) -> Tensor:
        """Latent (B, C'', s, s), vector (B, D) -> z_dec (B, C, S, S)."""
        for block in self.blocks:
            latent = block(latent, vector)
        return latent


class Generator(nn.Module):
    """Generate the target face with the identity and face shape of the identity vector.

    Inputs and outputs are RGB 0..1; nothing else is done to them, so a graph of this network needs no
    preprocessing. Deterministic; the same in training and evaluation mode.
    """

    gains: Tensor

    def __init__(self, params: GeneratorParams) -> None:
        super().__init__()
        self.params = params
        self.encoder = Encoder(params)
        self.decoder = Decoder(params)
        self.fusion = SemanticFusion(
            params,
            encoder_channels=params.encoder[params.fusion_index].channels,
            decoder_channels=params.decoder[-1].channels,
        )
        self.upsampler = Upsampler(params, params.decoder[-1].channels)
        # Not in the state dict: the gains are part of the params, and the published checkpoints have none.
        gains = torch.cat([torch.full((part.size,), float(part.gain)) for part in params.vector])
        self.register_buffer("gains", gains, persistent=False)
        self.has_gains = any(part.gain != 1.0 for part in params.vector)

        initialise(self, params.init)
        if params.init == "he":
            self.fusion.initialise_heads()
            self.upsampler.initialise_heads()
        for module in self.modules():
            if isinstance(module, SkipGate):
                module.close()

    def forward(self, target: Tensor, identity_vector: Tensor) -> GeneratorOutput:
        """Swap a batch.

        Args:
            target: (B, 3, R, R), RGB 0..1, aligned to the model's template.
            identity_vector: (B, D), the parts of `params.vector` in order, without their gains.

        Raises:
            ValueError: a size is not what the params say.
        """
        if not is_exporting():
            self._check(target, identity_vector)
        vector = identity_vector * self.gains if self.has_gains else identity_vector

        stem, z_enc, latent = self.encoder(target)
        z_dec = self.decoder(latent, vector)
        fused = self.fusion(target, z_enc, z_dec, vector)

        # Image level: I_r = M_r * I_out + (1 - M_r) * I_t.
        image_out, mask = self.upsampler(fused.features, stem, target, vector)
        image = mask * image_out + (1.0 - mask) * self._at_output_size(target)
        return GeneratorOutput(image, fused.image_low, mask, fused.mask_low)

    def _at_output_size(self, target: Tensor) -> Tensor:
        """The 512 model generates 512 px around a 256 px target: outside the mask that target, enlarged."""
        factor = self.params.output_resolution / self.params.resolution
        if factor == 1.0:
            return target
        return F.interpolate(target, scale_factor=factor, mode="bilinear", align_corners=False)

    def _check(self, target: Tensor, identity_vector: Tensor) -> None:
        side, size = self.params.resolution, self.params.vector_size
        if target.ndim != 4 or tuple(target.shape[1:]) != (3, side, side):
            raise ValueError(
                f"The target is {tuple(target.shape)}; '{self.params.name}' expects (B, 3, {side}, {side}): "
                "align and crop it to the model's template first."
            )
        if tuple(identity_vector.shape) != (target.shape[0], size):
            parts = ", ".join(f"{part.name} {part.size}" for part in self.params.vector)
            raise ValueError(
                f"The identity vector is {tuple(identity_vector.shape)}; '{self.params.name}' expects "
                f"({target.shape[0]}, {size}): {parts}."
            )
