"""How many images a second one training step of `mini_128` takes, against the same step done the reference's way.

Three sides, one run:

    ours        the preset as it is: identity on pairs of different people, landmarks on a third of the batch
    same terms  our step with every term on every pair, descriptions of real photos read from the batch
    reference   the same terms and numbers, but everything that frozen networks say of real photos is computed again in
                every step, by two copies of them (extractor and loss) as the reference holds, and the discriminator
                gathers gradients in the generator's phase that nobody uses

    bfloat16    ours with `precision=bfloat16`, as the preset was before it chose by the machine: slow on processors
                without instructions for it, and what `auto` chooses on others

With `--data SET` the loader is measured as well: a pair as it is read now, and with the valid region computed for every
photo every time, as it was before.

"same terms" and "reference" do the same work: their losses on a step in float32 are compared before anything is timed
(the preset's own precision rounds what is computed again and what was stored in different places). Peak memory is that
of a process that takes three steps of one side and does nothing else.

    python benchmarks/training.py [--data SET] [--threads 2] [--batch 12] [--rounds 9] [--warm-up 2] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import skimage.data
import torch
from torch import Tensor

from contract import environment, in_turns, matrix_product_gflops, write_result
from hififace.data.index import PreparedSet
from hififace.data.loader import BatchLoader, CropBatch, CropReader, PairBatch
from hififace.faces.alignment import align, transform_points
from hififace.faces.detection import YuNetDetector
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.faces.shape import MeshShapePrior
from hififace.faces.templates import TEMPLATES
from hififace.models.create import create_discriminator, create_generator
from hififace.training.checkpoint import Progress, TrainedParts
from hififace.training.config import TrainingConfig
from hififace.training.distributed import World
from hififace.training.half_precision import uses_bfloat16
from hififace.training.mesh_loss_networks import MeshLossNetworks
from hififace.training.presets import mini_128
from hififace.training.stats import StageClock
from hififace.training.step import TrainingStep, create_optimiser

RESULT = Path(__file__).with_name("results") / "training.json"
LARGEST_DIFFERENCE = 1e-3
LATE = 100_000
"""Images seen: every term of the preset is at its full weight, the discriminator plays."""


Step = Callable[[], dict[str, Tensor]]


class RecomputingLossNetworks(MeshLossNetworks):
    """The reference's way: nothing about real photos is remembered, and the extractor has networks of its own."""

    extractor: MeshLossNetworks

    def known_embeddings(self, crops: CropBatch) -> list[Tensor]:
        """Computed again, by the loss's copy."""
        return [describe(self, crops).identity]

    def identity_vector(self, batch: PairBatch) -> Tensor:
        """Computed again, by the extractor's copy."""
        return super().identity_vector(describe_pairs(self.extractor, batch))

    def fused_points(self, batch: PairBatch) -> Tensor:
        """Computed again, by the loss's copy."""
        return super().fused_points(describe_pairs(self, batch, with_identity=False))


@torch.no_grad()
def describe(loss_networks: MeshLossNetworks, crops: CropBatch, *, with_identity: bool = True) -> CropBatch:
    """What the frozen networks say of photos, from their crops."""
    points = loss_networks.mesh_points(crops.image, crops.landmarks)
    described = crops._replace(coefficients=loss_networks.shape.coefficients(points).flat())
    if not with_identity:
        return described
    return described._replace(
        identity=torch.nn.functional.normalize(loss_networks._embed(crops.image), dim=1)
    )


def describe_pairs(
    loss_networks: MeshLossNetworks, batch: PairBatch, *, with_identity: bool = True
) -> PairBatch:
    """Both photos of each pair; of the target nobody asks for the identity."""
    return PairBatch(
        describe(loss_networks, batch.source, with_identity=with_identity),
        describe(loss_networks, batch.target, with_identity=False),
        batch.same,
    )


def make_batch(size: int, loss_networks: MeshLossNetworks) -> PairBatch:
    """One portrait in the public domain in many lights, described as a prepared set would describe it."""
    portrait = skimage.data.astronaut()
    face = YuNetDetector(threads=1).detect(portrait)[0]
    aligned = align(portrait, face.points, TEMPLATES["mini_128"])
    mesh = FaceMeshLandmarker(threads=1).locate(portrait, face).points
    points = torch.from_numpy(transform_points(aligned.matrix, mesh).astype(np.float32))
    crop = torch.from_numpy(aligned.crop).permute(2, 0, 1).float() / 255
    generator = torch.Generator().manual_seed(3)
    sides = []
    for _ in range(2):
        light = 0.7 + 0.6 * torch.rand(size, 3, 1, 1, generator=generator)
        crops = CropBatch(
            (crop * light).clamp(0, 1),
            (torch.rand(size, 1, 128, 128, generator=generator) > 0.5).float(),
            torch.ones(size, 1, 128, 128),
            torch.empty(size, 0),
            torch.empty(size, 0),
            points.expand(size, -1, -1),
        )
        sides.append(describe(loss_networks, crops))
    return PairBatch(sides[0], sides[1], (torch.arange(size) % 2).float())


def make_config(side: str, precision: str | None = None) -> TrainingConfig:
    config = mini_128()
    if precision is not None:
        config = config.model_copy(update={"precision": precision})
    if side == "bfloat16":
        return config.model_copy(update={"precision": "bfloat16"})
    if side == "ours":
        return config
    loss = config.loss.model_copy(
        update={"identity_on": "all", "landmark_share": 1.0, "perceptual_share": 1.0}
    )
    return config.model_copy(update={"loss": loss})


