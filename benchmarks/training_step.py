"""How long one step of `mini_256` takes on a CPU, this checkout against another commit, in turns in one run.

Two processes, each with the sources of one side, are asked for a step in turn. Both start from equal weights, photos
and random numbers with learning rates of zero; what the second recogniser knows of the photos is made up, as the work
is the same. The losses of their first steps are compared before anything is timed. Processor seconds are the
step's own: other programs of a busy machine lengthen the wall's, and theirs by less.

    git worktree add ../before COMMIT
    python benchmarks/training_step.py --data SET --before ../before/src [--second FOLDER] [--rounds 9] [--output FILE]

SET is a packed set at 256 px; FOLDER holds mobilefacenet.onnx and EfficientNet's weights, if they are elsewhere.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from contract import environment, write_result

RESULT = Path(__file__).with_name("results") / "training-step.json"
LARGEST_DIFFERENCE = 1e-2
"""Relative, of a loss: two orders of adding in float32, through the whole network."""
NOT_LOSSES = ("accuracy", "skipped", "gradient", "_r1", "mask")


def work(data: Path, batch: int, loss_networks: Path | None) -> None:
    """One side: takes a step for every line of its input, and answers with seconds and losses."""
    import torch

    from hififace.data.slots import Slots
    from hififace.training import device_setup
    from hififace.training.device_config import mini_256
    from hififace.training.device_photos import load_photos
    from hififace.training.loop import RunOptions

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = mini_256()
    photos_config = config.photos.model_copy(
        update={"sharp_inputs": ("portraits", "identities-hd"), "clear_px": 1.0}
    )
    config = config.model_copy(update={"batch_size": batch, "precision": "float32", "photos": photos_config})
    # The name that the folder of the loss networks has on this side.
    names = {field.name for field in dataclasses.fields(RunOptions)}
    options = RunOptions(**dict.fromkeys(names & {"loss_network_files", "teacher_files"}, loss_networks))
    photos = load_photos([data], config, torch.device("cpu"))

    def made_up(_: object, known: object, *__: object) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.randn(len(known), 128), dim=1)

    if hasattr(device_setup, "embed_all"):  # a side from before 28 November 2026
        device_setup.embed_all = made_up
    else:
        from hififace.training.recognisers import Recogniser

        Recogniser.embed_all = made_up
    step = device_setup.make_step(config, photos, torch.device("cpu"), options)
    step.set_rates(0.0, 0.0, 1.0)
    rows = torch.from_numpy(photos.sampler.table(0, 64, Slots(batch)).packed())
    for number, _ in enumerate(sys.stdin, start=1):
        torch.manual_seed(number)
        wall, own = time.perf_counter(), time.process_time()
        step.run(rows[number % 64], number)
        seconds = {"wall_s": time.perf_counter() - wall, "processor_s": time.process_time() - own}
        print(json.dumps(seconds | {"losses": step.read_stats()}), flush=True)


class Side:
    """A process with the sources of one side."""

    def __init__(self, sources: Path, options: argparse.Namespace) -> None:
        command = [
            sys.executable,
            __file__,
            "--side",
            "--data",
            str(options.data),
            "--batch",
            str(options.batch),
        ]
        if options.second:
            command += ["--second", str(options.second)]
        place = {**os.environ, "PYTHONPATH": str(sources), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=place
        )

    def step(self) -> dict:
        """Seconds and losses of one more step."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def commit_of(sources: Path) -> str:
    command = ["git", "-C", str(sources), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def differences(ours: dict[str, float], theirs: dict[str, float]) -> dict[str, float]:
    """Relative, of every loss that both report."""
    names = [n for n in theirs if n in ours and not any(part in n for part in NOT_LOSSES)]
    return {n: abs(ours[n] - theirs[n]) / max(abs(theirs[n]), 1e-3) for n in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--before", type=Path, help="the other side's src folder")
    parser.add_argument("--second", type=Path)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        work(options.data, options.batch, options.second)
        return
    where = environment(1)
    sources = {"before": options.before, "now": Path(__file__).parents[1] / "src"}
    commits = {name: commit_of(path) for name, path in sources.items()}
    sides = {name: Side(path, options) for name, path in sources.items()}
    first = {name: side.step()["losses"] for name, side in sides.items()}
    different = differences(first["now"], first["before"])
    worst = max(different, key=lambda name: different[name])
    if different[worst] > LARGEST_DIFFERENCE:
        raise SystemExit(f"{worst} differs by {different[worst]:.1e} between the sides: nothing was timed.")
    times: dict[str, list[dict]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, side in sides.items():
            times[name].append(side.step())
    result: dict[str, object] = {
        "environment": where,
        "preset": "mini_256",
        "batch_size": options.batch,
        "largest_relative_difference_of_a_loss": {worst: different[worst]},
        "sides": {
            name: {
                "commit": commits[name],
                **{
                    f"{kind}_{what}": round(measure(t[kind] for t in taken), 3)
                    for kind in ("processor_s", "wall_s")
                    for what, measure in (("median", statistics.median), ("least", min))
                },
                "rounds": len(taken),
            }
            for name, taken in times.items()
        },
    }
    before, now = (result["sides"][name] for name in ("before", "now"))  # type: ignore[index]
    result["times_faster"] = {
        key: round(before[key] / now[key], 2) for key in now if key.endswith(("median", "least"))
    }
    for side in sides.values():
        side.process.stdin.close()  # type: ignore[union-attr]
        side.process.wait()
    write_result(options.output, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
