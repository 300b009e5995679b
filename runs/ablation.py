"""The reference's open problem, as an ablation: can gaze and mouth be kept without losing the person?

    python runs/ablation.py SET --data SHARDS --work WORK                # all arms, two seeds, the table
    python runs/ablation.py SET --data SHARDS --work WORK --pairs 16 --measured-pairs 2 --seeds 0     # a rehearsal

Every arm starts from one network (`--start`), sees equally many pairs of the same set, and is measured on the whole
protocol `open`. Stopped at any moment, the same command goes on: finished arms are not trained again.

    A  no terms of gaze, lids and lips
    B  as mini_128 had them: soft, on a quarter of the batch
    C  the seed's way: strong, everywhere
    D  strong, their gradients through eyes and mouth alone, identity damped there
    E  triplets, without these terms
    F  D and E together
    G  C and E together
    H  as F, without damping identity

docs/concepts/gaze-and-identity.md has what came out.

Solved if F is within 0.01 of A by dlib's distance and within 1 point of its top-1, gaze errs by at most 9.5 degrees,
lids and lips err by 20 % less than in B, and C shows the loss that the seed reports (else there was no problem).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hififace.models import params
from hififace.models.params import GeneratorParams
from hififace.training.config import OptimiserConfig, TrainingConfig
from hififace.training.presets import mini_128

NONE = {"gaze": 0.0, "eyelids": 0.0, "lips": 0.0}
SOFT = {"gaze": 1.0, "eyelids": 2.0, "lips": 2.0}
STRONG = {"gaze": 10.0, "eyelids": 10.0, "lips": 10.0}
LIMITED = {"eyes_and_mouth_only": True, "identity_in_eyes_and_mouth": 0.4}
TRIPLETS = {"triplet_share": 0.6}

ARMS: dict[str, tuple[dict[str, float], dict[str, Any]]] = {
    "A": (NONE, {}),
    "B": (SOFT, {"landmark_share": 0.25}),
    "C": (STRONG, {}),
    "D": (STRONG, LIMITED),
    "E": (NONE, TRIPLETS),
    "F": (STRONG, {**LIMITED, **TRIPLETS}),
    "G": (STRONG, TRIPLETS),
    "H": (STRONG, {"eyes_and_mouth_only": True, **TRIPLETS}),
}
"""Arm -> weights of the three terms, and other settings of the loss."""

BASE = {
    "segmentation": 20.0,
    "reconstruction": 60.0,
    "perceptual": 4.0,
    "identity": 14.0,
    "identity_leak": 12.0,
    "shape": 2.0,
    "colour": 20.0,
    "adversarial": 1.5,
    "feature_matching": 4.0,
}
"""What all arms share: the weights that mini was trained with at its end."""

MEASURES = {
    "dlib_source": ("dlib distance to the source", "down", 4),
    "dlib_top1": ("dlib top-1, %", "up", 1),
    "sface_source": ("SFace cosine to the source", "up", 4),
    "dlib_target": ("dlib distance to the target", "up", 4),
    "gaze_deg": ("gaze error, degrees", "down", 2),
    "eye_opening": ("lids, difference", "down", 4),
    "mouth_opening": ("lips, difference", "down", 4),
    "pose_deg": ("pose error, degrees", "down", 2),
    "expression": ("expression error", "down", 4),
}


NETWORKS: dict[str, tuple[Callable[[], GeneratorParams], int]] = {
    "mini_128": (params.mini_128, 5),
    "mini_256": (params.mini_256, 11),
}
"""Generator of the embedded family -> its parameters, and the dilation of masks in pixels."""


def arm_config(arm: str, seed: int, pairs: int, batch: int, network: str = "mini_256") -> TrainingConfig:
    """The configuration of an arm: nothing but its three terms, its gradients, its triplets and the seed differ."""
    create, dilation = NETWORKS[network]
    generator = create()
    weights, changes = ARMS[arm]
    base = mini_128()
    rate = OptimiserConfig(learning_rate=1.6e-4, beta1=0.5, beta2=0.99, gradient_clip=100.0)
    loss = base.loss.model_copy(
        update={
            "weights": {**BASE, **weights},
            "mask_dilation": dilation,
            "landmark_share": 1.0,
            "perceptual_share": 1.0,
            **changes,
        }
    )
    config = base.model_copy(
        update={
            "preset": f"ablation_{arm}",
            "generator": generator,
            "discriminator": params.patch_discriminator(generator.resolution),
            "seed": seed,
            "total_images": pairs,
            "batch_size": batch,
            "generator_optimiser": rate,
            "discriminator_optimiser": rate.model_copy(update={"beta1": 0.0, "learning_rate": 4e-4}),
            "adversarial": base.adversarial.model_copy(update={"discriminator_from_images": 0}),
            "loss": loss,
            "checkpoint_every_images": max(pairs // 4, 1),
            "preview_every_images": max(pairs // 4, 1),
        }
    )
    return TrainingConfig.model_validate(config.model_dump(mode="json"))


def table(measured: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    """A line for each arm and measure: mean over seeds, and half their spread; the verdict below.

    Args:
        measured: arm -> seed -> measure -> value.
    """
    titles = [f"{title} {'↓' if better == 'down' else '↑'}" for title, better, _ in MEASURES.values()]
    lines = ["| arm | seeds | " + " | ".join(titles) + " |", "|---|---:|" + "---:|" * len(titles)]
    for arm, seeds in measured.items():
        cells = []
        for name, (_, _, digits) in MEASURES.items():
            values = np.array([one[name] for one in seeds.values()])
            spread = f" ± {np.ptp(values) / 2:.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.{digits}f}{spread}")
        lines.append(f"| {arm} | {len(seeds)} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *verdict(measured)]) + "\n"


def verdict(measured: Mapping[str, Mapping[int, Mapping[str, float]]]) -> list[str]:
    """The conditions of this file's head, one by one; none without the arms that they compare."""
    if not {"A", "B", "C", "F"} <= set(measured):
        return []
    mean = {
        arm: {name: float(np.mean([one[name] for one in seeds.values()])) for name in MEASURES}
        for arm, seeds in measured.items()
    }
    a, b, c, f = (mean[arm] for arm in "ABCF")
    conditions = {
        "F is within 0.01 of A by dlib's distance": f["dlib_source"] <= a["dlib_source"] + 0.01,
        "F is within 1 point of A's top-1": f["dlib_top1"] >= a["dlib_top1"] - 1.0,
        "F's gaze errs by at most 9.5 degrees": f["gaze_deg"] <= 9.5,
        "F's lids err by 20 % less than B's": f["eye_opening"] <= 0.8 * b["eye_opening"],
        "F's lips err by 20 % less than B's": f["mouth_opening"] <= 0.8 * b["mouth_opening"],
        "C loses likeness against A, as the seed reports": c["dlib_source"] > a["dlib_source"] + 0.01,
    }
    return [f"- {'yes' if held else 'no'}: {text}" for text, held in conditions.items()]


