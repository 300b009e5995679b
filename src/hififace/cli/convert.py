"""`hififace convert CHECKPOINT -o FOLDER`: convert a published checkpoint into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hififace.cli.running import needs


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="Published checkpoint, generator_320000.pth.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the bundle, such as bundles/standard.")
    ],
    half: Annotated[
        bool, typer.Option("--half", help="Store weights as float16: half the size, the same speed on a CPU.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the bundle; default: the folder's.")] = None,
    detector: Annotated[
        str, typer.Option(help="Face detector: yunet (embedded) or scrfd (user-supplied file).")
    ] = "yunet",
    feedback: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=2.0,
            help="Ask a second time for this share of what a first result lacks of the source's identity; 0 generates "
            "faces once, as the reference does.",
        ),
    ] = 0.0,
) -> None:
    """Convert a published checkpoint into a bundle.

    Every graph is compared with PyTorch in ONNX Runtime; the bundle is written only if they agree.
    """
    with needs("train", "Converting", "PyTorch"):
        from hififace.export.checkpoint import convert_checkpoint

    report = convert_checkpoint(
        checkpoint, output, half=half, name=name, detector=detector, feedback=feedback
    )
    for line in report.lines():
        typer.echo(line)
    size_mb = sum(path.stat().st_size for path in output.iterdir()) / 1e6
    typer.echo(f"{output}: bundle '{report.bundle.name}' version {report.bundle.version}, {size_mb:.0f} MB.")
