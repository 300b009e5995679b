"""Swap faces in photographs and video, and train the network that does it.

    from hififace import FaceSwapper

    swapper = FaceSwapper.load("mini")
    swapper.set_source("me.jpg")
    swapper.swap("holiday.jpg").save("out.jpg")

Importing this package loads nothing: names are imported when they are first used. It only switches off the telemetry
of other libraries, which has to happen before their first import.
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
    from hififace.media.image import (
        LoadedImage,
    )
    from hififace.media.image_like import (
        ImageLike,
    )
    from hififace.swap.options import (
        OutputOptions,
        SwapOptions,
    )
    from hififace.swap.result import (
        FaceOutcome,
        SwapResult,
    )
    from hififace.swap.source_map import (
        ReferencePerson,
        Source,
        SourceMap,
    )
    from hififace.swapper import (
        FaceSwapper,
    )
    from hififace.types import (
        Detection,
        Face,
    )
    from hififace.video.options import (
        VideoOptions,
    )
    from hififace.video.report import (
        VideoProgress,
        VideoReport,
    )
    from hififace.weights.bundle import (
        available_models,
    )

# ONNX Runtime 1.31 writes a device id and a queue of events when it is imported, and sends them later; so do Gradio,
# the Hugging Face client it uses, and Ray.
os.environ.update(
    ORT_DISABLE_TELEMETRY="1",
    GRADIO_ANALYTICS_ENABLED="False",
    HF_HUB_DISABLE_TELEMETRY="1",
    RAY_USAGE_STATS_ENABLED="0",
)

__version__ = "0.2.0"

__all__ = [
    "BundleError",
    "DataError",
    "Detection",
    "Face",
    "FaceError",
    "FaceOutcome",
    "FaceSwapper",
    "HififaceError",
    "ImageError",
    "ImageLike",
    "InterruptedByUserError",
    "LoadedImage",
    "NoFaceFoundError",
    "OptionError",
    "OutputOptions",
    "ProvenanceError",
    "ReferencePerson",
    "RuntimeUnavailableError",
    "Source",
    "SourceMap",
    "SwapOptions",
    "SwapResult",
    "TrainingError",
    "VideoError",
    "VideoOptions",
    "VideoProgress",
    "VideoReport",
    "WeightsError",
    "__version__",
    "available_models",
]

_HOMES = {
    "BundleError": "hififace.errors",
    "DataError": "hififace.errors",
    "FaceError": "hififace.errors",
    "HififaceError": "hififace.errors",
    "ImageError": "hififace.errors",
    "InterruptedByUserError": "hififace.errors",
    "NoFaceFoundError": "hififace.errors",
    "OptionError": "hififace.errors",
    "ProvenanceError": "hififace.errors",
    "RuntimeUnavailableError": "hififace.errors",
    "TrainingError": "hififace.errors",
    "VideoError": "hififace.errors",
    "WeightsError": "hififace.errors",
    "LoadedImage": "hififace.media.image",
    "ImageLike": "hififace.media.image_like",
    "OutputOptions": "hififace.swap.options",
    "SwapOptions": "hififace.swap.options",
    "FaceOutcome": "hififace.swap.result",
    "SwapResult": "hififace.swap.result",
    "ReferencePerson": "hififace.swap.source_map",
    "Source": "hififace.swap.source_map",
    "SourceMap": "hififace.swap.source_map",
    "FaceSwapper": "hififace.swapper",
    "Detection": "hififace.types",
    "Face": "hififace.types",
    "VideoOptions": "hififace.video.options",
    "VideoProgress": "hififace.video.report",
    "VideoReport": "hififace.video.report",
    "available_models": "hififace.weights.bundle",
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
