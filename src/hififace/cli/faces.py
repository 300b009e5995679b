"""`hififace faces PHOTO...`: find and describe the faces of images; draw them, or print JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from hififace.errors import HififaceError, OptionError
from hififace.faces.analysis import FaceAnalyser, Part
from hififace.faces.selection import similarities
from hififace.media.atomic import refuse_overwriting
from hififace.media.image import read_image, write_image
from hififace.types import Face, FloatArray


def faces(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Images to analyse.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Draw the faces into this image; for several photos, a folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per photo.")] = False,
    reference: Annotated[
        list[Path] | None,
        typer.Option("--reference", help="Photo of a person to compare with; several are averaged."),
    ] = None,
    rotated: Annotated[
        bool,
        typer.Option(
            "--rotated", help="Also find faces that lie on their side or upside down; several times slower."
        ),
    ] = False,
) -> None:
    """Find and describe the faces of images: boxes, points, pose, similarity to a reference."""
    if output is not None and len(photos) > 1 and output.suffix:
        raise OptionError(
            f"{len(photos)} photos were given but one image, {output}, to draw into; give a folder instead."
        )
    drawings = _drawings(photos, output)
    refuse_overwriting(drawings.values(), [*photos, *(reference or [])])
    analyser = FaceAnalyser()
    who = _reference(analyser, reference) if reference else None
    num_failed = 0
    for photo in photos:
        try:
            found, size = _look_at(analyser, photo, who, rotated, drawings.get(photo))
        except HififaceError as error:
            num_failed += 1
            named = "" if str(photo) in str(error) else f"{photo}: "
            typer.echo(f"hififace: {named}{error}", err=True)
            if as_json:
                typer.echo(json.dumps({"path": str(photo), "error": str(error)}, ensure_ascii=False))
            continue
        alike = similarities(found, who) if who is not None else None
        if as_json:
            described = [face_record(face, alike[i] if alike else None) for i, face in enumerate(found)]
            record = {"path": str(photo), "width": size[0], "height": size[1], "faces": described}
            typer.echo(json.dumps(record, ensure_ascii=False))
        else:
            _print_table(photo, found, alike)
    if num_failed:
        raise typer.Exit(HififaceError.exit_code)


def _drawings(photos: Sequence[Path], output: Path | None) -> dict[Path, Path]:
    """Photo -> the image that its faces are drawn into; empty where nothing is drawn.

    Raises:
        OptionError: a drawing would overwrite the drawing of another.
    """
    if output is None:
        return {}
    inside = len(photos) > 1 or not output.suffix
    drawings: dict[Path, Path] = {}
    for photo in dict.fromkeys(photos):
        drawing = output / f"{photo.stem}.faces.png" if inside else output
        if drawing in drawings.values():
            raise OptionError(
                f"Two of the photos would both be drawn into {drawing}; look at them one by one."
            )
        drawings[photo] = drawing
    return drawings


def face_record(face: Face, similarity: float | None = None) -> dict[str, Any]:
    """What JSON says of a face: plain numbers, pixels and degrees; parts that are not known are left out."""
    found = face.detection
    record: dict[str, Any] = {
        "index": face.index,
        "score": round(found.score, 4),
        "box": _rounded(found.box),
        "points": _rounded(found.points),
    }
    if face.coefficients is not None:
        pitch, yaw, roll = _rounded(face.coefficients.pose_deg)
        record["pose_deg"] = {"pitch": pitch, "yaw": yaw, "roll": roll}
    if face.landmarks is not None:
        record["landmarks_score"] = round(face.landmarks.score, 4)
        record["landmarks"] = _rounded(face.landmarks.points)
    if face.irises is not None:
        record["irises"] = _rounded(face.irises)
    if similarity is not None:
        record["similarity"] = round(similarity, 4)
    return record


def _look_at(
    analyser: FaceAnalyser,
    photo: Path,
    who: FloatArray | None,
    rotated: bool,
    drawing: Path | None,
) -> tuple[list[Face], tuple[int, int]]:
    """The faces of one photo and its (width, height); drawn into `drawing` if it is given."""
    pixels = read_image(photo).pixels
    want: list[Part] = ["shape", "iris"]
    if who is not None:
        want.append("identity")
    found = analyser.analyse(pixels, want, rotated=rotated)
    if drawing is not None:
        from hififace.faces.drawing import draw_faces

        drawing.parent.mkdir(parents=True, exist_ok=True)
        alike = similarities(found, who) if who is not None else None
        write_image(drawing, draw_faces(pixels, found, similarities=alike))
    return found, (pixels.shape[1], pixels.shape[0])


def _reference(analyser: FaceAnalyser, photos: Sequence[Path]) -> FloatArray:
    from hififace.faces.identity import average

    return average([analyser.identity_of(read_image(photo).pixels) for photo in photos])


def _print_table(photo: Path, found: Sequence[Face], alike: Sequence[float] | None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not found:
        console.print(f"{photo}: no face found", highlight=False, markup=False)
        return
    table = Table(title=str(photo), title_justify="left", title_style="bold")
    headings = ["face", "score", "place", "size", "pitch", "yaw", "roll"]
    for heading in [*headings, *(["similarity"] if alike else [])]:
        table.add_column(heading, justify="right")
    for number, face in enumerate(found):
        x0, y0, x1, y1 = (float(v) for v in face.detection.box)
        pose = face.coefficients.pose_deg if face.coefficients is not None else ()
        table.add_row(
            str(face.index),
            f"{face.detection.score:.2f}",
            f"{(x0 + x1) / 2:.0f}, {(y0 + y1) / 2:.0f}",
            f"{face.detection.size_px:.0f} px",
            *(f"{float(angle):+.0f}°" for angle in pose),
            *([f"{alike[number]:.2f}"] if alike else []),
        )
    console.print(table)


def _rounded(values: FloatArray) -> Any:
    """Numbers to a hundredth, nested as the array is."""
    return np.round(values.astype(np.float64), 2).tolist()
