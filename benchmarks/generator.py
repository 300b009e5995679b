"""One frame of the 256 network, by runtime, against what the reference does per frame; and `mini_256` beside it.

    plain       eager PyTorch, everything for every frame: both 3D passes, identity, generator   (the reference)
    eager       PyTorch, source cached: 3D pass of the target, generator, channels last
    onnxruntime the same two networks as exported graphs
    bfloat16    the same graphs in bfloat16 on OpenVINO, if this processor multiplies it natively

Weights are random: speed does not depend on them. The rules are in benchmarks/README.md.

    python benchmarks/generator.py --threads 2
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contract import Timing, environment, in_turns, matrix_product_gflops, write_result
from hififace.export.graph import GENERATOR_OUTPUTS, SHAPE_OUTPUTS, GeneratorGraph, ShapeGraph
from hififace.export.onnx import export_graph
from hififace.models.blocks import initialise
from hififace.models.create import create_generator
from hififace.models.generator import Generator
from hififace.models.params import mini_256, paper_256
from hififace.models.pretrained.arcface import ArcFace
from hififace.models.pretrained.deep3d import Deep3D
from hififace.models.published import Published
from hififace.weights.openvino_graph import why_not
from hififace.weights.sessions import open_bfloat16_session, open_session
from macs import count_macs

RESULT = Path(__file__).parent / "results" / "generator.json"
LARGEST_DIFFERENCE = 1e-3
LARGEST_MEAN_IN_BFLOAT16 = 0.05
"""Random weights pass eight bits of mantissa through some fifty layers: single pixels are far off, most are not."""
SOURCE_SHAPE = (
    80  # the first numbers of the identity vector come from the source, the next 177 from the target
)

Frame = Callable[[], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""One frame: image (1, 3, N, N) and mask (1, 1, N, N)."""


def eager(published: Published, target: Tensor, shape: Tensor, identity: Tensor) -> Frame:
    """The source's shape (1, 80) and identity (1, 512) are cached; the target's coefficients are not."""
    generator = published.generator.to(memory_format=torch.channels_last)
    deep3d = published.shape.to(memory_format=torch.channels_last)
    target = target.to(memory_format=torch.channels_last)

    def frame() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            rest = deep3d(target).flat()[:, SOURCE_SHAPE:]
            out = generator(target, torch.cat([shape, rest, identity], dim=1))
        return out.image.numpy(), out.mask.numpy()

    return frame


def plain(published: Published, source: Tensor, target: Tensor) -> Frame:
    """Nothing is cached."""

    def frame() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            out = published(source, target)
        return out.image.numpy(), out.mask.numpy()

    return frame


Runner = Callable[[dict[str, NDArray[np.float32]]], dict[str, NDArray[np.float32]]]


def with_graphs(
    run_shape: Runner, run_generator: Runner, target: Tensor, shape: Tensor, identity: Tensor
) -> Frame:
    """As `eager`, on exported graphs."""
    crop = target.numpy()

    def frame() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        coefficients = run_shape({"image": crop})
        rest = [coefficients[name] for name in SHAPE_OUTPUTS[1:]]
        vector = np.concatenate([shape.numpy(), *rest, identity.numpy()], axis=1)
        out = run_generator({"target": crop, "identity_vector": vector})
        return out["image"], out["mask"]

    return frame


def onnxruntime_runner(graph: Path, threads: int) -> Runner:
    return open_session(graph, providers=["cpu"], threads=threads).run


def bfloat16_runner(graph: Path, threads: int) -> Runner:
    return open_bfloat16_session(graph, threads=threads).run


def export(folder: Path, generator: Generator, deep3d: Deep3D | None) -> tuple[Path, Path]:
    """The two graphs, in a folder that goes when the run ends."""
    params = generator.params
    image = torch.rand(2, 3, params.resolution, params.resolution)
    example = {"target": image, "identity_vector": torch.randn(2, params.vector_size) * 0.1}
    paths = folder / f"{params.name}.onnx", folder / "shape.onnx"
    export_graph(GeneratorGraph(generator), example, GENERATOR_OUTPUTS, paths[0])
    if deep3d is not None:
        export_graph(ShapeGraph(deep3d), {"image": image}, SHAPE_OUTPUTS, paths[1])
    return paths


def mini_side(run: Runner, target: Tensor, vector: Tensor) -> Frame:
    feeds = {"target": target.numpy(), "identity_vector": vector.numpy()}

    def frame() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        out = run(feeds)
        return out["image"], out["mask"]

    return frame


def mini_eager(generator: Generator, target: Tensor, vector: Tensor) -> Frame:
    network = generator.to(memory_format=torch.channels_last)
    crop = target.to(memory_format=torch.channels_last)

    def frame() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            out = network(crop, vector)
        return out.image.numpy(), out.mask.numpy()

    return frame


def gflop_of(network: torch.nn.Module, *inputs: Tensor) -> float:
    return 2 * count_macs(network, *inputs)[type(network).__name__] / 1e9


