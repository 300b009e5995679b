"""How many images a second one training step of `mini_128` takes, against the same step done the reference's way.

Three sides, one run:

    ours        the preset as it is: identity on pairs of different people, landmarks on a third of the batch
    same terms  our step with every term on every pair, descriptions of real photos read from the batch
    reference   the same terms and numbers, but everything that frozen networks say of real photos is computed again in
                every step, twice where the reference holds two copies (extractor and loss), and the discriminator
                gathers gradients in the generator's phase that nobody uses

Peak memory is that of a process that takes three steps of one side and does nothing else.

    python benchmarks/training.py [--threads 2] [--batch 12] [--rounds 9] [--warm-up 2] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from contract import environment, in_turns, matrix_product_gflops, write_result
from hififace.data.loader import CropBatch, PairBatch
from hififace.faces.shape import MeshShapePrior
from hififace.faces.templates import TEMPLATES
from hififace.models.create import create_discriminator, create_generator
from hififace.training.checkpoint import Progress, TrainedParts
from hififace.training.config import TrainingConfig
from hififace.training.distributed import World
from hififace.training.mesh_teachers import MeshTeachers
from hififace.training.presets import mini_128
from hififace.training.stats import StageClock
from hififace.training.step import TrainingStep, create_optimiser

RESULT = Path(__file__).with_name("results") / "training.json"
LATE = 100_000
"""Images seen: every term of the preset is at its full weight, the discriminator plays."""


class RecomputingTeachers(MeshTeachers):
    """The reference's way: nothing about real photos is remembered."""

    def known_embeddings(self, crops: CropBatch) -> list[Tensor]:
        """Computed again, by the loss's copy."""
        with torch.no_grad():
            return [self._embed(crops.image)]

    def identity_vector(self, batch: PairBatch) -> Tensor:
        """Computed again, by the extractor's copy."""
        return super().identity_vector(self._described(batch))

    def _fused_points(self, batch: PairBatch) -> Tensor:
        return super()._fused_points(self._described(batch))

    @torch.no_grad()
    def _described(self, batch: PairBatch) -> PairBatch:
        sides = []
        for crops in (batch.source, batch.target):
            points = self._mesh_points(crops.image, crops.landmarks)
            sides.append(crops._replace(coefficients=self.shape.coefficients(points).flat()))
        identity = self._embed(batch.source.image)
        identity = identity / identity.norm(dim=1, keepdim=True)
        return PairBatch(sides[0]._replace(identity=identity), sides[1], batch.same)


def make_batch(size: int) -> PairBatch:
    """Random pixels around plausible landmarks: what a step costs does not depend on what is in the pictures."""
    prior, rng = MeshShapePrior.load(), np.random.default_rng(3)
    template = TEMPLATES["mini_128"].points
    crops = []
    for _ in range(2):
        vectors, points = [], []
        for _ in range(size):
            flat = np.zeros(prior.vector_size, dtype=np.float32)
            flat[: prior.identity_size + prior.expression_size] = rng.standard_normal(
                prior.identity_size + prior.expression_size
            )
            flat[-4] = float(np.linalg.norm(template[0] - template[1])) * 0.7
            flat[-3:] = (63.5, 63.5, 0.0)
            vectors.append(flat)
            points.append(prior.landmarks(prior.from_vector(flat)))
        identity = torch.nn.functional.normalize(torch.randn(size, 128), dim=1)
        crops.append(
            CropBatch(
                torch.rand(size, 3, 128, 128),
                (torch.rand(size, 1, 128, 128) > 0.5).float(),
                torch.ones(size, 1, 128, 128),
                identity,
                torch.from_numpy(np.stack(vectors)),
                torch.from_numpy(np.stack(points).astype(np.float32)),
            )
        )
    return PairBatch(crops[0], crops[1], (torch.arange(size) % 2).float())


def make_config(side: str) -> TrainingConfig:
    config = mini_128()
    if side == "ours":
        return config
    loss = config.loss.model_copy(
        update={"identity_on": "all", "landmark_share": 1.0, "perceptual_share": 1.0}
    )
    return config.model_copy(update={"loss": loss})


def make_side(side: str, batch: PairBatch) -> tuple[TrainingStep, object]:
    """A step that is ready, and a call that takes it."""
    torch.manual_seed(0)
    config = make_config(side)
    layout = MeshShapePrior.load().layout
    slices, start = {}, 0
    for name, size in layout:
        slices[name] = slice(start, start + size)
        start += size
    card = SimpleNamespace(template="mini_128", resolution=128, coefficient_slice=slices.__getitem__)
    device = torch.device("cpu")
    kind = RecomputingTeachers if side == "reference" else MeshTeachers
    teachers = kind.load(config, card, device)
    generator, discriminator = create_generator(config.generator), create_discriminator(config.discriminator)
    parts = TrainedParts(
        {"generator": generator, "discriminator": discriminator},
        {
            "generator": create_optimiser(config.generator_optimiser, generator),
            "discriminator": create_optimiser(config.discriminator_optimiser, discriminator),
        },
    )
    step = TrainingStep(config, parts, teachers, World(0, 1, device))
    if side == "reference":
        discriminator.requires_grad_ = lambda flag=True: discriminator
    clock, progress = StageClock(device), Progress(images=LATE, steps=1)
    return step, lambda: step(batch, progress, clock)


def peak_memory_mib(side: str, batch_size: int, threads: int) -> float:
    """Of a process of its own that takes three steps."""
    command = [
        sys.executable,
        __file__,
        "--side",
        side,
        "--batch",
        str(batch_size),
        "--threads",
        str(threads),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batch = make_batch(options.batch)
    if options.side:
        call = make_side(options.side, batch)[1]
        for _ in range(3):
            call()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return

    names = ("ours", "same terms", "reference")
    calls = {name: make_side(name, batch)[1] for name in names}
    product, gflop = matrix_product_gflops()
    timings = in_turns({**calls, "matrix product": product}, warm_up=options.warm_up, rounds=options.rounds)
    result = {
        "environment": environment(options.threads),
        "batch_size": options.batch,
        "matrix_product_gflops": round(gflop / timings["matrix product"].median_ms * 1e3, 1),
        "sides": {
            name: {
                **timings[name].as_json(),
                "images_per_s": round(options.batch / timings[name].median_ms * 1e3, 2),
                "peak_memory_mib": round(peak_memory_mib(name, options.batch, options.threads)),
            }
            for name in names
        },
    }
    reference = timings["reference"].median_ms
    result["times_faster_than_reference"] = {
        name: round(reference / timings[name].median_ms, 2) for name in names
    }
    write_result(options.output, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
