"""Images a second on many devices, simulated: what the line of the service and Ray add to the time of the devices.

    python benchmarks/devices.py -o benchmarks/results/devices.json

A simulated device is busy for a fixed time with each image and costs no processor, so that machines with few cores can
play the part of one with eight GPUs. Nothing else is simulated: the service's threads, line and batches, and Ray's
scheduler, workers, messages and GPU numbers are the real ones. What swaps cost the processor beside a GPU is not in it:
that is measured by `benchmarks/service.py` and `hififace swap --json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from contract import environment, write_result
from hififace.cluster.tasks import Cluster, Say, ShouldStop
from hififace.media.image import LoadedImage, read_image
from hififace.server import line
from hififace.server.metrics import Metrics
from hififace.swap.options import OutputOptions, SwapOptions
from hififace.swap.source_map import SourceMap

IMAGE_S = 0.025
"""Of a device, for each image."""
IMAGES_PER_TASK = 16


class SimulatedBundles:
    """The models of a device that there is not."""

    def __init__(self) -> None:
        self.engine = self

    def swapper(self, _: str | None) -> Any:
        """Whose engine is this."""
        return self


class SimulatedWork:
    """One image of a request."""

    model, options, output_options = "simulated", SwapOptions(), OutputOptions()

    def __init__(self, target: LoadedImage) -> None:
        self._target = target

    def read(self, _: Any) -> tuple[LoadedImage, SourceMap]:
        """As it is."""
        return self._target, SourceMap()

    def made(self, result: Any) -> Any:
        """As it is."""
        raise result


def simulated_run(_: Any, images: list[LoadedImage], *__: Any) -> list[Exception]:
    """A run of the network over a batch: the device is busy, the processor is not."""
    time.sleep(IMAGE_S * len(images))
    return [RuntimeError("simulated")] * len(images)


def by_the_service(devices: int, images: int) -> float:
    """Images a second of the service's line, with a thread for each device, since a simulated one can be shared."""
    packed = Path(__file__).parent / "portraits" / "001_neutral.jpg"
    target = read_image(packed)
    own_line = line.ImageLine(
        Metrics(),
        [SimulatedBundles() for _ in range(devices)],  # type: ignore[misc]
        workers=1,
        batch=8,
        waiting=images,
    )

    async def all_of_them() -> None:
        await asyncio.gather(
            *(own_line.swap(SimulatedWork(target)) for _ in range(images)), return_exceptions=True
        )

    began = time.perf_counter()
    asyncio.run(all_of_them())
    spent = time.perf_counter() - began
    own_line.stop()
    return images / spent


def simulated_task(images: int, say: Say, should_stop: ShouldStop) -> str:
    """Some images on the GPU that Ray gives."""
    for number in range(images):
        time.sleep(IMAGE_S)
        if number % 8 == 0:
            say(number)
            if should_stop():
                break
    return os.environ.get("CUDA_VISIBLE_DEVICES", "")


def by_ray(devices: int, tasks: int) -> tuple[float, int]:
    """Images a second of a local Ray with so many GPUs, workers started before; and how many of the GPUs were used."""
    import ray

    engine: Any = ray
    engine.init(num_cpus=devices, num_gpus=devices, include_dashboard=False, log_to_driver=False)
    try:
        with Cluster() as cluster:
            list(cluster.run_many(simulated_task, [1] * 2 * devices))  # the workers start
            began = time.perf_counter()
            used = {where for _, where in cluster.run_many(simulated_task, [IMAGES_PER_TASK] * tasks)}
            return tasks * IMAGES_PER_TASK / (time.perf_counter() - began), len(used)
    finally:
        engine.shutdown()


def main() -> None:
    """Both, for every number of devices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement, about")
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    line.swap_images = simulated_run  # type: ignore[assignment]
    known, rows = environment(1), []
    for devices in asked.devices:
        images = round(asked.seconds * devices / IMAGE_S)
        service = by_the_service(devices, images)
        over_ray, used = by_ray(devices, max(images // IMAGES_PER_TASK // devices, 1) * devices)
        possible = devices / IMAGE_S
        rows.append(
            {
                "devices": devices,
                "possible_images_per_s": possible,
                "service_images_per_s": round(service, 1),
                "ray_images_per_s": round(over_ray, 1),
                "gpus_used_by_ray": used,
                "load": round(os.getloadavg()[0], 2),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    write_result(asked.output, {"environment": known, "image_s": IMAGE_S, "rows": rows})


if __name__ == "__main__":
    main()
