"""Validation of a run on photos it never trains on, and the choice of its best checkpoint.

A small protocol on fixed pairs: figures of generated crops, made by the moving average.

    sface, second     cosine between source and result, by two recognisers
    pose_deg          angle between the heads of result and target
    gaze_deg          angle between their gaze directions; closed eyes of the target are left out
    sharpness         energy of the Laplacian of the luma within the mask, result over target; 1 is equally sharp
    score             selects the best checkpoint, see `HeldOutConfig`

It shows whether a run still improves and where it was best. The quality of a model is measured by `hififace evaluate`:
on whole photographs, with recognisers that training never sees. Letters: n pairs, S side of the crop, P mesh points.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hififace.data.index import SetCard
from hififace.data.loader import CropBatch
from hififace.data.resident import ResidentSet
from hififace.errors import DataError, OptionError, WeightsError
from hififace.losses.attributes import opening
from hififace.models.generator import Generator, GeneratorOutput
from hififace.models.identity import identity_vector
from hififace.models.pretrained.face_mesh import load_face_mesh
from hififace.models.pretrained.iris import load_iris
from hififace.models.pretrained.mesh_shape import load_mesh_shape, rotation_matrices
from hififace.models.pretrained.sface import load_sface
from hififace.training.checkpoint import read_state
from hififace.training.config import HeldOutConfig
from hififace.training.device_photos import read_photos
from hififace.training.distributed import World
from hififace.training.mesh_loss_networks import OPEN_EYE, OPENINGS, MeshLossNetworks
from hififace.training.recognisers import Recogniser, make_recognisers
from hififace.training.run_options import RunOptions
from hififace.training.step import seen_by_generator

LOGGER = logging.getLogger(__name__)

BEST = "best"
"""Folder, within a run's, of its best checkpoint."""
_SEED = 20_261_127
_BATCH = 16
_IRIS_PER_WIDTH = 3.0
"""Eye width over the iris's distance from the centre of rotation: 30 mm / 10 mm, as in metrics.py."""
_LARGEST_SINE = 0.95
_GENERATED = 0.95
_LEAST_ENERGY = (0.5 / 255.0) ** 2
_LUMA = (0.299, 0.587, 0.114)

Embed = Callable[[Tensor], Tensor]
"""(n, 3, S, S) crops to (n, D) of unit length."""


class Keep(Protocol):
    """Writes the best checkpoint."""

    def __call__(self, *, figures: Mapping[str, float]) -> None:
        """Writes it with its figures."""


@dataclass(frozen=True)
class HeldOutNetworks:
    """The frozen networks that the figures are computed with."""

    recognisers: dict[str, Embed]
    mesh: MeshLossNetworks
    """With the mesh and the iris network."""