def load_loss_networks(side: str) -> MeshLossNetworks:
    """The frozen networks of a side; two copies of each for the reference's."""
    slices, start = {}, 0
    for name, size in MeshShapePrior.load().layout:
        slices[name] = slice(start, start + size)
        start += size
    card = SimpleNamespace(template="mini_128", resolution=128, coefficient_slice=slices.__getitem__)
    kind = RecomputingLossNetworks if side == "reference" else MeshLossNetworks
    loss_networks = kind.load(make_config(side), card, torch.device("cpu"))
    if isinstance(loss_networks, RecomputingLossNetworks):
        loss_networks.extractor = deepcopy(loss_networks)
    return loss_networks


def make_side(side: str, batch_size: int, precision: str | None = None) -> Step:
    """A call that takes a step; equal weights and images for every side."""
    torch.manual_seed(0)
    config, loss_networks = make_config(side, precision), load_loss_networks(side)
    generator, discriminator = create_generator(config.generator), create_discriminator(config.discriminator)
    parts = TrainedParts(
        {"generator": generator, "discriminator": discriminator},
        {
            "generator": create_optimiser(config.generator_optimiser, generator),
            "discriminator": create_optimiser(config.discriminator_optimiser, discriminator),
        },
    )
    device = torch.device("cpu")
    step = TrainingStep(config, parts, loss_networks, World(0, 1, device))
    if side == "reference":
        discriminator.requires_grad_ = lambda flag=True: discriminator
    batch, clock = make_batch(batch_size, loss_networks), StageClock(device)
    progress = Progress(images=LATE, steps=1)
    return lambda: step(batch, progress, clock)


class RecomputingReader(CropReader):
    """Computes the valid region of every photo every time, without a look at its corners."""

    def _valid_region(self, row: int, arrays: dict[str, np.ndarray], size: int) -> np.ndarray:
        inverse = cv2.invertAffineTransform(np.asarray(arrays["matrix"], dtype=np.float64))
        steps = np.arange(size, dtype=np.float64)
        valid = np.ones((size, size), dtype=bool)
        for axis in range(2):
            place = (inverse[axis, 1] * steps + inverse[axis, 2])[:, None] + inverse[axis, 0] * steps
            valid &= (place >= -1e-3) & (place <= float(arrays["photo_size"][axis]) - 1.0 + 1e-3)
        return valid.view(np.uint8)


def measure_loader(data: Path, rounds: int) -> dict[str, object]:
    """Milliseconds a pair of both readers, over the same pairs; their tensors are compared first."""
    prepared, pairs = PreparedSet.open(data), 200
    loaders = {}
    for name, kind in (("ours", CropReader), ("recomputing", RecomputingReader)):
        loaders[name] = BatchLoader(prepared, seed=0, batch_size=pairs, workers=0)
        loaders[name].reader = kind(prepared)
    first, second = (loader.batch(0) for loader in loaders.values())
    for ours, theirs in zip((*first.source, *first.target), (*second.source, *second.target), strict=True):
        if not torch.equal(ours, theirs):
            raise SystemExit("The two readers differ: nothing was measured.")
    timings = in_turns({n: lambda u=u: u.batch(0) for n, u in loaders.items()}, warm_up=1, rounds=rounds)
    result = {name: round(timings[name].median_ms / pairs, 3) for name in loaders}
    return {"ms_per_pair": result, "times_faster": round(result["recomputing"] / result["ours"], 2)}


def check_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Largest relative difference of a loss between two sides' first steps; ends the run where it is too large."""
    names = [name for name in ours if name.startswith("loss/")]
    differences = {n: abs(float(ours[n] - theirs[n])) / max(abs(float(theirs[n])), 1e-3) for n in names}
    worst = max(differences, key=lambda name: differences[name])
    if not differences[worst] <= LARGEST_DIFFERENCE:
        raise SystemExit(
            f"{worst} differs by {differences[worst]:.1e} between the sides: nothing was measured."
        )
    return differences[worst]


def own_peak_mib() -> float:
    """Largest resident memory of this process. Not `ru_maxrss` where it can be helped: on Linux a child starts with its
    parent's.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
    parser.add_argument("--data", type=Path, help="a prepared set at 128 px, for the loader")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    where = environment(options.threads)  # before the machine is busy with us
    torch.set_num_threads(options.threads)
    if options.side:
        call = make_side(options.side, options.batch)
        for _ in range(3):
            call()
        print(own_peak_mib())
        return

    names = ("ours", "bfloat16", "same terms", "reference")
    calls = {name: make_side(name, options.batch) for name in names}
    difference = check_equal(*(make_side(name, options.batch, "float32")() for name in names[2:]))
    product, gflop = matrix_product_gflops()
    timings = in_turns({**calls, "matrix product": product}, warm_up=options.warm_up, rounds=options.rounds)
    result = {
        "environment": where,
        "batch_size": options.batch,
        "precision": "bfloat16" if uses_bfloat16("auto", torch.device("cpu")) else "float32",
        "largest_relative_difference_of_a_loss": difference,
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
    if options.data is not None:
        result["loader"] = measure_loader(options.data, options.rounds)
    write_result(options.output, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
