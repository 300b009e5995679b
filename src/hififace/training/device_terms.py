"""The loss terms of a step on one device, and the inputs of its discriminators.

Letters: B pairs, n = B / 2, S side of the crop, P mesh points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from hififace.data.loader import CropBatch
from hififace.losses.adversarial import feature_matching_loss, generator_loss
from hififace.losses.attributes import colour_loss, group_shape_loss, opening_loss
from hififace.losses.averaging import batch_mean
from hififace.losses.face_parts import damped_within, found_twice, only_within
from hififace.losses.identity import cosine
from hififace.losses.perceptual import feature_l1_distance
from hififace.losses.reconstruction import reconstruction_loss
from hififace.losses.resampling import fill_invalid
from hififace.losses.segmentation import segmentation_loss
from hififace.losses.shape import mesh_shape_loss
from hififace.models.create import Discriminator
from hififace.models.discriminator import DiscriminatorOutput
from hififace.models.generator import GeneratorOutput
from hififace.training.device_batch import StepState
from hififace.training.device_settings import REDUCED_PX
from hififace.training.mesh_loss_networks import OPENINGS


class ScoredView(NamedTuple):
    """Scores of one discriminator for a batch."""

    name: str
    on_fake: DiscriminatorOutput
    on_real: DiscriminatorOutput


class StepTerms(StepState):
    """Every term of a batch, as a scalar on the device."""

    def _pixel_terms(self, output: GeneratorOutput, crops: CropBatch) -> dict[str, Tensor]:
        n, slots = self.slots.half, self.slots
        ones = torch.ones(slots.batch - n, device=self.device)
        terms = {
            "segmentation": segmentation_loss(
                output.mask, None, crops.mask, dilation=self.settings.mask_dilation, valid=crops.valid
            ),
            # Halved: pairs of two people count as zeros in the mean (losses/reconstruction.py).
            "reconstruction": 0.5
            * reconstruction_loss(
                output.image[n:], output.image_low[n:], crops.image[n:], ones, valid=crops.valid[n:]
            ),
            "colour": colour_loss(_reduced(output.image), _reduced(crops.image), valid=_reduced(crops.valid)),
        }
        if self.settings.perceptual > 0:
            terms["perceptual"] = self._perceptual(output, crops)
        return terms

    def _perceptual(self, output: GeneratorOutput, crops: CropBatch) -> Tensor:
        """Perceptual term of the pairs of the same person with clear targets; halved like the reconstruction."""
        clear = self.slots.self_pairs
        with torch.no_grad(), self._autocast():
            theirs = self.loss_networks.feature_maps(crops.image[clear])
        with self._autocast():
            ours = self.loss_networks.feature_maps(
                fill_invalid(output.image[clear], crops.image[clear], crops.valid[clear])
            )
        return 0.5 * batch_mean(feature_l1_distance(ours, theirs))

    def _identity_terms(self, image: Tensor, region: Tensor) -> dict[str, Tensor]:
        """Identity terms of the n pairs of two people; region (n, 1, S, S) marks eyes and mouths. Halved like the
        reconstruction.
        """
        settings, n = self.settings, self.slots.half
        keep = settings.identity_in_eyes_and_mouth
        damped = damped_within(image, region, keep)
        identity, leak = [], []
        for index, (recogniser, known) in enumerate(zip(self.recognisers, self.known, strict=True)):
            with self._autocast():
                found = recogniser.embed_views(damped, settings.identity_jitter)
            source, target = known[self.source_rows[:n]], known[self.target_rows[:n]]
            like, left, name = cosine(source, found), cosine(target, found), recogniser.name
            identity.append((settings.enough[name] - like).clamp_min(0.0).mean())
            leak.append((left - settings.leak_margin[name]).clamp_min(0.0).mean())
            self._note(f"cosine_{index}", like.mean())
            self._note(f"left_{index}", left.mean())
        return {
            "identity": 0.5 * torch.stack(identity).mean(),
            "leak": 0.5 * torch.stack(leak).mean(),
        }

    def _landmark_terms(self, image: Tensor, region: Tensor, crops: CropBatch) -> dict[str, Tensor]:
        """Landmark terms of the n pairs of two people; region (n, 1, S, S) marks eyes and mouths."""
        n, loss_networks = self.slots.half, self.loss_networks
        target = crops.landmarks[:n]
        few = crops.map(lambda part: part[:n])
        inner = only_within(image, region)  # gradient only in the pixels of eyes and mouth
        points, inner_points = found_twice(
            lambda seen: loss_networks.mesh_points(seen, target, self.settings.mesh_jitter), image, region
        )
        wanted = self._wanted_points(crops.coefficients[:n], target)
        return {
            "outline": mesh_shape_loss(wanted[..., :2], points[..., :2], region_weights=self.oval),
            "inside": mesh_shape_loss(wanted[..., :2], points[..., :2], region_weights=1.0 - self.oval),
            "eyelids": opening_loss(inner_points, target, OPENINGS["eyelids"]),
            "lips": opening_loss(inner_points, target, OPENINGS["lips"])
            + group_shape_loss(inner_points, target, loss_networks.lips),
            "gaze": loss_networks.gaze(few, inner),
        }

    @torch.no_grad()
    def _wanted_points(self, coefficients: Tensor, points: Tensor) -> Tensor:
        """Target points displaced by the difference that the source's shape makes: (n, P, 3).

        points + landmarks(fused) - landmarks(target), so that the residual of the linear prior is kept.
        """
        shape, n = self.loss_networks.shape, self.slots.half
        own = shape.from_flat(coefficients)
        fused = shape.fuse(shape.from_flat(self.source_coefficients[:n]), own)
        return points + shape.landmarks(fused) - shape.landmarks(own)

    def _score(self, image: Tensor, crops: CropBatch) -> list[ScoredView]:
        """Scores of both discriminators for results (B, 3, S, S) and their targets. Two passes, since the generator's
        gradient needs only the one of the results.
        """
        result = fill_invalid(image, crops.image, crops.valid)
        scored = []
        for name, network, (fake, real) in self._views(result, crops.image):
            with self._autocast():
                scored.append(ScoredView(name, network(fake), network(real)))
        return scored

    @staticmethod
    def _adversarial_terms(views: Sequence[ScoredView]) -> dict[str, Tensor]:
        adversarial = [generator_loss(view.on_fake.logits) for view in views]
        matching = [feature_matching_loss(view.on_fake.features, view.on_real.features) for view in views]
        return {
            "adversarial": torch.stack(adversarial).sum(),
            "feature_matching": 0.5 * torch.stack(matching).sum(),
        }

    def _views(self, *images: Tensor) -> list[tuple[str, Discriminator, list[Tensor]]]:
        """Inputs of each discriminator for images (B, 3, S, S), with the same window and brightness in all of them."""
        window, side = self.settings.window_px, images[0].shape[-1]
        steps = torch.arange(window, device=self.device)
        corner = (torch.rand(2, device=self.device) * (side - window + 1)).long()
        count = len(self.fine_slots)
        r = torch.rand(2, count, 1, 1, 1, device=self.device)
        contrast, shift = 0.85 + 0.3 * r[0], 0.2 * (r[1] - 0.5)
        fine = [
            (
                part[self.fine_slots].index_select(2, steps + corner[0]).index_select(3, steps + corner[1])
                - 0.5
            )
            * contrast
            + 0.5
            + shift
            for part in images
        ]
        coarse = [_reduced(part[self.coarse_slots]) for part in images]
        layout = torch.channels_last
        return [
            ("fine", self.networks.fine, [part.contiguous(memory_format=layout) for part in fine]),
            ("coarse", self.networks.coarse, [part.contiguous(memory_format=layout) for part in coarse]),
        ]


def _reduced(images: Tensor) -> Tensor:
    """(B, C, S, S) reduced to 128 px by averaging blocks."""
    return F.avg_pool2d(images, images.shape[-1] // REDUCED_PX)
