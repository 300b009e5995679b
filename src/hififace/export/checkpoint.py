"""A published checkpoint into a bundle: three graphs and what the swapper must know about them."""

from __future__ import annotations

from pathlib import Path

from hififace import __version__
from hififace.export.graph import ExportReport, export_bundle
from hififace.models.published import TEMPLATE, Published, load

LICENCE = (
    "Generator: MIT (xuehy/HiFiFace-pytorch). Identity graph: ArcFace weights; shape graph: "
    "Deep3DFaceRecon weights, "
    "fitted to the Basel face model; both for non-commercial research only. Do not pass this bundle on."
)
TRAINING_DATA = "VGGFace2-HQ, Asian-Celeb and private photos, as its authors state."


def convert_checkpoint(
    checkpoint: Path,
    folder: Path,
    *,
    half: bool = False,
    name: str | None = None,
    detector: str = "yunet",
    feedback: float = 0.0,
) -> ExportReport:
    """Turn `generator_{step}.pth` into a bundle, checked graph by graph.

    Args:
        checkpoint: the file as published.
        folder: where the bundle shall be.
        half: store weights as float16: half the size, computation still in float32.
        name: of the bundle; None takes the folder's.
        detector: which detector finds the five points: `yunet`, which ships, or `scrfd`, the reference's own.
        feedback: share of what a first result lacks of the source's identity that is asked for in addition; 0, the
            reference's way, generates faces once.

    Raises:
        WeightsError: not such a checkpoint, or a graph that does not agree with PyTorch.
        BundleError: the folder holds something else, or the name is none.
    """
    published = load(checkpoint)
    return export_published(
        published,
        folder,
        half=half,
        name=name,
        detector=detector,
        feedback=feedback,
        version=checkpoint.stem.rsplit("_", 1)[-1],
    )


def export_published(
    published: Published,
    folder: Path,
    *,
    half: bool = False,
    name: str | None = None,
    detector: str = "yunet",
    feedback: float = 0.0,
    version: str = "1",
) -> ExportReport:
    """The same for a network already loaded; arguments as in `convert_checkpoint`."""
    return export_bundle(
        published.generator,
        {
            "name": name or folder.absolute().name,
            "version": version,
            "family": "basel",
            "template": TEMPLATE,
            "detector": detector,
            "licence": LICENCE,
            "training_data": TRAINING_DATA,
            "made_by": f"hififace convert {__version__}",
        },
        folder,
        identity=published.identity,
        shape=published.shape,
        half=half,
        feedback=feedback,
    )