class HeldOutProtocol:
    """Measures a generator on fixed pairs.

    Args:
        data: (2n) photos on the device: the targets of the pairs, then their sources.
        networks: the networks to compute the figures with.
    """

    def __init__(self, data: ResidentSet, networks: HeldOutNetworks) -> None:
        self.networks = networks
        rows = torch.arange(len(data), device=data.images.device)
        self.count = len(data) // 2
        upright = torch.zeros(len(data), dtype=torch.bool, device=rows.device)
        self._batches = [(part, part + self.count) for part in torch.split(rows[: self.count], _BATCH)]
        self.data, self._upright = data, upright

    @classmethod
    def load(
        cls,
        sets: Sequence[Path],
        card: SetCard,
        config: HeldOutConfig,
        device: torch.device,
        files: Path | None,
    ) -> HeldOutProtocol:
        """Reads a held-out set, and loads the networks to measure with.

        Args:
            sets: parts of a packed set or a prepared folder, of people who are not in the training set.
            card: of the training set, whose crops must be of the same kind.
            config: number of pairs.
            device: where to measure.
            files: folder of the user's files; MobileFaceNet is the second recogniser where it is found.

        Raises:
            DataError: the set is missing, damaged, has other crops, or has too few photos.
            OptionError: the set is of the Basel family, for which there is no such protocol.
        """
        if card.family != "mesh":
            raise OptionError(
                f"Held-out figures while training are for the family 'mesh'; this set is of '{card.family}'. Leave "
                "--held-out out, and measure with `hififace evaluate`."
            )
        photos = read_photos(sets, device)
        differing = [
            name
            for name in ("family", "template", "resolution", "coefficients")
            if getattr(photos.card, name) != getattr(card, name)
        ]
        if differing:
            raise DataError(
                f"The held-out set {sets[0]} shows other crops than the set of the run: they differ in "
                f"{', '.join(differing)}. Prepare both with the same options."
            )
        targets, sources = choose_pairs(photos.codes, config.pairs)
        rows = torch.from_numpy(np.concatenate([targets, sources])).to(device)
        few = {name: value if name == "mirror" else value[rows] for name, value in vars(photos.data).items()}
        mesh = MeshLossNetworks(card, (), load_sface(), load_mesh_shape(), load_face_mesh(), load_iris())
        for network in (mesh.sface, mesh.shape, mesh.face_mesh, mesh.iris):
            if network is not None:
                network.to(device).eval().requires_grad_(False)
        try:
            found = make_recognisers(mesh.sface, ("mobilefacenet",), card, device, files)
        except WeightsError as error:
            LOGGER.warning("held-out figures have one recogniser only: %s", error)
            found = make_recognisers(mesh.sface, (), card, device, files)
        recognisers = {name: _unit_length(one) for name, one in zip(("sface", "second"), found, strict=False)}
        return cls(ResidentSet(**few), HeldOutNetworks(recognisers, mesh))

    @torch.no_grad()
    def measure(self, generator: Generator) -> dict[str, float]:
        """Means of the figures, by name; a pair for which one is undefined is left out of its mean."""
        params = generator.params
        found: dict[str, list[Tensor]] = {}
        for targets, sources in self._batches:
            crops = self.data.crops(targets, self._upright[targets])
            origin = self.data.crops(sources, self._upright[sources])
            vector = identity_vector(params.vector, self._face_features(origin), self._face_features(crops))
            output = GeneratorOutput(*generator(seen_by_generator(crops.image, params), vector))
            image = output.image.float().clamp(0.0, 1.0)
            if image.shape[-1] != crops.image.shape[-1]:
                image = F.interpolate(image, size=crops.image.shape[-2:], mode="area")
            mask = F.interpolate(output.mask.float(), size=image.shape[-2:], mode="bilinear")
            for name, values in self._figures(
                image, mask, crops.image, origin.image, crops.landmarks
            ).items():
                found.setdefault(name, []).append(values)
        return {name: float(torch.cat(values).nanmean()) for name, values in found.items()}

    def _figures(
        self, result: Tensor, mask: Tensor, target: Tensor, source: Tensor, points: Tensor
    ) -> dict[str, Tensor]:
        """(n,) of each figure; NaN where it is undefined."""
        mesh = self.networks.mesh
        found = {
            name: (embed(result) * embed(source)).sum(dim=1)
            for name, embed in self.networks.recognisers.items()
        }
        heads = [
            rotation_matrices(mesh.shape.coefficients(mesh.mesh_points(images, points)).pose)
            for images in (result, target)
        ]
        found["pose_deg"] = rotation_angle_deg(*heads)
        looks = [gaze_directions(mesh.iris_directions(images, points)) for images in (result, target)]
        open_eyes = (
            torch.stack([opening(points[..., :2], where) for where in OPENINGS["eyelids"]], dim=1) >= OPEN_EYE
        )
        angles = torch.rad2deg(torch.acos((looks[0] * looks[1]).sum(dim=2).clamp(-1.0, 1.0)))  # (n, 2)
        found["gaze_deg"] = torch.where(open_eyes, angles, torch.nan).nanmean(dim=1)
        found["sharpness"] = sharpness(result, target, mask)
        return found

    def _face_features(self, crops: CropBatch) -> dict[str, Tensor]:
        part, coefficients = self.networks.mesh.card.coefficient_slice, crops.coefficients
        return {
            "shape": coefficients[:, part("identity")],
            "expression": coefficients[:, part("expression")],
            "pose": coefficients[:, part("pose")],
            "identity": crops.identity,
        }


def _unit_length(recogniser: Recogniser) -> Embed:
    return lambda images: F.normalize(recogniser.embed(images), dim=1)


