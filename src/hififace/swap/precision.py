"""Which arithmetic the generator of videos uses: float32, or int8 where the bundle has it and this processor is faster.

That is measured the first time, takes about a second, and is kept in `precision.json` of the user's data folder, by
graphs, processor, ONNX Runtime and threads: a run that is resumed must not decide anew. Processors without instructions
for int8 may be slower at it, or lose bits (sums of 16 bits overflow), so the image counts as well as the time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from hififace.errors import HififaceError
from hififace.json_values import parse_json
from hififace.media.atomic import atomic_write
from hififace.pixels import decibels
from hififace.types import FloatArray
from hififace.weights.bundle import Bundle
from hififace.weights.places import data_dir
from hififace.weights.sessions import Session, runtime_version

logger = logging.getLogger(__name__)

Precision: TypeAlias = Literal["float32", "int8"]
WantedPrecision: TypeAlias = Literal["auto", "float32", "int8"]

LARGEST_SHARE: Final = 0.85
"""Of float32's time: int8 that takes more is not worth its rounding."""
LEAST_DB: Final = 30.0
"""Int8 further than this from float32, on an image that is no face, computes something else."""
_ROUNDS: Final = 5
_WARM_UP: Final = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """One comparison of the two graphs."""

    float32_ms: float
    int8_ms: float
    decibels: float
    """The image in int8 against that in float32, peak signal 1."""

    @property
    def best(self) -> Precision:
        """What videos are to use."""
        faster = self.int8_ms <= LARGEST_SHARE * self.float32_ms
        return "int8" if faster and self.decibels >= LEAST_DB else "float32"

    @property
    def sentence(self) -> str:
        """Why."""
        return (
            f"{self.best}: a face takes {self.int8_ms:.0f} ms in int8 and {self.float32_ms:.0f} ms in float32 here, at "
            f"{self.decibels:.0f} dB."
        )


def choose(
    bundle: Bundle,
    float32: Session,
    int8: Session,
    *,
    measure: Callable[[Bundle, Session, Session], Measured] | None = None,
) -> Measured:
    """What was measured for these graphs on this machine, now if never before."""
    path, key = data_dir() / "precision.json", _key(bundle, float32.threads)
    known = _read(path)
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return Measured(**{name: float(value) for name, value in known[key].items()})
    found = (measure or compare)(bundle, float32, int8)
    logger.info("Generator: %s", found.sentence)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps({**known, key: asdict(found)}, indent=1).encode())
    except (OSError, HififaceError) as error:
        logger.warning("%s cannot be written (%s): precision will be measured again.", path, error)
    return found


def compare(bundle: Bundle, float32: Session, int8: Session) -> Measured:
    """Run both graphs on one smooth image in turns; the shortest time of each counts."""
    side = bundle.resolution
    place = np.linspace(0, 1, side, dtype=np.float32)
    waves = [0.5 + 0.3 * np.outer(np.cos(4 * place + c), np.cos(3 * place - c)) for c in range(3)]
    feeds = {
        "target": np.stack(waves)[None].astype(np.float32),
        "identity_vector": np.zeros((1, bundle.vector_size), np.float32),
    }
    spent: dict[str, list[float]] = {"float32": [], "int8": []}
    images: dict[str, FloatArray] = {}
    for _ in range(_WARM_UP + _ROUNDS):
        for name, session in (("float32", float32), ("int8", int8)):
            began = time.perf_counter()
            images[name] = np.clip(session.run(feeds)["image"], 0, 1)
            spent[name].append((time.perf_counter() - began) * 1e3)
    error = float(np.mean((images["int8"] - images["float32"]) ** 2))
    best = {name: min(times[_WARM_UP:]) for name, times in spent.items()}
    return Measured(
        round(best["float32"], 2),
        round(best["int8"], 2),
        round(decibels(error), 1),
    )


def _key(bundle: Bundle, threads: int) -> str:
    graphs = [bundle.files[str(name)] for name in (bundle.graphs.generator, bundle.graphs.generator_int8)]
    told = [*graphs, _processor(), runtime_version(), str(threads)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]


@cache
def _processor() -> str:
    """Model and instructions, as far as the system says."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        names = ("model name", "flags", "cpu family", "model\t", "Features", "CPU part")
        return "\n".join(sorted({line for line in lines if line.startswith(names)}))
    return f"{platform.machine()} {platform.processor()}"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
