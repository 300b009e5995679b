"""`hififace quantise BUNDLE PHOTOS`: add an int8 graph of the generator, for videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hififace.cli.running import needs
from hififace.errors import ImageError

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


def quantise(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle to extend.")],
    photos: Annotated[
        list[Path], typer.Argument(help="Photos of faces, or folders of them: at least 8, better 40.")
    ],
) -> None:
    """Add an int8 generator to a bundle: it swaps videos faster on many processors.

    A third of the photos is held out; the graph is written only if it agrees with the float32 graph on them.
    """
    with needs("train", "Quantising", "the `onnx` library"):
        from hififace.export.quantise import quantise_bundle

    found = [
        file
        for path in photos
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file.suffix.lower() in _ENDINGS
    ]
    if not found:
        raise ImageError(f"No photo was found in {', '.join(map(str, photos))}.")
    for line in quantise_bundle(bundle, found).lines():
        typer.echo(line)
    size_mb = sum(path.stat().st_size for path in bundle.iterdir()) / 1e6
    typer.echo(f"{bundle}: {size_mb:.1f} MB.")
