"""Images a second of the service with many clients at once, against one client that waits for each.

    python benchmarks/service.py --clients 50 --images 200 -o benchmarks/results/service.json

Two services run, each as a process of its own, as people start it: one that gives all cores to one image at a time, for
the client that waits, and one with the numbers that it chooses itself. They are asked in turns. With --soak N, that
many small images more are swapped by the second, and its memory is read along the way.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from contract import environment, write_result

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = {name: (ROOT / "examples" / f"{name}.jpg").read_bytes() for name in ("officer", "astronaut")}
FACES = {"officer": (130, 40, 380, 290), "astronaut": (110, 20, 340, 250)}
"""x0, y0, x1, y1 of the head in each."""


def small(name: str, side: int = 128) -> bytes:
    """The head alone, as a small JPEG."""
    with Image.open(io.BytesIO(PHOTOS[name])) as photo:
        shown = photo.convert("RGB").crop(FACES[name]).resize((side, side))
    packed = io.BytesIO()
    shown.save(packed, "JPEG", quality=90)
    return packed.getvalue()


def swap(client: httpx.Client, photos: dict[str, bytes]) -> float:
    """Seconds of one request."""
    files = {"source": ("s", photos["officer"]), "target": ("t", photos["astronaut"])}
    began = time.perf_counter()
    client.post("/v1/swap", files=files, data={"consent": "true"}).raise_for_status()
    return time.perf_counter() - began


def side(place: str, clients: int, images: int, photos: dict[str, bytes] = PHOTOS) -> dict[str, float]:
    """Swap so many images by so many clients, each of which waits for its own."""
    with httpx.Client(base_url=place, timeout=600, limits=httpx.Limits(max_connections=clients)) as client:
        began = time.perf_counter()
        with ThreadPoolExecutor(clients) as threads:
            times = sorted(threads.map(lambda _: swap(client, photos), range(images)))
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


@contextlib.contextmanager
def service(folder: Path, *words: object) -> Iterator[tuple[str, int]]:
    """A running service: its address, and its process."""
    folder.mkdir()
    limits = ["--port", 0, "--data", folder, "--requests-per-minute", 1_000_000, "--queue", 1000]
    command = [sys.executable, "-m", "hififace", "serve", *map(str, [*limits, *words])]
    with (
        (folder / "log").open("w") as lines,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=lines, text=True) as running,
    ):
        assert running.stdout is not None
        place = running.stdout.readline().split(" at ")[1].split()[0]
        try:
            side(place, 2, 4)  # warm-up: the model is opened
            yield place, running.pid
        finally:
            running.terminate()
            running.wait(60)


def main() -> None:
    """Run both sides in turns, then the long one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, help="of the second service; left out, it chooses")
    parser.add_argument("--batch", type=int, help="likewise")
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    cores = os.cpu_count() or 1
    known = environment(1)
    sides: dict[str, list[dict[str, float]]] = {"one after another": [], "at once": []}
    memory: list[float] = []
    chosen = [
        word
        for name in ("workers", "batch")
        if getattr(asked, name) is not None
        for word in (f"--{name}", getattr(asked, name))
    ]
    with (
        tempfile.TemporaryDirectory() as data,
        service(Path(data, "one"), "--workers", 1, "--threads", cores) as (alone, _),
        service(Path(data, "all"), *chosen) as (place, process),
    ):
        for _ in range(asked.rounds):
            sides["one after another"].append(side(alone, 1, max(asked.images // 4, 4)))
            sides["at once"].append(side(place, asked.clients, asked.images))
        photos, every = {name: small(name) for name in PHOTOS}, max(asked.soak // 20, 1)
        soak_began, soaked = time.perf_counter(), 0
        while soaked < asked.soak:
            side(place, asked.clients, every, photos)
            soaked += every
            memory.append(memory_mib(process))
        soak_s = time.perf_counter() - soak_began
    middle: dict[str, Any] = {
        name: {figure: round(statistics.median(one[figure] for one in found), 4) for figure in found[0]}
        for name, found in sides.items()
    }
    ratio = middle["at once"]["images_per_s"] / middle["one after another"]["images_per_s"]
    result = {
        "environment": known,
        "load_after": os.getloadavg()[0],
        "asked": {name: value for name, value in vars(asked).items() if name != "output"},
        "sides": middle,
        "times_as_many_images_at_once": round(ratio, 3),
    }
    if memory:
        result["soak"] = {
            "images": soaked,
            "images_per_s": round(soaked / soak_s, 2),
            "memory_mib": [round(one, 1) for one in memory],
            "growth_of_second_half_mib": round(memory[-1] - memory[len(memory) // 2], 1),
        }
    write_result(asked.output, result)
    print(result)


if __name__ == "__main__":
    main()