def run_arm(arm: str, seed: int, options: argparse.Namespace) -> Path:
    """Trains and exports an arm, or what is left of that; the bundle's folder."""
    place = options.work / f"{arm}-{seed}"
    bundle = place / "bundle"
    if (bundle / "model.json").is_file():
        return bundle
    place.mkdir(parents=True, exist_ok=True)
    config = arm_config(arm, seed, options.pairs, options.batch, options.network)
    (place / "config.json").write_text(json.dumps(config.model_dump(mode="json")), encoding="utf-8")
    command = ["train", "--config", place / "config.json", "--data", options.set, "--run", place / "run"]
    hififace(*command, "--init-from", options.start, "--device", options.device)
    name = ["--name", f"arm-{arm.lower()}-{seed}", "--licence", "Research use"]
    hififace("export", place / "run", "-o", bundle, "--half", *name)
    return bundle


def hififace(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "hififace", *map(str, words)], check=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", type=Path, help="prepared set of the network's resolution (hififace prepare)")
    parser.add_argument("--data", type=Path, required=True, help="validation shards of the protocol open")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder of runs, bundles, reports and the table"
    )
    parser.add_argument(
        "--start", default="mini", help="what every arm starts from (see hififace train --init-from)"
    )
    parser.add_argument("--network", choices=list(NETWORKS), default="mini_256")
    parser.add_argument("--pairs", type=int, default=30_000, help="seen by each arm")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--measured-pairs", type=int, help="of each part of the protocol; all if not given")
    parser.add_argument(
        "--train-only", action="store_true", help="measure nothing yet; the same command goes on"
    )
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)

    measured: dict[str, dict[int, dict[str, float]]] = {arm: {} for arm in options.arms}
    for seed in options.seeds:  # a whole seed first: half of the work is a whole answer
        for arm in options.arms:
            bundle = run_arm(arm, seed, options)
            if options.train_only:
                continue
            report = options.work / f"{arm}-{seed}" / "report"
            if not (report / "report.json").is_file():
                few = ["--pairs", options.measured_pairs] if options.measured_pairs else []
                what = ["--data", options.data, "--part", "swap", "--no-baselines"]
                hififace("evaluate", bundle, *what, "-o", report, *few)
            (method,) = json.loads((report / "report.json").read_text(encoding="utf-8"))["methods"]
            swap = method["measures"]["swap"]
            measured[arm][seed] = {name: float(swap[name]["mean"]) for name in MEASURES}
            text = table({arm: seeds for arm, seeds in measured.items() if seeds})
            (options.work / "table.md").write_text(text, encoding="utf-8")
            print(text, flush=True)


if __name__ == "__main__":
    main()
