"""What several Python threads on one `FaceSwapper` bring, and what memory they take.

Each side is a process of its own, since memory is that of a process: so many Python threads swap the same portrait,
with so many threads inside one run of a network. `free` is the same without the limit on how many threads run a session
at a time. The rules are in benchmarks/README.md; memory is the resident set after the first swap, and its peak.

    python benchmarks/threads.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from contract import ROOT, environment, write_result

QUESTION = "What do several threads on one FaceSwapper bring, and what memory do they take?"
RESULT = Path(__file__).parent / "results" / "threads.json"
SIDES = [(python, inside, free) for inside in (0, 1) for python in (1, 2, 8) for free in (False, True)]
"""Python threads, threads inside one run of a network (0: as many as cores), whether nothing is bounded."""


def resident_mib() -> float:
    """Memory of this process that is really there (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def child(python: int, inside: int, free: bool, swaps: int) -> dict[str, Any]:
    """One side."""
    from hififace import FaceSwapper
    from hififace.weights import sessions

    if free:
        sessions.threading.BoundedSemaphore = lambda _: nullcontext()
    swapper = FaceSwapper.load("mini", device="cpu", threads=inside or None)
    swapper.set_source(ROOT / "examples" / "officer.jpg")
    target = ROOT / "examples" / "astronaut.jpg"
    swapper.swap(target)
    before, peak, over = resident_mib(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, resident_mib())

    def work() -> None:
        for _ in range(swaps // python):
            swapper.swap(target)

    watcher = threading.Thread(target=watch)
    watcher.start()
    workers = [threading.Thread(target=work) for _ in range(python)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - began
    over.set()
    watcher.join()
    return {
        "python_threads": python,
        "threads_inside_a_run": inside or "all cores",
        "bounded": not free,
        "swaps_per_second": round(swaps // python * python / seconds, 2),
        "memory_before_mib": round(before),
        "memory_peak_mib": round(peak),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--swaps", type=int, default=48, help="swaps of each side")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(*json.loads(options.child), options.swaps)))
        return
    made = environment(threads=0)
    rows = []
    for side in SIDES:
        command = [sys.executable, __file__, "--child", json.dumps(side), "--swaps", str(options.swaps)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1])
    write_result(options.output, {"question": QUESTION, "environment": made, "sides": rows})


if __name__ == "__main__":
    main()
