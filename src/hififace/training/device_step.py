"""One training step that never waits for the host: fixed shapes, random numbers of the device, no look at a number.

The same losses as `training/step.py`, over batches whose slots have fixed purposes (`data/slots.py`). On a GPU the
whole step, optimisers and moving average included, is one CUDA graph; the lazy gradient penalty is a second one.

    targets ─► triplets, outlines, occluders, light ─► generator ─► losses ─► Adam ─► average
                                                          └─► two discriminators: sharp windows, clear faces

Letters: B pairs, n = B / 2, S side of the crop, P mesh points.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hififace.data.loader import CropBatch
from hififace.data.resident import ResidentSet
from hififace.data.slots import Slots
from hififace.losses.adversarial import (
    discriminator_accuracy,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    r1_penalty,
)
from hififace.losses.attributes import colour_loss, group_shape_loss, opening_loss
from hififace.losses.averaging import batch_mean
from hififace.losses.identity import cosine
from hififace.losses.perceptual import feature_l1_distance
from hififace.losses.reconstruction import reconstruction_loss
from hififace.losses.resampling import fill_invalid
from hififace.losses.segmentation import segmentation_loss
from hififace.losses.shape import mesh_shape_loss
from hififace.models.create import Discriminator
from hififace.models.generator import Generator, GeneratorOutput
from hififace.models.pretrained.mobilefacenet import MobileFaceNet
from hififace.models.pretrained.resampling import resample_affine
from hififace.training.degrade import dim, draw_occluders, warp_outline
from hififace.training.mesh_teachers import OPENINGS, MeshTeachers, random_views

EMBEDDER_SIZE_PX = 112
REDUCED_PX = 128
"""Side at which recognisers, colours and the whole-face discriminator look: what they need, and no more work."""


@dataclass(frozen=True)
class StepSettings:
    """What a step minimises; weights are those of `losses/total.py`, measured choices are in the lab book."""

    segmentation: float = 20.0
    reconstruction: float = 60.0
    perceptual: float = 4.0
    identity: float = 14.0
    leak: float = 12.0
    outline: float = 40.0
    """The oval of the mesh against where the source's shape moves it."""
    inside: float = 10.0
    """All other points, likewise."""
    eyelids: float = 10.0
    lips: float = 10.0
    gaze: float = 10.0
    colour: float = 20.0
    adversarial: float = 1.5
    feature_matching: float = 4.0
    enough: tuple[float, ...] = (0.72, 0.64)
    """Cosine from which on each recogniser is silent: two photos of one person, and a little more."""
    leak_margin: tuple[float, ...] = (0.2, 0.05)
    """What two strangers have in common for each recogniser."""
    identity_in_eyes_and_mouth: float = 0.4
    """Share of identity's gradient that reaches the pixels of eyes and mouth, whose own terms alone count there."""
    mask_dilation: int = 11
    identity_jitter: float = 1.0
    r1_gamma: tuple[float, float] = (0.1, 0.02)
    """Of the 256 px and the 128 px discriminator."""
    r1_every: int = 16
    warp: tuple[float, float] = (0.12, 0.06)
    """Largest change of the jaw's width and the chin's length in self pairs, shares."""
    occluded: float = 0.15
    dimmed: float = 0.2
    darkest: float = 0.4
    learning_rate: float = 3e-4
    discriminator_rate: float = 4e-4
    gradient_clip: float = 100.0
    average_half_life: float = 400.0
    """Of the moving average, steps."""
    window_px: int = 224
    """The 256 px discriminator sees a window of this side at a random place: few sharp photos are soon known by
    heart."""


class Networks(NamedTuple):
    """What is trained."""

    generator: Generator
    fine: Discriminator
    """Judges windows of sharp targets' results."""
    coarse: Discriminator
    """Judges whole faces at 128 px."""


