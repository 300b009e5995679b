"""What an evaluation leaves behind: JSON for programs, a Markdown table for people, contact sheets for the eyes.

Contact sheets show swapped faces, so they leave by the one door (`swap/output.py`) and carry its marks.
"""

from __future__ import annotations

import json
import math
import platform
from dataclasses import fields
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np

from hififace import __version__
from hififace.evaluation.description import DESCRIPTION_VERSION, cache_version
from hififace.evaluation.measure import Summary
from hififace.evaluation.protocol import PARTS
from hififace.evaluation.run import SHEET_PAIRS, Evaluation, Standing
from hififace.media.atomic import atomic_write
from hififace.media.image import LoadedImage
from hififace.provenance.claim import Claim
from hififace.swap.options import SwapOptions
from hififace.swap.output import save_image
from hififace.types import RGBImage

SCHEMA_VERSION: Final = 1
LIBRARIES: Final = ("numpy", "opencv-python-headless", "onnxruntime", "torch")

TILE_PX: Final = 200
TRIPLES_PER_ROW: Final = 4
GAP_PX: Final = 6


class Line(NamedTuple):
    """One line of the table."""

    part: str
    measure: str
    """`NETWORK` stands for the one in use."""
    title: str
    better: str
    """`up`, `down`, or nothing where neither is."""
    digits: int = 3


LINES: Final = (
    Line("swap", "sface_source", "SFace cosine to the source", "up"),
    Line("swap", "sface_target", "SFace cosine to the target (leak)", "down"),
    Line("swap", "dlib_source", "dlib distance to the source", "down"),
    Line("swap", "dlib_target", "dlib distance to the target (leak)", "up"),
    Line("swap", "sface_top1", "SFace top-1 among the sources, %", "up", 1),
    Line("swap", "sface_top5", "SFace top-5, %", "up", 1),
    Line("swap", "dlib_top1", "dlib top-1 among the sources, %", "up", 1),
    Line("swap", "dlib_top5", "dlib top-5, %", "up", 1),
    Line("swap", "sface_top1_other", "SFace top-1, gallery of other photos, %", "up", 1),
    Line("swap", "dlib_top1_other", "dlib top-1, gallery of other photos, %", "up", 1),
    Line("swap", "pose_deg", "head pose error, degrees", "down", 2),
    Line("swap", "expression", "expression error (mesh), deviations", "down"),
    Line("swap", "mouth_opening", "mouth opening error", "down"),
    Line("swap", "eye_opening", "eye opening error", "down"),
    Line("swap", "gaze_deg", "gaze error (iris), degrees", "down", 2),
    Line("swap", "shape_source", "outline error to the source, %", "down", 2),
    Line("swap", "shape_target", "outline error to the target, %", "", 2),
    Line("swap", "mask_area", "mask over face area", ""),
    Line("swap", "frechet_NETWORK", "Fréchet distance (NETWORK)", "down", 2),
    Line("same_person", "psnr_db", "one person, other photo: PSNR, dB", "up", 2),
    Line("same_person", "ssim", "one person, other photo: SSIM", "up"),
    Line("same_person", "sface_target", "one person: SFace cosine to the target", "up"),
    Line("reconstruction", "psnr_db", "same photo: PSNR, dB", "up", 2),
    Line("reconstruction", "ssim", "same photo: SSIM", "up"),
    Line("reconstruction", "sface_target", "same photo: SFace cosine to the target", "up"),
)

_ARROWS: Final = {"up": " ↑", "down": " ↓", "": ""}


