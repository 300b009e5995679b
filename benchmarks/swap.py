"""How long a swap takes: from the command to the written file, and per face by size of image and stage.

    mini        the bundle that ships (or `--mini FOLDER`; without either, its architecture with random weights)
    paper-256   the 256 network, ArcFace R100 and Deep3DFaceRecon as `hififace convert` exports them, random weights

Both in one run, in turns. Speed does not depend on weights, except that a mask that covers more is pasted longer. The
images are one public-domain portrait on a grey ground: a face of 100 px in 512 x 512, 300 px in 1920 x 1080 and
600 px in 3840 x 2160. The rules are in benchmarks/README.md.

    python benchmarks/swap.py --threads 2
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from skimage import data

from contract import Timing, environment, in_turns, matrix_product_gflops, write_result
from hififace import FaceSwapper, SwapOptions, SwapResult
from hififace.export.checkpoint import export_published
from hififace.export.graph import export_bundle
from hififace.models.blocks import initialise
from hififace.models.create import create_generator
from hififace.models.params import mini_128, paper_256
from hififace.models.pretrained.arcface import ArcFace
from hififace.models.pretrained.deep3d import Deep3D
from hififace.models.published import Published
from hififace.types import RGBImage
from hififace.weights.bundle import available_models

QUESTION = "How long does a swap take, from the command to the written file and per face, mini against the 256 network?"
MATRIX = "matrix product"
RESULT = Path(__file__).parent / "results" / "swap.json"
SCENES = {"512": (512, 512, 100), "1080p": (1920, 1080, 300), "4K": (3840, 2160, 600)}
"""Width, height and size of the face, in px."""
FACE_PX = 101.0
"""Size of the face in the portrait."""


def scene(width: int, height: int, face_px: int) -> RGBImage:
    """The portrait in the middle of a grey image."""
    portrait = data.astronaut()[20:250, 110:340]
    factor = face_px / FACE_PX
    method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    portrait = cv2.resize(portrait, None, fx=factor, fy=factor, interpolation=method)[:height, :width]
    image = np.full((height, width, 3), 128, np.uint8)
    top, left = (height - portrait.shape[0]) // 2, (width - portrait.shape[1]) // 2
    image[top : top + portrait.shape[0], left : left + portrait.shape[1]] = portrait
    return image


def random_mini(folder: Path) -> Path:
    """The architecture of `mini`."""
    generator = create_generator(mini_128()).eval()
    description = {
        "name": "mini-random", "version": "0", "family": "mesh", "template": "mini_128", "licence": "none",
        "identity": {"part": "sface", "size": 128}, "shape": {"part": "mesh"},
    }  # fmt: skip
    return export_bundle(generator, description, folder).bundle.folder


def random_paper(folder: Path) -> Path:
    """The architecture of a converted checkpoint; every face looks straight at the camera."""
    generator = create_generator(paper_256()).eval()
    initialise(generator, "he")
    deep3d = Deep3D().eval()
    with torch.no_grad():
        for head in deep3d.final_layers:
            for parameter in head.parameters():
                parameter.zero_()
    return export_published(Published(generator, ArcFace(100).eval(), deep3d), folder).bundle.folder


def command(bundle: str, source: Path, target: Path, folder: Path, threads: int) -> Callable[[], object]:
    """From the start of the process to the written result."""
    output = folder / f"out-{Path(bundle).name}.png"
    words = ["swap", str(source), str(target), "-o", str(output), "-m", bundle, "--threads", str(threads)]

    def run() -> None:
        output.unlink(missing_ok=True)
        subprocess.run([sys.executable, "-m", "hififace", *words], check=True, capture_output=True)
        if not output.is_file():
            raise SystemExit(f"{bundle} wrote nothing: nothing was measured.")

    return run


def swap_side(swapper: FaceSwapper, image: RGBImage, kept: list[SwapResult]) -> Callable[[], object]:
    """One image in memory; results are kept for their stages."""

    def run() -> None:
        result = swapper.swap(image, SwapOptions())
        if result.num_swapped != 1:
            raise SystemExit(f"{result.num_swapped} faces were swapped instead of one: nothing was measured.")
        kept.append(result)

    return run


def stages(results: list[SwapResult]) -> dict[str, float]:
    """Median milliseconds of each stage."""
    names = results[0].timings_ms
    return {
        name: round(statistics.median(result.timings_ms[name] for result in results), 2) for name in names
    }


def report(timings: dict[str, Timing], kept: dict[str, list[SwapResult]], rounds: int) -> dict[str, Any]:
    """Every side, with its stages where it has any."""
    return {
        name: timing.as_json() | ({"stages_ms": stages(kept[name][-rounds:])} if name in kept else {})
        for name, timing in timings.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mini", help="name or folder of the bundle (default: the one that ships)")
    parser.add_argument("--threads", type=int, default=2, help="of every network (default 2)")
    parser.add_argument("--rounds", type=int, default=9, help="counted rounds (default 9)")
    parser.add_argument("--warm-up", type=int, default=2, help="rounds before them (default 2)")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result goes")
    options = parser.parse_args()

    where = environment(options.threads)
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mini = options.mini or ("mini" if "mini" in available_models() else str(random_mini(folder / "mini")))
        bundles = {"mini": mini, "paper-256": str(random_paper(folder / "paper-256"))}
        source, target = folder / "source.png", folder / "target.png"
        Image.fromarray(scene(*SCENES["512"])).save(source)
        Image.fromarray(scene(*SCENES["1080p"])).save(target)
        multiply, gflop = matrix_product_gflops()
        sides: dict[str, Callable[[], object]] = {MATRIX: multiply}
        kept: dict[str, list[SwapResult]] = {}
        names = {}
        for side, bundle in bundles.items():
            sides[f"{side}/command, 1080p"] = command(bundle, source, target, folder, options.threads)
            swapper = FaceSwapper.load(bundle, providers=["cpu"], threads=options.threads)
            names[side] = f"{swapper.bundle.name} {swapper.bundle.version}"
            swapper.set_source(source)
            for size, numbers in SCENES.items():
                kept[f"{side}/{size}"] = []
                sides[f"{side}/{size}"] = swap_side(swapper, scene(*numbers), kept[f"{side}/{size}"])
        timings = in_turns(sides, warm_up=options.warm_up, rounds=options.rounds)
    found = report(timings, kept, options.rounds)
    write_result(
        options.output,
        {
            "question": QUESTION,
            "command": " ".join(["python", "benchmarks/swap.py", *sys.argv[1:]]),
            "environment": where,
            "matrix_product_gflops": round(gflop / timings[MATRIX].median_ms * 1e3, 1),
            "mini": names["mini"],
            "sides": found,
        },
    )
    for name, row in found.items():
        print(f"{name:<26} {row['median_ms']:>9.1f} ms  {row.get('stages_ms', '')}")


if __name__ == "__main__":
    main()