@dataclass
class DeviceStep:
    """Updates the networks with one batch; `rows` says which photos, everything else is drawn on the device."""

    data: ResidentSet
    known: Sequence[Tensor]
    """(N, D_k) embeddings of all photos by each recogniser."""
    networks: Networks
    teachers: MeshTeachers
    second: MobileFaceNet | None
    """Asks for the source's identity beside SFace."""
    to_arcface: Tensor
    """(2, 3) from pixels of the crop at 128 px to ArcFace's template."""
    slots: Slots
    settings: StepSettings
    device: torch.device
    half_precision: bool = True
    """bfloat16 where positions do not matter. Ten times slower than float32 on CPUs without instructions for it."""
    average: Generator = field(init=False)
    graphs: dict[str, torch.cuda.CUDAGraph] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        generator = self.networks.generator
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        cuda = self.device.type == "cuda"
        s = self.settings

        def adam(networks: Sequence[nn.Module], rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
            # As a tensor on the device the rate can change without making the graph anew.
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
        # Sharp targets of both halves; then all that are clear.
        self.fine_slots = torch.cat((arange[: self.slots.sharp], arange[n : n + self.slots.sharp]))
        self.coarse_slots = arange[: own.stop]
        self.adversarial_ramp = torch.zeros((), device=self.device)
        oval = set(self.teachers.groups["face_oval"])
        points = self.data.landmarks.shape[1]
        self.oval = torch.tensor([float(p in oval) for p in range(points)], device=self.device)
        self.gain = self._face_parts()
        self.stats: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self._result: tuple[Tensor, Tensor, Tensor] | None = None

    def set_rates(self, generator: float, discriminator: float, ramp: float) -> None:
        """Learning rates, and the share 0..1 of the adversarial terms' weight; no graph is made anew."""
        for optimiser, rate in ((self.generator_adam, generator), (self.discriminator_adam, discriminator)):
            for group in optimiser.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
        self.adversarial_ramp.fill_(ramp)

    @torch.no_grad()
    def show(self, targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Source, target, the average's result and its mask, (n, 3, S, S) each, of rows (n,) of the set."""
        upright = torch.zeros(len(targets), dtype=torch.bool, device=self.device)
        crops = self.data.crops(targets, upright)
        vector = self._vector(self.data.coefficients[sources], sources, crops.coefficients)
        with self._autocast():
            output = self.average(crops.image, vector)
        mask = output.mask.float().expand(-1, 3, -1, -1)
        return self.data.crops(sources, upright).image, crops.image, output.image.float(), mask

    # ---- The step.

    def run(self, row: Tensor, step: int) -> None:
        """One whole step.

        Args:
            row: (4B + 2T,) int32, one row of `SlotTable.packed`, on the device.
            step: its number: decides when the gradient penalty is due.
        """
        self.rows.copy_(row)
        self._play("step", self._whole_step)
        if step % self.settings.r1_every == 0:
            self._play("penalty", self._penalty)

    def warm_up(self, row: Tensor, step: int) -> None:
        """The discriminators alone, against a generator that stands still."""
        self.rows.copy_(row)
        self._play("warm-up", self._discriminators_alone)
        if step % self.settings.r1_every == 0:
            self._play("penalty", self._penalty)

    def capture(self) -> None:
        """Makes the CUDA graphs; later steps are replays. Does three steps of each kind first."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        kinds: list[tuple[str, Callable[[], None]]] = [
            ("warm-up", self._discriminators_alone),
            ("penalty", self._penalty),
            ("step", self._whole_step),
        ]
        with torch.cuda.stream(stream):
            for _ in range(3):
                for _, phase in kinds:
                    phase()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        for name, phase in kinds:
            self.generator_adam.zero_grad(set_to_none=True)
            self.discriminator_adam.zero_grad(set_to_none=True)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                phase()
            self.graphs[name] = graph

    def read_stats(self) -> dict[str, float]:
        """Means since the last reading. Waits for the device."""
        counts = {
            name: max(float(self.stats[f"#{name}"]), 1.0) for name in self.stats if not name.startswith("#")
        }
        values = {name: float(self.stats[name]) / count for name, count in counts.items()}
        for value in self.stats.values():
            value.zero_()
        return values

    def _play(self, name: str, phase: Callable[[], None]) -> None:
        graph = self.graphs.get(name)
        if graph is None:
            phase()
        else:
            graph.replay()

    def _whole_step(self) -> None:
        crops, seen, vector = self._batch()
        n, generator = self.slots.half, self.networks.generator
        # ---- Generator.
        self.networks.fine.requires_grad_(False)
        self.networks.coarse.requires_grad_(False)
        self.generator_adam.zero_grad(set_to_none=True)
        with self._autocast():
            output = generator(seen, vector)
        output = GeneratorOutput(*(part.float() for part in output))
        terms = self._pixel_terms(output, crops)
        terms |= self._identity_terms(output.image[:n], crops.landmarks[:n])
        terms |= self._landmark_terms(output.image[:n], crops)
        terms |= self._adversarial_terms(output.image, crops)
        weights = {name: float(getattr(self.settings, name)) for name in terms}
        total = torch.stack(
            [
                weights[name]
                * value
                * (self.adversarial_ramp if name in ("adversarial", "feature_matching") else 1.0)
                for name, value in terms.items()
            ]
        ).sum()
        torch.autograd.backward(total)
        norm = self._update(self.generator_adam, generator)
        with torch.no_grad():
            keep = 0.5 ** (1.0 / self.settings.average_half_life)
            torch._foreach_lerp_(list(self.average.parameters()), list(generator.parameters()), 1.0 - keep)
        for name, value in terms.items():
            self._note(name, value)
        self._note("gradient", norm)
        face = crops.mask
        self._note("mask_inside", (output.mask * face).sum() / face.sum())
        # ---- Discriminators, on results made before the update.
        self._discriminate(output.image.detach(), crops)

    def _discriminators_alone(self) -> None:
        crops, seen, vector = self._batch()
        with torch.no_grad(), self._autocast():
            image = self.networks.generator(seen, vector).image
        self._discriminate(image.float(), crops)

    def _discriminate(self, image: Tensor, crops: CropBatch) -> None:
        networks = self.networks
        networks.fine.requires_grad_(True)
        networks.coarse.requires_grad_(True)
        self.discriminator_adam.zero_grad(set_to_none=True)
        result = fill_invalid(image, crops.image, crops.valid)
        total = torch.zeros((), device=self.device)
        for name, network, (fake, real) in self._views(result, crops.image):
            with self._autocast():
                on_real, on_fake = network(torch.cat((real, fake))).logits.chunk(2)
                loss = discriminator_loss(on_real, on_fake)
            total = total + loss.total
            self._note(f"{name}_accuracy", discriminator_accuracy(on_real, on_fake).both)
        torch.autograd.backward(total)
        self._update(self.discriminator_adam, networks.fine, networks.coarse)

    def _penalty(self) -> None:
        """R1 on photos, as a step of its own (lazy regularisation, Karras et al. 2020)."""
        crops, _, _ = self._batch()
        networks, settings = self.networks, self.settings
        networks.fine.requires_grad_(True)
        networks.coarse.requires_grad_(True)
        self.discriminator_adam.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for (name, network, (photos, _)), gamma in zip(
            self._views(crops.image, crops.image), settings.r1_gamma, strict=True
        ):
            photos = photos.detach().requires_grad_(True)
            penalty = r1_penalty(network(photos).logits, photos, gamma=gamma)
            self._note(f"{name}_r1", penalty)
            total = total + penalty * settings.r1_every
        torch.autograd.backward(total)
        self._update(self.discriminator_adam, networks.fine, networks.coarse)

    # ---- What the generator is shown.

    @torch.no_grad()
    def _batch(self) -> tuple[CropBatch, Tensor, Tensor]:
        """What results are compared with, what the generator sees (B, 3, S, S), and the identity vectors (B, D)."""
        batch, strangers, settings = self.slots.batch, len(self.slots.strangers), self.settings
        rows = self.rows.long()
        source, target, stranger, mirrored = torch.split(
            rows, [batch, batch, strangers, 2 * batch + strangers]
        )
        of_source, of_target, of_stranger = torch.split(mirrored.bool(), [batch, batch, strangers])
        self.source_rows, self.target_rows = source, target
        crops = self.data.crops(target, of_target)
        own = self.data.known_coefficients(source, of_source)
        vector = self._vector(own, source, crops.coefficients)
        self.source_coefficients = own

        # ---- Triplets: a stranger's face on the photo; the photo itself is asked for.
        seen, where = crops.image, self.stranger_slots
        before = seen[where]
        other = self._vector(
            self.data.known_coefficients(stranger, of_stranger), stranger, crops.coefficients[where]
        )
        with self._autocast():
            swapped = self.average(before, other).image.float().clamp(0.0, 1.0)
        seen = seen.index_copy(0, where, fill_invalid(swapped, before, crops.valid[where]))

        # ---- Outlines: another jaw; the photo itself is asked for.
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

        # ---- Occluders and light: on input and label alike.
        things = draw_occluders(crops.image, settings.occluded)
        light = dim(torch.ones_like(crops.image[:, :1]), settings.dimmed, settings.darkest)
        image = torch.lerp(crops.image, things.look, things.cover) * light
        seen = torch.lerp(seen, things.look, things.cover) * light
        crops = crops._replace(image=image, mask=crops.mask * (1.0 - things.cover))
        layout = torch.channels_last
        return (
            crops._replace(image=image.contiguous(memory_format=layout)),
            seen.contiguous(memory_format=layout),
            vector,
        )

    def _vector(self, coefficients: Tensor, rows: Tensor, of_target: Tensor) -> Tensor:
        """[source shape | target expression, pose | source identity], (B, D)."""
        part = self.teachers.card.coefficient_slice
        return torch.cat(
            (
                coefficients[:, part("identity")],
                of_target[:, part("expression")],
                of_target[:, part("pose")],
                self.data.identity[rows],
            ),
            dim=1,
        )

    # ---- Terms.

    def _pixel_terms(self, output: GeneratorOutput, crops: CropBatch) -> dict[str, Tensor]:
        n, slots = self.slots.half, self.slots
        clear = slots.self_pairs
        ones = torch.ones(slots.batch - n, device=self.device)
        with torch.no_grad(), self._autocast():
            theirs = self.teachers.feature_maps(crops.image[clear])
        with self._autocast():
            ours = self.teachers.feature_maps(
                fill_invalid(output.image[clear], crops.image[clear], crops.valid[clear])
            )
        return {
            "segmentation": segmentation_loss(
                output.mask, None, crops.mask, dilation=self.settings.mask_dilation, valid=crops.valid
            ),
            # Halved, as all pairs of two people count as zeros (losses/reconstruction.py).
            "reconstruction": 0.5
            * reconstruction_loss(
                output.image[n:], output.image_low[n:], crops.image[n:], ones, valid=crops.valid[n:]
            ),
            "perceptual": 0.5 * batch_mean(feature_l1_distance(ours, theirs)),
            "colour": colour_loss(_reduced(output.image), _reduced(crops.image), valid=_reduced(crops.valid)),
        }

    def _identity_terms(self, image: Tensor, points: Tensor) -> dict[str, Tensor]:
        """Over the n pairs of two people; halved like the reconstruction."""
        settings, n = self.settings, self.slots.half
        keep = settings.identity_in_eyes_and_mouth
        region = self.gain(points)  # (n, 1, S, S)
        damped = torch.lerp(image, image.detach(), region * (1.0 - keep))
        seen = _reduced(damped)
        identity, leak = [], []
        networks: list[nn.Module] = [self.teachers.sface, *([self.second] if self.second is not None else [])]
        for index, network in enumerate(networks):
            view = random_views(self.to_arcface, n, settings.identity_jitter)
            with self._autocast():
                found = network(resample_affine(seen - 0.5, view, EMBEDDER_SIZE_PX) + 0.5)
            source, target = self.known[index][self.source_rows[:n]], self.known[index][self.target_rows[:n]]
            like = cosine(source, found)
            left = cosine(target, found)
            identity.append((settings.enough[index] - like).clamp_min(0.0).mean())
            leak.append((left - settings.leak_margin[index]).clamp_min(0.0).mean())
            self._note(f"cosine_{index}", like.mean())
            self._note(f"left_{index}", left.mean())
        return {
            "identity": 0.5 * torch.stack(identity).mean(),
            "leak": 0.5 * torch.stack(leak).mean(),
        }

    def _landmark_terms(self, image: Tensor, crops: CropBatch) -> dict[str, Tensor]:
        """Over the n pairs of two people."""
        n, teachers = self.slots.half, self.teachers
        target = crops.landmarks[:n]
        few = CropBatch(*(part[:n] for part in crops))
        region = self.gain(target)
        inner = torch.lerp(image.detach(), image, region)  # gradient through eyes and mouth alone
        points = teachers.mesh_points(image, target)
        inner_points = teachers.mesh_points(inner, target)
        wanted = self._wanted_points(crops.coefficients[:n], target)
        return {
            "outline": mesh_shape_loss(wanted[..., :2], points[..., :2], region_weights=self.oval),
            "inside": mesh_shape_loss(wanted[..., :2], points[..., :2], region_weights=1.0 - self.oval),
            "eyelids": opening_loss(inner_points, target, OPENINGS["eyelids"]),
            "lips": opening_loss(inner_points, target, OPENINGS["lips"])
            + group_shape_loss(inner_points, target, teachers.lips),
            "gaze": teachers.gaze(few, inner),
        }

    @torch.no_grad()
    def _wanted_points(self, coefficients: Tensor, points: Tensor) -> Tensor:
        """The target's own points, moved by what the source's shape changes: (n, P, 3).

        points + landmarks(fused) - landmarks(target): what the linear prior cannot say of the target stays as it is.
        """
        shape, n = self.teachers.shape, self.slots.half
        own = shape.from_flat(coefficients)
        fused = shape.fuse(shape.from_flat(self.source_coefficients[:n]), own)
        return points + shape.landmarks(fused) - shape.landmarks(own)

    def _adversarial_terms(self, image: Tensor, crops: CropBatch) -> dict[str, Tensor]:
        result = fill_invalid(image, crops.image, crops.valid)
        adversarial, matching = [], []
        for _, network, (fake, real) in self._views(result, crops.image):
            with self._autocast():
                judged = network(fake)
                with torch.no_grad():
                    photos = network(real)
            adversarial.append(generator_loss(judged.logits))
            matching.append(feature_matching_loss(judged.features, photos.features))
        return {
            "adversarial": torch.stack(adversarial).sum(),
            "feature_matching": 0.5 * torch.stack(matching).sum(),
        }

    def _views(self, *images: Tensor) -> list[tuple[str, Discriminator, list[Tensor]]]:
        """What each discriminator sees of pictures (B, 3, S, S): the same window and light of each."""
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

    # ---- Odds and ends of a step.

    def _update(self, optimiser: torch.optim.Adam, *networks: nn.Module) -> Tensor:
        """Clips, makes gradients that are not finite zero, steps; returns the norm before clipping."""
        grads = [p.grad for network in networks for p in network.parameters() if p.grad is not None]
        norm = torch.stack(torch._foreach_norm(grads)).norm()
        fine = torch.isfinite(norm)
        factor = torch.where(fine, (self.settings.gradient_clip / (norm + 1e-6)).clamp_max(1.0), 0.0)
        for grad in grads:
            grad.copy_(torch.where(fine, grad * factor, 0.0))
        optimiser.step()
        self._note("skipped", 1.0 - fine.float())
        return torch.where(fine, norm, 0.0)

    def _note(self, name: str, value: Tensor) -> None:
        """Adds to the statistics, on the device."""
        if name not in self.stats:
            self.stats[name] = torch.zeros((), device=self.device)
            self.stats[f"#{name}"] = torch.zeros((), device=self.device)
        self.stats[name].add_(value.detach().float())
        self.stats[f"#{name}"].add_(1.0)

    def _face_parts(self) -> Callable[[Tensor], Tensor]:
        groups = self.teachers.groups
        eyes = [groups["image_left_eye"], groups["image_right_eye"]]
        mouth = groups["lips_outer"]
        boxes = [torch.tensor(sorted(group), device=self.device) for group in (*eyes, mouth)]
        margins = ((0.35, 0.9), (0.35, 0.9), (0.25, 0.35))  # of the box's width, beyond it, across and down
        side = self.data.side

        @torch.no_grad()
        def soft_boxes(points: Tensor) -> Tensor:
            """(n, P, 2 or more) to (n, 1, S, S): 1 on eyes and mouth, soft edges."""
            steps = torch.arange(side, device=points.device, dtype=torch.float32)
            inside = torch.zeros((), device=points.device)
            for indices, (across, down) in zip(boxes, margins, strict=True):
                box = points[:, indices, :2]
                low, high = box.amin(dim=1), box.amax(dim=1)
                width = high[:, :1] - low[:, :1]
                middle = 0.5 * (low + high)
                half = 0.5 * (high - low) + 0.5 * torch.cat((width * across, width * down), dim=1)
                x = (steps - middle[:, :1]).abs() / half[:, :1]
                y = (steps - middle[:, 1:]).abs() / half[:, 1:]
                distance = torch.maximum(x[:, None, :], y[:, :, None])
                inside = torch.maximum(inside, ((1.25 - distance) * 4.0).clamp(0.0, 1.0))
            return inside[:, None]

        return soft_boxes

    def _autocast(self) -> torch.autocast:
        # Without the cache: weights that were cast inside one captured graph must not be taken by another.
        enabled = self.half_precision
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled, cache_enabled=False)


def _reduced(images: Tensor) -> Tensor:
    """(B, C, S, S) to 128 px by the mean of blocks."""
    return F.avg_pool2d(images, images.shape[-1] // REDUCED_PX)
