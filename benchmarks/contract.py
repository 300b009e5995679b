"""The rules of benchmarks/README.md as code: turns, warm-up, median and quartiles, metadata, one file per result."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
QUIET_LOAD = 0.5
"""Cores that others may keep busy before the start of a run that is to be quoted."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one call."""

    median_ms: float
    lower_quartile_ms: float
    upper_quartile_ms: float
    num_rounds: int

    def as_json(self) -> dict[str, float]:
        """Rounded to microseconds."""
        return {
            "median_ms": round(self.median_ms, 3),
            "lower_quartile_ms": round(self.lower_quartile_ms, 3),
            "upper_quartile_ms": round(self.upper_quartile_ms, 3),
            "num_rounds": self.num_rounds,
        }


def in_turns(
    sides: Mapping[str, Callable[[], object]], *, warm_up: int = 2, rounds: int = 9
) -> dict[str, Timing]:
    """Time every side, one call of each per round."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(warm_up + rounds):
        for name, call in sides.items():
            begin = time.perf_counter()
            call()
            elapsed = (time.perf_counter() - begin) * 1e3
            if number >= warm_up:
                times[name].append(elapsed)
    return {name: summarise(values) for name, values in times.items()}


def summarise(times_ms: list[float]) -> Timing:
    """Median and quartiles; of a single value, that value."""
    if len(times_ms) == 1:
        return Timing(times_ms[0], times_ms[0], times_ms[0], 1)
    lower, middle, upper = statistics.quantiles(times_ms, n=4, method="inclusive")
    return Timing(middle, lower, upper, len(times_ms))


def matrix_product_gflops(size: int = 2048) -> tuple[Callable[[], object], float]:
    """A call that multiplies two float32 matrices, and how many GFLOP that is."""
    a, b = torch.rand(size, size), torch.rand(size, size)
    return (lambda: a @ b), 2 * size**3 / 1e9


def environment(threads: int) -> dict[str, Any]:
    """Where and with what a run was made."""
    load = os.getloadavg()[0]
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": _processor(),
        "num_cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("torch", "onnxruntime", "openvino", "numpy")},
        "threads": threads,
        "load_before": round(load, 2),
        "quiet": load <= QUIET_LOAD,
    }


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write the result whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".partial")
    draft.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
