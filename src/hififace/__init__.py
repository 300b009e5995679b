"""Swap faces in photographs and video, and train the network that does it.

    from hififace import FaceSwapper

    swapper = FaceSwapper.load("mini")
    swapper.set_source("me.jpg")
    swapper.swap("holiday.jpg").save("out.jpg")

Importing this package does nothing: names are looked up when they are first used. One exception: libraries that
report their use to their makers are told not to, since the first import of theirs would be too late.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hififace.errors import (
        BundleError,
        DataError,
        FaceError,
        HififaceError,
        ImageError,
        InterruptedByUserError,
        NoFaceFoundError,
        OptionError,
        ProvenanceError,
        RuntimeUnavailableError,
        TrainingError,
        VideoError,
        WeightsError,
    )
    from hififace.swap.options import SwapOptions
    from hififace.swap.result import SwapResult
    from hififace.swapper import FaceSwapper

# ONNX Runtime 1.31 writes a device id and a queue of events when it is imported, and sends them later; Gradio, the
# Hugging Face client below it and Ray send theirs.
os.environ.update(
    ORT_DISABLE_TELEMETRY="1",
    GRADIO_ANALYTICS_ENABLED="False",
    HF_HUB_DISABLE_TELEMETRY="1",
    RAY_USAGE_STATS_ENABLED="0",
)

__version__ = "0.1.0"

__all__ = [
    "BundleError",
    "DataError",
    "FaceError",
    "FaceSwapper",
    "HififaceError",
    "ImageError",
    "InterruptedByUserError",
    "NoFaceFoundError",
    "OptionError",
    "ProvenanceError",
    "RuntimeUnavailableError",
    "SwapOptions",
    "SwapResult",
    "TrainingError",
    "VideoError",
    "WeightsError",
    "__version__",
]

_HOMES = {name: "hififace.errors" for name in __all__ if name.endswith("Error")} | {
    "FaceSwapper": "hififace.swapper",
    "SwapOptions": "hififace.swap.options",
    "SwapResult": "hififace.swap.result",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its home (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hififace' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