def check_equal(frames: dict[str, Frame], prefix: str, judge: str) -> dict[str, float]:
    """Largest difference of each side of a family from its judge, in bfloat16 the mean; ends the run where one is
    too large.
    """
    found = {}
    expected = frames[judge]()
    for name, frame in frames.items():
        if not name.startswith(prefix) or name == judge:
            continue
        rounded = name.endswith("bfloat16")
        measure, allowed = (np.mean, LARGEST_MEAN_IN_BFLOAT16) if rounded else (np.max, LARGEST_DIFFERENCE)
        found[name] = max(float(measure(np.abs(a - b))) for a, b in zip(frame(), expected, strict=True))
        if not found[name] <= allowed:
            raise SystemExit(f"{name} differs from {judge} by {found[name]:.1e}: nothing was measured.")
    return found


def build(folder: Path, threads: int) -> tuple[dict[str, Frame], dict[str, float]]:
    """Every side, and the GFLOP of one of its frames."""
    torch.manual_seed(0)
    runners = {"onnxruntime": onnxruntime_runner} | (
        {"bfloat16": bfloat16_runner} if why_not() is None else {}
    )

    generator = create_generator(paper_256()).eval()
    initialise(generator, "he")
    published = Published(generator, ArcFace(100).eval(), Deep3D().eval()).eval()
    source, target = torch.rand(2, 1, 3, 256, 256).unbind()
    with torch.no_grad():
        shape = published.shape(source).identity
        identity = published.identity.identity(source)
        vector = published.identity_vector(source, target)
    of_generator = gflop_of(generator, target, vector)
    of_shape, of_identity = gflop_of(published.shape, target), gflop_of(published.identity, source)
    frames: dict[str, Frame] = {"256/plain": plain(published, source, target)}
    gflop = {"256/plain": of_generator + 2 * of_shape + of_identity}
    generator_graph, shape_graph = export(folder, generator, published.shape)
    for name, runner in runners.items():
        frames[f"256/{name}"] = with_graphs(
            runner(shape_graph, threads), runner(generator_graph, threads), target, shape, identity
        )
    cached = Published(deepcopy(generator), published.identity, deepcopy(published.shape))
    frames["256/eager"] = eager(cached, target, shape, identity)

    mini = create_generator(mini_256()).eval()
    crop, mini_vector = torch.rand(1, 3, 256, 256), torch.randn(1, mini.params.vector_size) * 0.5
    of_mini = gflop_of(mini, crop, mini_vector)
    mini_graph, _ = export(folder, mini, None)
    frames["mini/eager"] = mini_eager(deepcopy(mini), crop, mini_vector)
    for name, runner in runners.items():
        frames[f"mini/{name}"] = mini_side(runner(mini_graph, threads), crop, mini_vector)
    for name in frames:
        gflop.setdefault(name, of_generator + of_shape if name.startswith("256/") else of_mini)
    return frames, gflop


def report(timings: dict[str, Timing], gflop: dict[str, float], matrix_gflop: float) -> dict[str, Any]:
    """Every side with its share of the machine's limit and its speed against the plain forward."""
    limit = matrix_gflop / timings["matrix product"].median_ms * 1e3  # GFLOP/s
    baseline = timings["256/plain"].median_ms
    sides = {}
    for name, operations in gflop.items():
        speed = operations / timings[name].median_ms * 1e3
        sides[name] = {
            **timings[name].as_json(),
            "gflop": round(operations, 2),
            "gflop_per_s": round(speed, 1),
            "share_of_limit": round(speed / limit, 3),
        }
        if name.startswith("256/"):
            sides[name]["times_faster_than_plain"] = round(baseline / timings[name].median_ms, 2)
    return {"limit_gflop_per_s": round(limit, 1), "sides": sides}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2, help="of every runtime (default 2)")
    parser.add_argument("--rounds", type=int, default=9, help="counted rounds (default 9)")
    parser.add_argument("--warm-up", type=int, default=2, help="rounds before them (default 2)")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result goes")
    options = parser.parse_args()

    where = environment(options.threads)  # before the machine is busy with us
    torch.set_num_threads(options.threads)
    multiply, matrix_gflop = matrix_product_gflops()
    with tempfile.TemporaryDirectory() as folder:
        frames, gflop = build(Path(folder), options.threads)
        differences = check_equal(frames, "256/", "256/plain") | check_equal(frames, "mini/", "mini/eager")
        sides: dict[str, Callable[[], object]] = {"matrix product": multiply, **frames}
        timings = in_turns(sides, warm_up=options.warm_up, rounds=options.rounds)

    result = report(timings, gflop, matrix_gflop)
    write_result(options.output, {"environment": where, "largest_difference": differences, **result})
    print(f"limit {result['limit_gflop_per_s']} GFLOP/s, {options.threads} threads, quiet: {where['quiet']}")
    for name, side in result["sides"].items():
        faster = f"  {side['times_faster_than_plain']} x" if "times_faster_than_plain" in side else ""
        print(
            f"{name:18} {side['median_ms']:9.1f} ms  {100 * side['share_of_limit']:5.1f} % of the limit{faster}"
        )


if __name__ == "__main__":
    main()