class HeldOut:
    """Measures at intervals, and keeps the best checkpoint.

    Args:
        protocol: how to measure; None measures nothing.
        config: the interval, and the weights of the score.
        run: the folder of the run, from which the best score so far is read.
    """

    def __init__(self, protocol: HeldOutProtocol | None, config: HeldOutConfig, run: Path) -> None:
        self._protocol, self._config = protocol, config
        self.folder = run / BEST
        self._best = -math.inf
        if protocol is not None and (self.folder / "state.json").is_file():
            self._best = float(read_state(self.folder).get("figures", {}).get("score", -math.inf))
        self._last = time.monotonic()

    @classmethod
    def open(
        cls, options: RunOptions, card: SetCard, config: HeldOutConfig, run: Path, world: World
    ) -> HeldOut:
        """Opens the held-out set of a run's options, in the first process; without a set nothing is measured.

        Raises:
            DataError: the set is missing, damaged, has other crops, or shows too few people.
            OptionError: the set is of a family for which there is no such protocol.
        """
        if not options.held_out or not world.is_first:
            return cls(None, config, run)
        files = options.loss_network_files
        return cls(HeldOutProtocol.load(options.held_out, card, config, world.device, files), config, run)

    def look(self, generator: Generator, keep: Keep, *, at_once: bool) -> dict[str, float]:
        """Measures if it is due, and calls `keep` if the score is the best so far.

        Args:
            generator: the generator to measure.
            keep: writes the best checkpoint; called with the figures.
            at_once: measure now, even if it is not due.

        Returns:
            The figures as `held_out/NAME`; empty if nothing was due.
        """
        now = time.monotonic()
        if self._protocol is None or not (at_once or now - self._last >= self._config.every_s):
            return {}
        self._last = now
        figures = self._protocol.measure(generator)
        figures["score"] = score_of(figures, self._config)
        if figures["score"] > self._best:
            self._best = figures["score"]
            keep(figures=figures)
        return {f"held_out/{name}": value for name, value in figures.items()}


def score_of(figures: dict[str, float], config: HeldOutConfig) -> float:
    """Mean cosine similarity, minus penalties for pose and gaze errors, plus a reward for sharpness up to the target's.

    -inf if a figure is not finite, so that such a state is never the best.
    """
    likeness = [figures[name] for name in ("sface", "second") if name in figures]
    score = (
        sum(likeness) / len(likeness)
        - config.pose_price * figures["pose_deg"]
        - config.gaze_price * figures["gaze_deg"]
        + config.sharpness_worth * min(figures["sharpness"], 1.0)
    )
    return score if math.isfinite(score) else -math.inf


def choose_pairs(codes: NDArray[np.integer], pairs: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of targets and of sources, `pairs` of each or as many as the set allows; always two different people.

    Args:
        codes: (N,) number of each photo's person, -1 where it is not known.
        pairs: the number wanted.

    Raises:
        DataError: the photos show one person only.
    """
    order = np.random.default_rng(_SEED).permutation(len(codes)).astype(np.int64)
    targets = order[:pairs]
    sources = np.roll(order, -max(1, len(order) // 2))[: len(targets)]
    for place, target in enumerate(targets):
        for step in range(len(order)):
            other = order[(place + max(1, len(order) // 2) + step) % len(order)]
            if other != target and not (codes[other] == codes[target] and codes[target] >= 0):
                sources[place] = other
                break
        else:
            raise DataError("The held-out photos show one person only: give a set of at least two people.")
    return targets, sources


def rotation_angle_deg(first: Tensor, second: Tensor) -> Tensor:
    """(n,) degrees between rotations (n, 3, 3)."""
    between = first.transpose(1, 2) @ second
    axis = torch.stack(
        (
            between[:, 2, 1] - between[:, 1, 2],
            between[:, 0, 2] - between[:, 2, 0],
            between[:, 1, 0] - between[:, 0, 1],
        ),
        dim=1,
    )
    trace = between.diagonal(dim1=1, dim2=2).sum(dim=1)
    return torch.rad2deg(torch.atan2(0.5 * axis.norm(dim=1), 0.5 * (trace - 1.0)))


def gaze_directions(offsets: Tensor) -> Tensor:
    """(..., 3) unit gaze vectors, from offsets (..., 2) of the irises from the middle of their eyes, in eye widths."""
    sines = offsets * _IRIS_PER_WIDTH
    sines = sines / (sines.norm(dim=-1, keepdim=True) / _LARGEST_SINE).clamp_min(1.0)
    return torch.cat((sines, (1.0 - sines.square().sum(dim=-1, keepdim=True)).sqrt()), dim=-1)


def sharpness(result: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """(n,) energy of the Laplacian within the mask, result over target; NaN where the target has no detail.

    Args:
        result: (n, 3, S, S) RGB 0..1.
        target: likewise.
        mask: (n, 1, S, S) 0..1; the whole image counts where the mask is empty.
    """
    inside = (mask > _GENERATED).float()
    inside = torch.where(inside.flatten(1).any(dim=1)[:, None, None, None], inside, torch.ones_like(inside))
    inside = inside[..., 1:-1, 1:-1]
    luma = torch.tensor(_LUMA, device=result.device).view(1, 3, 1, 1)
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], device=result.device)[
        None, None
    ]
    energies = [
        (F.conv2d((image * luma).sum(dim=1, keepdim=True), kernel).square() * inside).sum(dim=(1, 2, 3))
        / inside.sum(dim=(1, 2, 3))
        for image in (result, target)
    ]
    return torch.where(energies[1] >= _LEAST_ENERGY, energies[0] / energies[1], torch.nan)