def write_report(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write `report.json`, `report.md`, and for each bundle `pairs-NAME.jsonl` and `contact-NAME.png`.

    Returns:
        What was written.

    Raises:
        HififaceError: the folder cannot be written to.
    """
    written = []

    def put(name: str, text: str) -> None:
        atomic_write(folder / name, text.encode("utf-8"))
        written.append(folder / name)

    put("report.json", json.dumps(to_json(evaluation), indent=2, ensure_ascii=False) + "\n")
    put("report.md", to_markdown(evaluation))
    for standing in evaluation.standings:
        name = standing.entry.name
        put(f"pairs-{name}.jsonl", "".join(_pair_lines(evaluation, standing)))
        sheet = contact_sheet(evaluation, standing)
        if sheet is not None:
            path = folder / f"contact-{name}.png"
            claim = Claim(model=name, model_version=standing.entry.version)
            written.append(save_image(sheet, LoadedImage.from_pixels(sheet), path, claim))
    return written


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Everything, as plain numbers and words; what cannot be told is null."""
    protocol = evaluation.protocol
    return {
        "schema_version": SCHEMA_VERSION,
        "made_at": datetime.now(timezone.utc).replace(microsecond=0).isoformat(),
        "versions": {"hififace": __version__, "python": platform.python_version(), **_library_versions()},
        "protocol": {
            "name": protocol.name,
            "seed": protocol.seed,
            "sha256": protocol.sha256,
            "complete": evaluation.complete,
            "num_pairs": {part: len(protocol.parts[part]) for part in PARTS},
            "num_people": len(protocol.gallery),
            "left_out": dict(protocol.left_out),
        },
        "descriptions": {"version": DESCRIPTION_VERSION, "parts": cache_version(evaluation.network)},
        "feature_network": evaluation.network,
        "recognisers": {name: dict(told) for name, told in evaluation.recognisers.items()},
        "contestants": [_standing_json(standing) for standing in evaluation.standings],
    }


def to_markdown(evaluation: Evaluation) -> str:
    """One table: measures down, contestants across."""
    protocol, standings = evaluation.protocol, evaluation.standings
    sizes = ", ".join(f"{len(protocol.parts[part])} {part}" for part in PARTS)
    scope = "the whole protocol" if evaluation.complete else "**the first pairs of the protocol only**"
    lines = [
        f"# Protocol `{protocol.name}`",
        "",
        f"{scope[0].upper()}{scope[1:]}: {sizes} pairs; {len(protocol.gallery)} people; "
        f"{len(protocol.left_out)} photos left out. Protocol {protocol.sha256[:12]}, hififace {__version__}. "
        "Mean ± standard error of the mean.",
        "",
        "| measure | " + " | ".join(_heading(standing) for standing in standings) + " |",
        "|---|" + "---|" * len(standings),
    ]
    for line in LINES:
        measure = line.measure.replace("NETWORK", evaluation.network)
        cells = [_cell(standing.parts[line.part].get(measure), line.digits) for standing in standings]
        title = line.title.replace("NETWORK", evaluation.network) + _ARROWS[line.better]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    for name, told in evaluation.recognisers.items():
        lines += [
            "",
            f"{name} tells these people's photos apart at its own threshold ({told['threshold_distance']:.2f}) with "
            f"{100 * told['accuracy']:.1f} % accuracy; mean distance {told['mean_distance_same']:.2f} of one person, "
            f"{told['mean_distance_different']:.2f} of two. Another real photo of a source finds it among them in "
            f"{told['top1_real_photos']:.1f} % (top-5: {told['top5_real_photos']:.1f} %).",
        ]
    changed = _changed_options(evaluation.settings.options)
    if changed:
        listed = ", ".join(f"{name} {value}" for name, value in changed.items())
        lines += ["", f"Bundles were used with other options than the defaults: {listed}."]
    for standing in standings:
        num = sum(len(refused) for refused in standing.refusals.values())
        if num:
            lines += ["", f"{standing.entry.name} refused {num} pairs; they are in no mean."]
    return "\n".join(lines) + "\n"


def contact_sheet(evaluation: Evaluation, standing: Standing) -> RGBImage | None:
    """Source, target and result of the first pairs of `swap`, four triples in a row; None where there is no image."""
    pairs = evaluation.protocol.parts["swap"][:SHEET_PAIRS]
    if not any(image is not None for image in standing.images):
        return None
    triples = [
        np.concatenate(
            [_tile(photo) for photo in (pair.source.pixels(), pair.target.pixels(), image)], axis=1
        )
        for pair, image in zip(pairs, standing.images, strict=False)
        if image is not None
    ]
    rows = -(-len(triples) // TRIPLES_PER_ROW)
    columns = min(len(triples), TRIPLES_PER_ROW)
    high, wide = TILE_PX + GAP_PX, 3 * TILE_PX + GAP_PX
    sheet = np.full((rows * high - GAP_PX, columns * wide - GAP_PX, 3), 255, np.uint8)
    for number, triple in enumerate(triples):
        y, x = number // TRIPLES_PER_ROW * high, number % TRIPLES_PER_ROW * wide
        sheet[y : y + TILE_PX, x : x + 3 * TILE_PX] = triple
    return sheet


def _tile(image: RGBImage) -> RGBImage:
    """(200, 200, 3) the whole image, on white where it is not square."""
    height, width = image.shape[:2]
    scale = TILE_PX / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = image if scale == 1 else cv2.resize(image, size, interpolation=method)
    tile = np.full((TILE_PX, TILE_PX, 3), 255, np.uint8)
    tile[: size[1], : size[0]] = small
    return tile


def _heading(standing: Standing) -> str:
    return f"{standing.entry.name} {standing.entry.version}".strip()


def _cell(summary: Summary | None, digits: int) -> str:
    if summary is None or math.isnan(summary.mean):
        return "n/a"
    error = "" if summary.standard_error is None else f" ± {summary.standard_error:.{digits}f}"
    return f"{summary.mean:.{digits}f}{error}"


def _standing_json(standing: Standing) -> dict[str, Any]:
    entry = standing.entry
    changed = _changed_options(entry.options)
    return {
        "name": entry.name,
        "kind": "bundle" if entry.folder is not None else "baseline",
        "version": entry.version or None,
        "model_json_sha256": entry.sha256 or None,
        **entry.details,
        **({"options": changed} if changed else {}),
        "seconds": round(standing.seconds, 1),
        "refusals": {part: len(refused) for part, refused in standing.refusals.items()},
        "measures": {
            part: {name: _summary_json(summary) for name, summary in measures.items()}
            for part, measures in standing.parts.items()
        },
    }


def _changed_options(options: SwapOptions) -> dict[str, Any]:
    """Options that are not the defaults; without them figures are those of `hififace swap` as it is."""
    usual = SwapOptions()
    pairs = [(one.name, getattr(options, one.name), getattr(usual, one.name)) for one in fields(SwapOptions)]
    return {name: value for name, value, default in pairs if value != default}


def _summary_json(summary: Summary) -> dict[str, Any]:
    return {
        "mean": _number(summary.mean),
        "standard_error": _number(summary.standard_error),
        "num": summary.num,
    }


def _pair_lines(evaluation: Evaluation, standing: Standing) -> list[str]:
    """One JSON object a line for each pair: who, what, and every measure of it."""
    lines = []
    for part in PARTS:
        for number, (pair, row) in enumerate(
            zip(evaluation.protocol.parts[part], standing.rows[part], strict=True)
        ):
            record: dict[str, Any] = {
                "part": part,
                "pair": number,
                "source": pair.source.key,
                "target": pair.target.key,
            }
            if row is None:
                record["refused"] = standing.refusals[part][number]
            else:
                record |= {name: _number(value) for name, value in row.values.items()}
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    return lines


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 6)


def _library_versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
