"""State of a step on one device, and the batches it makes: triplets, warped outlines, occluders, dimmed light.

Letters: B pairs, n = B / 2, S side of the crop, P mesh points.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hififace.data.loader import CropBatch
from hififace.data.resident import ResidentSet
from hififace.data.slots import Slots
from hififace.faces.masks import border_fade
from hififace.losses.face_parts import EyesAndMouth
from hififace.losses.resampling import fill_invalid
from hififace.models.create import Discriminator
from hififace.models.generator import Generator
from hififace.models.identity import asking_again, identity_vector
from hififace.training.degrade import Occluders, dim, draw_occluders, warp_outline
from hififace.training.device_settings import StepSettings
from hififace.training.mesh_loss_networks import MeshLossNetworks
from hififace.training.recognisers import Recogniser


class Networks(NamedTuple):
    """The trained networks."""

    generator: Generator
    fine: Discriminator
    """Discriminator of random windows of sharp targets and their results."""
    coarse: Discriminator
    """Discriminator of whole faces at 128 px."""


@dataclass
class StepState:
    """Everything on the device: photos, networks, optimisers, statistics. `rows` holds the photos of a batch."""

    data: ResidentSet
    known: Sequence[Tensor]
    """(N, D_k) embeddings of all photos by each recogniser."""
    networks: Networks
    loss_networks: MeshLossNetworks
    recognisers: Sequence[Recogniser]
    """Recognisers of the identity term; SFace first."""
    slots: Slots
    settings: StepSettings
    device: torch.device
    half_precision: bool = True
    """Whether to use bfloat16 where no positions are computed. Ten times slower than float32 on CPUs without bfloat16
    instructions."""
    average: Generator = field(init=False)
    graphs: dict[str, torch.cuda.CUDAGraph] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        generator = self.networks.generator
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        cuda = self.device.type == "cuda"
        s = self.settings

        def adam(networks: Sequence[nn.Module], rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
            # A tensor on the device: its value can change without capturing the CUDA graph again.
            lr = torch.tensor(rate, device=self.device) if cuda else rate
            parameters = [p for network in networks for p in network.parameters()]
            return torch.optim.Adam(parameters, lr=lr, betas=betas, fused=True, capturable=cuda)

        self.generator_adam = adam([generator], s.learning_rate, (0.5, 0.99))
        self.discriminator_adam = adam(
            [self.networks.fine, self.networks.coarse], s.discriminator_rate, (0.0, 0.99)
        )
        batch, strangers = self.slots.batch, len(self.slots.strangers)
        self.rows = torch.zeros(4 * batch + 2 * strangers, dtype=torch.int32, device=self.device)
        self.stranger_slots = torch.tensor(self.slots.strangers, device=self.device)
        n, own = self.slots.half, self.slots.self_pairs
        arange = torch.arange(batch, device=self.device)
        # Sharp targets of both halves; then all clear ones.
        self.fine_slots = torch.cat((arange[: self.slots.sharp], arange[n : n + self.slots.sharp]))
        self.coarse_slots = arange[: own.stop]
        self.adversarial_ramp = torch.zeros((), device=self.device)
        oval = set(self.loss_networks.groups["face_oval"])
        points = self.data.landmarks.shape[1]
        self.oval = torch.tensor([float(p in oval) for p in range(points)], device=self.device)
        self.gain = EyesAndMouth(self.loss_networks.groups, self.data.side, self.device)
        # Masks reach the upper and lower border in nearly all crops, and are 0 beside the face anyway.
        fade = border_fade(np.ones((self.data.side, self.data.side), np.float32))
        self.fade = torch.from_numpy(fade).to(self.device) if s.pasted else None
        self.stats: dict[str, Tensor] = {}

    @torch.no_grad()
    def show(self, targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Source, target, result of the moving average and its mask, (n, 3, S, S) each, for rows (n,) of the set."""
        upright = torch.zeros(len(targets), dtype=torch.bool, device=self.device)
        crops = self.data.crops(targets, upright)
        vector = self._vector(
            self.data.coefficients[sources], sources, crops.coefficients, self.data.identity[targets]
        )
        with self._autocast():
            output = self.average(crops.image, vector)
        mask = output.mask.float().expand(-1, 3, -1, -1)
        return self.data.crops(sources, upright).image, crops.image, output.image.float(), mask

    @torch.no_grad()
    def _batch(self) -> tuple[CropBatch, Tensor, Tensor]:
        """Labels, the generator's input images (B, 3, S, S), and identity vectors (B, D)."""
        batch, strangers, settings = self.slots.batch, len(self.slots.strangers), self.settings
        rows = self.rows.long()
        source, target, stranger, mirrored = torch.split(
            rows, [batch, batch, strangers, 2 * batch + strangers]
        )
        of_source, of_target, of_stranger = torch.split(mirrored.bool(), [batch, batch, strangers])
        self.source_rows, self.target_rows = source, target
        crops = self.data.crops(target, of_target)
        own = self._stronger_shape(self.data.known_coefficients(source, of_source), crops.coefficients)
        shown = self.data.identity[target]
        vector = self._vector(
            own,
            source,
            crops.coefficients,
            shown.index_copy(0, self.stranger_slots, self.data.identity[stranger]),
        )
        self.source_coefficients = own

        # ---- Triplets: the input is the photo with another person's face; the label is the photo.
        seen, where = crops.image, self.stranger_slots
        before = seen[where]
        other = self._vector(
            self.data.known_coefficients(stranger, of_stranger),
            stranger,
            crops.coefficients[where],
            shown[where],
        )
        # With gradients enabled, though none are needed, so that the networks use the same kernels as in training.
        with torch.enable_grad(), self._autocast():
            swapped = self.average(before, other).image.float().clamp(0.0, 1.0)
        seen = seen.index_copy(0, where, fill_invalid(swapped, before, crops.valid[where]))

        # ---- Outlines: the input has another jaw outline; the label is the photo.
        pairs = self.slots.self_pairs
        r = torch.rand(3, pairs.stop - pairs.start, device=self.device)
        much = (r[0] < 0.6).float()
        warped = warp_outline(
            seen[pairs],
            crops.landmarks[pairs],
            (2.0 * r[1] - 1.0) * settings.warp[0] * much,
            (2.0 * r[2] - 1.0) * settings.warp[1] * much,
        )
        seen = torch.cat((seen[: pairs.start], warped, seen[pairs.stop :]))

        # ---- Occluders and light: in input and label alike.
        things, light = self._things_and_light(crops.image)
        image = torch.lerp(crops.image, things.look, things.cover) * light
        seen = torch.lerp(seen, things.look, things.cover) * light
        crops = crops._replace(image=image, mask=crops.mask * (1.0 - things.cover))
        layout = torch.channels_last
        seen = seen.contiguous(memory_format=layout)
        return (
            crops._replace(image=image.contiguous(memory_format=layout)),
            seen,
            self._asking_again(seen, vector) if settings.feedback else vector,
        )

    @torch.no_grad()
    def _photos(self) -> Tensor:
        """The labels (B, 3, S, S) of a batch, and nothing else of it."""
        batch, strangers = self.slots.batch, len(self.slots.strangers)
        target = self.rows[batch : 2 * batch].long()
        first = 3 * batch + strangers
        image = self.data.images_of(target, self.rows[first : first + batch].bool())
        things, light = self._things_and_light(image)
        return (torch.lerp(image, things.look, things.cover) * light).contiguous(
            memory_format=torch.channels_last
        )

    def _things_and_light(self, image: Tensor) -> tuple[Occluders, Tensor]:
        """Occluders of (B, 3, S, S) photos, and the factors (B, 1, 1, 1) that dim them."""
        settings = self.settings
        things = draw_occluders(image, settings.occluded)
        ones = torch.ones(len(image), 1, 1, 1, device=self.device)
        return things, dim(ones, settings.dimmed, settings.darkest)

    def _vector(self, coefficients: Tensor, rows: Tensor, of_target: Tensor, shown: Tensor) -> Tensor:
        """The identity vectors (B, D).

        Args:
            coefficients: (B, C) of the sources.
            rows: (B,) of the sources.
            of_target: (B, C) coefficients of the targets.
            shown: (B, 128) identity that each target shows.
        """
        part = self.loss_networks.card.coefficient_slice
        source = {"shape": coefficients[:, part("identity")], "identity": self.data.identity[rows]}
        target = {"expression": of_target[:, part("expression")], "pose": of_target[:, part("pose")]}
        return identity_vector(self.networks.generator.params.vector, source, {**target, "identity": shown})

    def _asking_again(self, seen: Tensor, vector: Tensor) -> Tensor:
        """The vectors (B, D), asking for a part of what first results lack as well; see `asking_again`."""
        with torch.enable_grad(), self._autocast():  # as for triplets
            first = self.average(seen, vector).image.float().clamp(0.0, 1.0)
            found = self.recognisers[0].embed(first)
        return asking_again(vector, self.networks.generator.params.vector, found, self.settings.feedback)

    def _stronger_shape(self, of_source: Tensor, of_target: Tensor) -> Tensor:
        """Coefficients (B, C) of the sources; in pairs of two people with the shape exaggerated by `shape_strength`."""
        strength = self.settings.shape_strength
        if strength == 1.0:
            return of_source
        part, n = self.loss_networks.card.coefficient_slice("identity"), self.slots.half
        moved = of_source.clone()
        moved[:n, part] = torch.lerp(of_target[:n, part], of_source[:n, part], strength)
        return moved

    def _note(self, name: str, value: Tensor) -> None:
        """Adds to the statistics, on the device."""
        if name not in self.stats:
            self.stats[name] = torch.zeros((), device=self.device)
            self.stats[f"#{name}"] = torch.zeros((), device=self.device)
        self.stats[name].add_(value.detach().float())
        self.stats[f"#{name}"].add_(1.0)

    def _autocast(self) -> torch.autocast:
        # Without the cache: weights cast inside one captured graph must not be used by another one.
        enabled = self.half_precision
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled, cache_enabled=False)
