"""One training step without host synchronisation: static shapes, random numbers drawn on the device.

The same losses as `training/step.py`, over batches whose slots have fixed purposes (`data/slots.py`). On a GPU the
whole step, optimisers and moving average included, is one CUDA graph; the lazy gradient penalty is a second one.

    targets ─► triplets, outlines, occluders, light ─► generator ─► losses ─► Adam ─► average
                                                          └─► two discriminators: sharp windows, clear faces

Letters: B pairs, n = B / 2, S side of the crop, P mesh points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hififace.losses.adversarial import discriminator_accuracy, discriminator_loss, r1_penalty
from hififace.models.generator import GeneratorOutput
from hififace.training.device_terms import ScoredView, StepTerms


class DeviceStep(StepTerms):
    """Updates the networks with one batch; `rows` selects the photos, everything else is drawn on the device."""

    def set_rates(self, generator: float, discriminator: float, ramp: float) -> None:
        """Sets learning rates, and the factor 0..1 on the adversarial terms, without capturing the graphs again."""
        for optimiser, rate in ((self.generator_adam, generator), (self.discriminator_adam, discriminator)):
            for group in optimiser.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
        self.adversarial_ramp.fill_(ramp)

    def run(self, row: Tensor, step: int) -> None:
        """Runs one complete step.

        Args:
            row: (4B + 2T,) int32, one row of `SlotTable.packed`, on the device.
            step: its number, which decides whether the gradient penalty is due.
        """
        if step % self.settings.discriminator_every == 0:
            self._take("step", self._whole_step, row, step)
        else:
            self._take("generator", self._generator_alone, row, step)

    def warm_up(self, row: Tensor, step: int) -> None:
        """Updates the discriminators alone, with a fixed generator."""
        self._take("warm-up", self._discriminators_alone, row, step)

    def capture(self) -> None:
        """Captures the CUDA graphs that later steps replay. Runs three steps of each kind first."""
        kinds: list[tuple[str, Callable[[], object]]] = [
            ("warm-up", self._discriminators_alone),
            ("step", self._whole_step),
        ]
        if any(self.settings.r1_gamma):
            kinds.append(("penalty", self._penalty))
        if self.settings.discriminator_every > 1:
            kinds.append(("generator", self._generator_alone))
        with side_stream():
            for _ in range(3):
                for _, phase in kinds:
                    phase()
        for name, phase in kinds:
            self.generator_adam.zero_grad(set_to_none=True)
            self.discriminator_adam.zero_grad(set_to_none=True)
            self.graphs[name] = record_graph(phase)

    def read_stats(self) -> dict[str, float]:
        """Means since the last call. Waits for the device."""
        counts = {
            name: max(float(self.stats[f"#{name}"]), 1.0) for name in self.stats if not name.startswith("#")
        }
        values = {name: float(self.stats[name]) / count for name, count in counts.items()}
        for value in self.stats.values():
            value.zero_()
        return values

    def _take(self, name: str, phase: Callable[[], object], row: Tensor, step: int) -> None:
        """Runs a phase on the photos of a row, and the gradient penalty where it is due."""
        self.rows.copy_(row)
        self._play(name, phase)
        if any(self.settings.r1_gamma) and step % self.settings.r1_every == 0:
            self._play("penalty", self._penalty)

    def _play(self, name: str, phase: Callable[[], object]) -> None:
        graph = self.graphs.get(name)
        if graph is None:
            phase()
        else:
            graph.replay()

    def _whole_step(self) -> None:
        views = self._generator_alone()
        self._discriminate(views)  # on results made before the update

    def _generator_alone(self) -> list[ScoredView]:
        """Updates the generator and its average; returns the discriminators' scores from before the update."""
        crops, seen, vector = self._batch()
        n, generator = self.slots.half, self.networks.generator
        self.generator_adam.zero_grad(set_to_none=True)
        with self._autocast():
            output = generator(seen, vector)
        output = GeneratorOutput(*(part.float() for part in output))
        terms = self._pixel_terms(output, crops)
        shown = self._pasted(output.image, crops.image)
        region = self.gain(crops.landmarks[:n])
        terms |= self._identity_terms(shown[:n], region)
        terms |= self._landmark_terms(shown[:n], region, crops)
        # One pass of the discriminators serves both losses, whose gradients are computed one after the other.
        scored = shown.detach().requires_grad_(True)
        views = self._score(scored, crops)
        against = self._adversarial_terms(views)
        ramped = {name: value * self.adversarial_ramp for name, value in against.items()}
        (pull,) = torch.autograd.grad(self._weighted(ramped), scored, retain_graph=True)
        torch.autograd.backward([self._weighted(terms), shown], [torch.ones((), device=self.device), pull])
        norm = self._update(self.generator_adam, generator)
        with torch.no_grad():
            keep = 0.5 ** (1.0 / self.settings.average_half_life)
            torch._foreach_lerp_(list(self.average.parameters()), list(generator.parameters()), 1.0 - keep)
        for name, value in (terms | against).items():
            self._note(name, value)
        self._note("gradient", norm)
        face = crops.mask
        self._note("mask_inside", (output.mask.detach() * face).sum() / face.sum())
        return views

    def _weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the terms."""
        return torch.stack(
            [float(getattr(self.settings, name)) * value for name, value in terms.items()]
        ).sum()

    def _discriminators_alone(self) -> None:
        crops, seen, vector = self._batch()
        with torch.no_grad(), self._autocast():
            image = self.networks.generator(seen, vector).image
        self._discriminate(self._score(self._pasted(image.float(), crops.image), crops))

    def _pasted(self, image: Tensor, target: Tensor) -> Tensor:
        """(B, 3, S, S) results as swapping pastes them, if `settings.pasted`."""
        return image if self.fade is None else torch.lerp(target, image, self.fade)

    def _discriminate(self, views: Sequence[ScoredView]) -> None:
        """Updates the discriminators from their scores."""
        networks = self.networks
        self.discriminator_adam.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for view in views:
            on_fake, on_real = view.on_fake.logits, view.on_real.logits
            total = total + discriminator_loss(on_real, on_fake).total
            self._note(f"{view.name}_accuracy", discriminator_accuracy(on_real, on_fake).both)
        learning = [p for network in (networks.fine, networks.coarse) for p in network.parameters()]
        torch.autograd.backward(total, inputs=learning)
        self._update(self.discriminator_adam, networks.fine, networks.coarse)

    def _penalty(self) -> None:
        """R1 on photos, as a step of its own (lazy regularisation, Karras et al. 2020)."""
        networks, settings = self.networks, self.settings
        photos_shown = self._photos()
        self.discriminator_adam.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for (name, network, (photos,)), gamma in zip(
            self._views(photos_shown), settings.r1_gamma, strict=True
        ):
            if gamma == 0.0:
                continue
            photos = photos.detach().requires_grad_(True)
            penalty = r1_penalty(network(photos).logits, photos, gamma=gamma)
            self._note(f"{name}_r1", penalty)
            total = total + penalty * settings.r1_every
        learning = [p for network in (networks.fine, networks.coarse) for p in network.parameters()]
        torch.autograd.backward(total, inputs=learning)
        self._update(self.discriminator_adam, networks.fine, networks.coarse)

    def _update(self, optimiser: torch.optim.Adam, *networks: nn.Module) -> Tensor:
        """Zeroes gradients if any is not finite, clips them and steps; returns the norm before clipping."""
        grads = [p.grad for network in networks for p in network.parameters() if p.grad is not None]
        norm = torch.stack(torch._foreach_norm(grads)).norm()
        fine = torch.isfinite(norm)
        factor = torch.where(fine, (self.settings.gradient_clip / (norm + 1e-6)).clamp_max(1.0), 0.0)
        for grad in grads:
            grad.copy_(torch.where(fine, grad * factor, 0.0))
        optimiser.step()
        self._note("skipped", 1.0 - fine.float())
        return torch.where(fine, norm, 0.0)


def record_graph(phase: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """Captures a phase as a CUDA graph; capturing does not execute it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        phase()
    return graph


@contextmanager
def side_stream() -> Iterator[None]:
    """A side stream, which CUDA requires for work before a graph is captured; waits for the device at the end."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
