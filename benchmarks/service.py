"""Images a second of the service with many clients at once, against one client that waits for each.

    python benchmarks/service.py --clients 50 --images 200 -o benchmarks/results/service.json

The service runs as a process of its own, as people start it; the same code answers both sides, in turns. With --soak N,
that many images more are swapped, and the memory of the service is read along the way.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent))
from contract import environment, write_result

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = {name: (ROOT / "examples" / f"{name}.jpg").read_bytes() for name in ("officer", "astronaut")}


def swap(client: httpx.Client) -> float:
    """Seconds of one request."""
    files = {"source": ("s", PHOTOS["officer"]), "target": ("t", PHOTOS["astronaut"])}
    began = time.perf_counter()
    client.post("/v1/swap", files=files, data={"consent": "true"}).raise_for_status()
    return time.perf_counter() - began


def side(place: str, clients: int, images: int) -> dict[str, float]:
    """Swap so many images by so many clients, each of which waits for its own."""
    with httpx.Client(base_url=place, timeout=600, limits=httpx.Limits(max_connections=clients)) as client:
        began = time.perf_counter()
        with ThreadPoolExecutor(clients) as threads:
            times = sorted(threads.map(lambda _: swap(client), range(images)))
        spent = time.perf_counter() - began
    return {
        "images_per_s": images / spent,
        "p50_s": statistics.median(times),
        "p95_s": times[min(round(0.95 * len(times)), len(times) - 1)],
    }


def memory_mib(process: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Run both sides in turns, then the long one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    known = environment(asked.threads)
    sides: dict[str, list[dict[str, float]]] = {"one after another": [], "at once": []}
    memory: list[float] = []
    with tempfile.TemporaryDirectory() as data:
        words = ["--port", "0", "--data", data, "--requests-per-minute", "1000000", "--queue", "1000"]
        words += [
            "--workers",
            str(asked.workers),
            "--threads",
            str(asked.threads),
            "--batch",
            str(asked.batch),
        ]
        command = [sys.executable, "-m", "hififace", "serve", *words]
        log = Path(data) / "log"
        with (
            log.open("w") as lines,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=lines, text=True) as service,
        ):
            assert service.stdout is not None
            place = service.stdout.readline().split(" at ")[1].split()[0]
            side(place, 2, 4)  # warm-up: the model is opened
            for _ in range(asked.rounds):
                sides["one after another"].append(side(place, 1, max(asked.images // 4, 4)))
                sides["at once"].append(side(place, asked.clients, asked.images))
            memory.append(memory_mib(service.pid))
            for _ in range(0, asked.soak, 500):
                side(place, asked.clients, 500)
                memory.append(memory_mib(service.pid))
            service.terminate()
            service.wait(60)
    middle: dict[str, Any] = {
        name: {figure: round(statistics.median(one[figure] for one in found), 4) for figure in found[0]}
        for name, found in sides.items()
    }
    ratio = middle["at once"]["images_per_s"] / middle["one after another"]["images_per_s"]
    result = {
        "environment": known,
        "asked": {name: value for name, value in vars(asked).items() if name != "output"},
        "sides": middle,
        "times_as_many_images_at_once": round(ratio, 3),
        "memory_mib": [round(one, 1) for one in memory],
    }
    write_result(asked.output, result)
    print(result)


if __name__ == "__main__":
    main()
