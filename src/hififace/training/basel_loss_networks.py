"""The paper's loss networks: ArcFace, Deep3DFaceRecon with the Basel face model, LPIPS, HRNet.

The files are user-supplied (`hififace weights list`). Letters: B pairs, S side of the crop, P = 68 landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from hififace.data.index import SetCard
from hififace.data.loader import CropBatch, PairBatch
from hififace.losses.attributes import EYE_CHANNELS, MOUTH_CHANNELS, heatmap_loss
from hififace.losses.perceptual import lpips_distance
from hififace.losses.resampling import fill_invalid
from hififace.losses.shape import landmark_loss
from hififace.models.generator import GeneratorOutput
from hififace.models.identity import basel_features, identity_vector
from hififace.models.params import VectorPart
from hififace.models.pretrained.arcface import ArcFace, load_arcface
from hififace.models.pretrained.bfm import BaselFaceModel, load_bfm
from hififace.models.pretrained.deep3d import SIZE_PX, Deep3D, FaceCoefficients, load_deep3d
from hififace.models.pretrained.frozen import freeze_parts, full_precision
from hififace.models.pretrained.hrnet import HRNet, load_hrnet
from hififace.models.pretrained.vgg_lpips import VggFeatures, load_vgg_lpips
from hififace.training.config import TrainingConfig
from hififace.training.loss_networks import Embedder
from hififace.weights.registry import find_card
from hififace.weights.store import locate_in

CROP_PX = 256
"""Image size at which preparation (preparation/basel.py) and bundles compute the coefficients."""


@dataclass
class BaselLossNetworks:
    """LossNetworks of the family "basel"; see `training.loss_networks.LossNetworks`.

    The generator's input holds coefficients of 256 px crops, which preparation stores; the coefficients of results are
    computed at that size too. With `loss.like_reference` the losses reproduce the reference implementation: both sides
    of the shape term from 224 px images, LPIPS and HRNet without their usual normalisation, a clamp on the shape term.
    """

    arcface: ArcFace
    deep3d: Deep3D
    bfm: BaselFaceModel | None = None
    lpips: VggFeatures | None = None
    hrnet: HRNet | None = None
    layout: tuple[VectorPart, ...] = ()
    like_reference: bool = False
    shape_clamp: float | None = None

    @classmethod
    def load(
        cls, config: TrainingConfig, card: SetCard, device: torch.device, files: Path | None
    ) -> BaselLossNetworks:
        """The networks that the configuration's terms need, frozen, on the device."""

        def find(name: str) -> Path:
            return locate_in(files, find_card(name))

        needs, like_reference = config.loss.needs, config.loss.like_reference
        loss_networks = cls(
            load_arcface(find("arcface_r100")),
            load_deep3d(find("deep3d_recon")),
            load_bfm(find("bfm")) if needs("shape") else None,
            load_vgg_lpips(find("vgg16"), find("lpips_vgg_heads"), like_reference=like_reference)
            if needs("perceptual")
            else None,
            load_hrnet(find("hrnet_wflw"), normalise=not like_reference)
            if needs("eye_heatmap", "mouth_heatmap")
            else None,
            config.generator.vector,
            like_reference,
            config.loss.shape_clamp,
        )
        freeze_parts(loss_networks, device, channels_last=config.channels_last)
        return loss_networks

    # ---- Identity.

    @property
    def embedders(self) -> Sequence[Embedder]:
        """ArcFace alone, which resizes its input as the reference does."""
        return (self.arcface,)

    def known_embeddings(self, crops: CropBatch) -> list[Tensor]:
        """From the batch: computed in preparation."""
        return [crops.identity]

    def identity_vector(self, batch: PairBatch) -> Tensor:
        """v_sid (B, 769) from what preparation stored."""
        return self._vector(batch.source, batch.target.coefficients)

    def cycle_vector(self, batch: PairBatch, output: GeneratorOutput) -> Tensor:
        """The target's shape and identity with the result's own expression, pose and light.

        As in the reference, the gradient also reaches the result through the 3D network, but not through the identity
        embedding, which is computed from the real target.
        """
        return self._vector(batch.target, self._coefficients(output.image, CROP_PX).flat())

    def _vector(self, source: CropBatch, target_coefficients: Tensor) -> Tensor:
        giver = basel_features(FaceCoefficients.from_flat(source.coefficients), source.identity)
        taker = basel_features(FaceCoefficients.from_flat(target_coefficients))
        return identity_vector(self.layout, giver, taker)

    # ---- Features and landmarks.

    def perceptual(self, result: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """(B,) LPIPS. The target is copied into the padding, so that it does not count; not with `like_reference`."""
        if self.lpips is None:
            raise ValueError("the perceptual term was not configured when the frozen networks were loaded")
        if not self.like_reference:
            result = fill_invalid(result, target, valid)
        with torch.no_grad():
            theirs = self.lpips(target)
        return lpips_distance(self.lpips(result), theirs, self.lpips.heads)

    def attribute_terms(
        self, batch: PairBatch, output: GeneratorOutput, wanted: set[str]
    ) -> dict[str, Tensor]:
        """Shape (68 Basel landmarks) and the reference's eye and mouth heat-maps."""
        terms: dict[str, Tensor] = {}
        if "shape" in wanted:
            terms["shape"] = landmark_loss(
                self._fused_landmarks(batch),
                self._landmarks(output.image),
                self._landmarks(output.image_low),
                clamp=self.shape_clamp,
            )
        if wanted & {"eye_heatmap", "mouth_heatmap"}:
            if self.hrnet is None:
                raise ValueError("no heat-map term was configured when the frozen networks were loaded")
            ours = self.hrnet(output.image)
            with torch.no_grad():
                theirs = self.hrnet(batch.target.image)
            for name, channels in (("eye_heatmap", EYE_CHANNELS), ("mouth_heatmap", MOUTH_CHANNELS)):
                if name in wanted:
                    terms[name] = heatmap_loss(ours, theirs, channels)
        return terms

    @torch.no_grad()
    def _fused_landmarks(self, batch: PairBatch) -> Tensor:
        """q_fuse (B, 68, 2): the source's shape with everything else of the target."""
        if self.like_reference:
            source, target = (
                self._coefficients(crops.image, SIZE_PX) for crops in (batch.source, batch.target)
            )
        else:
            source, target = (
                FaceCoefficients.from_flat(crops.coefficients) for crops in (batch.source, batch.target)
            )
        return self._project(target.with_identity_of(source))

    def _landmarks(self, images: Tensor) -> Tensor:
        return self._project(self._coefficients(images, SIZE_PX if self.like_reference else CROP_PX))

    def _coefficients(self, images: Tensor, size_px: int) -> FaceCoefficients:
        """Coefficients of images resized bilinearly, without antialiasing as in the reference's losses.

        In float32: landmark positions in pixels need more than the 8 significant bits of bfloat16.
        """
        if images.shape[-1] != size_px:
            images = F.interpolate(images, size=(size_px, size_px), mode="bilinear", align_corners=False)
        with full_precision(images):
            found: FaceCoefficients = self.deep3d(images)
            return found

    def _project(self, coefficients: FaceCoefficients) -> Tensor:
        if self.bfm is None:
            raise ValueError("the shape term was not configured when the frozen networks were loaded")
        points: Tensor = self.bfm(coefficients)
        return points
