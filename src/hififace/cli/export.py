"""`hififace export RUN -o FOLDER`: turn a trained network into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hififace.cli.running import needs


def export(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run's folder (its newest checkpoint), one checkpoint, or a .safetensors file."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the bundle.")],
    licence: Annotated[str, typer.Option(help="Licence of the bundle, recorded in its model.json.")],
    training_data: Annotated[
        str, typer.Option(help="Description of the training data, recorded in model.json.")
    ] = "",
    half: Annotated[bool, typer.Option("--half", help="Store weights as float16: half the size.")] = False,
    not_averaged: Annotated[
        bool,
        typer.Option("--not-averaged", help="Export the raw weights instead of their moving average (EMA)."),
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the bundle; default: the folder's.")] = None,
    version: Annotated[
        str | None, typer.Option(help="Version of the bundle; default: the number of training images.")
    ] = None,
    template: Annotated[str | None, typer.Option(help="Alignment template; default: the family's.")] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Figures to record: report.json of `hififace evaluate`, or any JSON object."),
    ] = None,
    feedback: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=2.0,
            help="Ask a second time for this share of what a first result lacks of the source's identity; default: "
            "0.4 if the network was trained so, else 0.",
        ),
    ] = None,
    arcface: Annotated[Path | None, typer.Option(help="Basel family: ArcFace weights, backbone.pth.")] = None,
    deep3d: Annotated[Path | None, typer.Option(help="Basel family: Deep3DFaceRecon weights.")] = None,
) -> None:
    """Turn a trained network into a bundle for swapping.

    Every graph is compared with PyTorch in ONNX Runtime; the bundle is written only if they agree.
    """
    with needs("train", "Exporting", "PyTorch"):
        from hififace.export.trained import export_trained

    given: dict[str, Any] = {"name": name, "version": version, "template": template}
    description = {key: value for key, value in given.items() if value is not None}
    description |= {"licence": licence, "training_data": training_data}
    report = export_trained(
        run,
        output,
        description,
        half=half,
        weights="generator" if not_averaged else "average",
        arcface=arcface,
        deep3d=deep3d,
        figures=metrics,
        feedback=feedback,
    )
    for line in report.lines():
        typer.echo(line)
    size_mb = sum(path.stat().st_size for path in output.iterdir()) / 1e6
    typer.echo(f"{output}: bundle '{report.bundle.name}' version {report.bundle.version}, {size_mb:.1f} MB.")
