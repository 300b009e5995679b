"""Which arithmetic the generator of videos uses: float32, or what was measured to be faster on this processor.

    float32    ONNX Runtime
    int8       ONNX Runtime, where the bundle has the graph (`hififace quantise`)
    bfloat16   OpenVINO, where it is installed and the processor multiplies bfloat16 natively

That is measured the first time, takes about a second, and is kept in `precision.json` of the user's data folder, by
graphs, processor, runtimes and threads: a run that is resumed must not decide anew. Processors without instructions
for int8 may be slower at it, or lose bits (sums of 16 bits overflow), so the image counts as well as the time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
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
from hififace.weights.openvino_graph import openvino_version
from hififace.weights.places import data_dir
from hififace.weights.sessions import Session, runtime_version

logger = logging.getLogger(__name__)

Precision: TypeAlias = Literal["float32", "int8", "bfloat16"]
WantedPrecision: TypeAlias = Literal["auto", "float32", "int8", "bfloat16"]
OTHER_PRECISIONS: Final[tuple[Precision, ...]] = ("int8", "bfloat16")

LARGEST_SHARE: Final = 0.85
"""Of float32's time: what takes more is not worth its rounding."""
LEAST_DB: Final = 30.0
"""What is further than this from float32, on an image that is no face, computes something else."""
_ROUNDS: Final = 5
_WARM_UP: Final = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """One comparison of the generator's precisions on this machine."""

    milliseconds: Mapping[Precision, float]
    """Of one face, float32 among them."""
    decibels: Mapping[Precision, float]
    """The image of each other precision against float32's, peak signal 1."""

    @property
    def best(self) -> Precision:
        """What videos are to use."""
        most = LARGEST_SHARE * self.milliseconds["float32"]
        good = [
            name
            for name, agreement in self.decibels.items()
            if self.milliseconds[name] <= most and agreement >= LEAST_DB
        ]
        return min(good, key=lambda name: self.milliseconds[name], default="float32")

    @property
    def sentence(self) -> str:
        """Why."""
        others = [
            f"{self.milliseconds[name]:.0f} ms in {name} (at {agreement:.0f} dB)"
            for name, agreement in self.decibels.items()
        ]
        told = ", ".join([*others, f"{self.milliseconds['float32']:.0f} ms in float32"])
        return f"{self.best}: a face takes {told} here."


def choose(
    bundle: Bundle, open_session: Callable[[Precision], Session], others: Sequence[Precision]
) -> Measured:
    """What was measured for these precisions on this machine, now if never before.

    Args:
        bundle: whose generator.
        open_session: opens it in a precision; called only where something is measured, except for float32.
        others: precisions beside float32 that are possible here.
    """
    path = data_dir() / "precision.json"
    key = _key(bundle, open_session("float32").threads, others)
    known = _read(path)
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        return _checked(known[key], others)
    found = compare(bundle, {name: open_session(name) for name in ("float32", *others)})
    logger.info("Generator: %s", found.sentence)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps({**known, key: asdict(found)}, indent=1).encode())
    except (OSError, HififaceError) as error:
        logger.warning("%s cannot be written (%s): precision will be measured again.", path, error)
    return found


def compare(bundle: Bundle, sessions: Mapping[Precision, Session]) -> Measured:
    """Run all on one smooth image in turns; the shortest time of each counts."""
    side = bundle.resolution
    place = np.linspace(0, 1, side, dtype=np.float32)
    waves = [0.5 + 0.3 * np.outer(np.cos(4 * place + c), np.cos(3 * place - c)) for c in range(3)]
    feeds = {
        "target": np.stack(waves)[None].astype(np.float32),
        "identity_vector": np.zeros((1, bundle.vector_size), np.float32),
    }
    spent: dict[Precision, list[float]] = {name: [] for name in sessions}
    images: dict[Precision, FloatArray] = {}
    for _ in range(_WARM_UP + _ROUNDS):
        for name, session in sessions.items():
            began = time.perf_counter()
            images[name] = np.clip(session.run(feeds)["image"], 0, 1)
            spent[name].append((time.perf_counter() - began) * 1e3)
    exact = images.pop("float32")
    return Measured(
        {name: round(min(times[_WARM_UP:]), 2) for name, times in spent.items()},
        {name: round(decibels(float(np.mean((image - exact) ** 2))), 1) for name, image in images.items()},
    )


def _checked(record: Any, others: Sequence[Precision]) -> Measured:
    """Of a record that is kept.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is none.
    """
    return Measured(
        {name: float(record["milliseconds"][name]) for name in ("float32", *others)},
        {name: float(record["decibels"][name]) for name in others},
    )


def _key(bundle: Bundle, threads: int, others: Sequence[Precision]) -> str:
    graphs = (bundle.graphs.generator, bundle.graphs.generator_int8)
    told = [
        *(bundle.files[name] for name in graphs if name is not None),
        *others,
        _processor(),
        runtime_version(),
        openvino_version(),
        str(threads),
    ]
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
