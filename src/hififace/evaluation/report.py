"""Writes the results of an evaluation: JSON, a Markdown table, contact sheets.

Contact sheets show swapped faces, so they are written by `swap/output.py`, which marks them.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Sequence
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
from hififace.evaluation.moved import REGIONS
from hififace.evaluation.portraits import SIZES_PX
from hififace.evaluation.run import Evaluation, MethodResult, what_is_asked
from hififace.evaluation.temporal import VideoFlicker
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
LARGE_TILE_PX: Final = 704
"""Side of a tile: a face of 500 px with its hair."""
LARGE_TRIPLES_PER_ROW: Final = 2
LARGE_TRIPLES: Final = 12
"""Maximum number on one sheet, so that image viewers can open it."""
GAP_PX: Final = 6


class Line(NamedTuple):
    """One row of the table."""

    part: str
    measure: str
    """`NETWORK` is a placeholder for the feature network in use."""
    title: str
    better: str
    """`up`, `down`, or empty if neither is better."""
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

_PORTRAIT_LINES: Final = (
    Line("swap", "dlib_same", "dlib: same person (< 0.6), %", "up", 1),
    Line("swap", "dlib_same[worst]", "the same, worst group by skin tone, %", "up", 1),
    Line("groups", "dlib_same[worst]", "the same, worst labelled group, %", "up", 1),
    Line("swap", "dlib_source", "dlib distance to the source", "down"),
    Line("swap", "dlib_target", "dlib distance to the target (leak)", "up"),
    Line("swap", "dlib_top1", "dlib top-1 among the sources, %", "up", 1),
    Line("swap", "dlib_top1_other", "dlib top-1, gallery of other photos, %", "up", 1),
    Line("swap", "second_source", "second recogniser, cosine to the source", "up"),
    Line("swap", "second_target", "second recogniser, cosine to the target (leak)", "down"),
    Line("swap", "second_top1_other", "second recogniser, top-1, gallery of other photos, %", "up", 1),
    Line("swap", "sface_source", "SFace cosine to the source", "up"),
    Line("swap", "sface_target", "SFace cosine to the target (leak)", "down"),
    Line("swap", "sface_top1_other", "SFace top-1, gallery of other photos, %", "up", 1),
    *(Line(f"size_{size}", "sharpness", f"sharpness, face of {size} px", "up", 2) for size in SIZES_PX),
    *(
        Line(f"size_{size}", "sharpness_plain", f"sharpness with detail 0, face of {size} px", "up", 2)
        for size in SIZES_PX
    ),
    Line("swap", "sharpness_plain", "sharpness with detail 0, full size", "up", 2),
    *(
        Line("swap", f"moved_{region}", f"{region} moved toward the source's, %", "up", 1)
        for region in REGIONS
    ),
    Line("swap", "lids_leak", "lid opening: of the source's, %", "down", 1),
    Line("swap", "lids_kept", "lid opening: of the target's, %", "up", 1),
    Line("swap", "lips_leak", "mouth opening: of the source's, %", "down", 1),
    Line("swap", "lips_kept", "mouth opening: of the target's, %", "up", 1),
    Line("swap", "pose_deg", "head pose error, degrees", "down", 2),
    Line("swap", "expression", "expression error (mesh), deviations", "down"),
    Line("swap", "gaze_deg", "gaze error (iris), degrees", "down", 2),
    Line("occluded", "occluder_change", "occluders: change, levels", "down", 1),
    Line("occluded", "frames_kept", "target's glasses (drawn): contrast kept, %", "up", 1),
    Line("glasses", "frames_leak", "source's glasses (drawn): contrast appearing, %", "down", 1),
    Line("glasses", "frames_seen", "the same: seen (above 15 %), % of pairs", "down", 1),
    Line("dim", "dim_error", "a quarter of the light: difference, levels", "down", 2),
    Line("dim", "dlib_same", "a quarter of the light: dlib same person, %", "up", 1),
    Line("swap", "mask_area", "mask over face area", ""),
    Line("swap", "frechet_NETWORK", "Fréchet distance (NETWORK, 256 px)", "down", 2),
    Line("reconstruction", "psnr_db", "same photo: PSNR at 256 px, dB", "up", 2),
    Line("reconstruction", "ssim", "same photo: SSIM at 256 px", "up"),
)

_GROUP_MEASURES: Final = (
    ("dlib_same", "dlib: same person, %", 1),
    ("dlib_source", "dlib distance", 3),
    ("second_source", "second recogniser", 3),
    ("sface_source", "SFace", 3),
)


def lines_of(protocol: str) -> tuple[Line, ...]:
    """The rows of a protocol's table."""
    return _PORTRAIT_LINES if protocol == "portraits" else LINES


_ARROWS: Final = {"up": " ↑", "down": " ↓", "": ""}


def write_report(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write `report.json`, `report.md`, and for each bundle `pairs-NAME.jsonl` and its contact sheets.

    Returns:
        The files written.

    Raises:
        HififaceError: the folder cannot be written to.
    """
    written = []

    def put(name: str, text: str) -> None:
        atomic_write(folder / name, text.encode("utf-8"))
        written.append(folder / name)

    put("report.json", json.dumps(to_json(evaluation), indent=2, ensure_ascii=False) + "\n")
    put("report.md", to_markdown(evaluation))
    for result in evaluation.results:
        name = result.entry.name
        put(f"pairs-{name}.jsonl", "".join(_pair_lines(evaluation, result)))
        for ending, sheet in contact_sheets(evaluation, result).items():
            path = folder / f"contact-{name}{ending}"
            claim = Claim(model=name, model_version=result.entry.version)
            written.append(save_image(sheet, LoadedImage.from_pixels(sheet), path, claim))
    return written


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The whole evaluation as JSON values; undefined figures are null."""
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
            "num_pairs": {part: len(pairs) for part, pairs in protocol.parts.items()},
            "num_people": len(protocol.gallery),
            "left_out": dict(protocol.left_out),
        },
        "descriptions": {
            "version": DESCRIPTION_VERSION,
            "parts": cache_version(evaluation.network, what_is_asked(protocol.name)),
        },
        "feature_network": evaluation.network,
        "recognisers": {name: dict(told) for name, told in evaluation.recognisers.items()},
        "methods": [_method_json(result) for result in evaluation.results],
        "videos": [
            {
                "video": one.target.video.name,
                "name": one.entry.name,
                "num_frames": one.result.num_frames,
                "target": _video_json(one.target),
                "result": _video_json(one.result),
            }
            for one in evaluation.videos
        ],
    }


def to_markdown(evaluation: Evaluation) -> str:
    """The table, with a row per measure and a column per method."""
    protocol, results = evaluation.protocol, evaluation.results
    sizes = ", ".join(f"{len(pairs)} {part}" for part, pairs in protocol.parts.items())
    scope = "the whole protocol" if evaluation.complete else "**the first pairs of the protocol only**"
    lines = [
        f"# Protocol `{protocol.name}`",
        "",
        f"{scope[0].upper()}{scope[1:]}: {sizes} pairs; {len(protocol.gallery)} people; "
        f"{len(protocol.left_out)} photos left out. Protocol {protocol.sha256[:12]}, hififace {__version__}. "
        "Mean ± standard error of the mean.",
        "",
        "| measure | " + " | ".join(_heading(result) for result in results) + " |",
        "|---|" + "---|" * len(results),
    ]
    for line in lines_of(protocol.name):
        measure = line.measure.replace("NETWORK", evaluation.network)
        cells = [_cell(result.parts.get(line.part, {}).get(measure), line.digits) for result in results]
        title = line.title.replace("NETWORK", evaluation.network) + _ARROWS[line.better]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += _group_table(results)
    lines += _video_table(evaluation)
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
    for result in results:
        num = sum(len(refused) for refused in result.refusals.values())
        if num:
            lines += ["", f"{result.entry.name} refused {num} pairs; they are in no mean."]
    return "\n".join(lines) + "\n"


def _group_table(results: Sequence[MethodResult]) -> list[str]:
    """Identity measures by the source's group, one table for all measures and bundles."""
    keys = dict.fromkeys(
        (part, name.partition("[")[2].rstrip("]"))
        for result in results
        for part, measures in result.parts.items()
        for name in measures
        if name.startswith("dlib_same[") and part in ("swap", "groups")
    )
    groups = [(part, label) for part, label in keys if label != "worst"]
    if not groups:
        return []
    shown = [one for one in results if any("dlib_same" in measures for measures in one.parts.values())]
    shown = [one for one in shown if "swap" in one.parts]
    lines = ["", "Likeness by the source's group:", ""]
    lines += ["| group | pairs | " + " | ".join(_heading(one) for one in shown) + " |"]
    lines += ["|---|---|" + "---|" * len(shown)]
    for measure, title, digits in _GROUP_MEASURES:
        for part, label in groups:
            cells = [one.parts.get(part, {}).get(f"{measure}[{label}]") for one in shown]
            num = max((cell.num for cell in cells if cell is not None), default=0)
            if num:
                texts = " | ".join(_cell(cell, digits) for cell in cells)
                lines.append(f"| {title}: {label} | {num} | {texts} |")
    return lines


def _video_table(evaluation: Evaluation) -> list[str]:
    """Flicker and similarity over time; the unchanged video's row is the lower bound."""
    if not evaluation.videos:
        return []
    lines = [
        "",
        f"The first {evaluation.settings.video_s:g} s of real footage; the video itself (`-`) is the floor. "
        "Flicker: half the mean square of successive differences of the SFace cosine, in millionths.",
        "",
        "| video | swapped by | faces | dlib distance | dlib: same person, % | SFace | flicker | warping error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    seen = set()
    for one in evaluation.videos:
        rows = [(one.entry.name, one.result)]
        if one.target.video not in seen:
            seen.add(one.target.video)
            rows.insert(0, ("-", one.target))
        for name, row in rows:
            same = None if row.same_share is None else 100 * row.same_share
            flicker = None if row.similarity_flicker is None else 1e6 * row.similarity_flicker
            numbers = (
                _told(row.distance, 3),
                _told(same, 1),
                _told(row.similarity, 3),
                _told(flicker, 0),
                _told(row.warping_error, 2),
            )
            lines.append(
                f"| {one.target.video.name} | {name} | {row.num_frames} | " + " | ".join(numbers) + " |"
            )
    return lines


def _told(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


def _video_json(row: VideoFlicker) -> dict[str, float | None]:
    return {
        name: _number(getattr(row, name))
        for name in (
            "distance",
            "same_share",
            "similarity",
            "similarity_variance",
            "similarity_flicker",
            "warping_error",
        )
    }


def contact_sheets(evaluation: Evaluation, result: MethodResult) -> dict[str, RGBImage]:
    """Suffix of the file name -> source, target and result of the first pairs of `swap`; empty without images.

    `open` has one sheet of small images, four triples in a row. `portraits` has several, two triples in a row, with
    crops around the face at full resolution, since reduced images hide the faults that it measures.
    """
    shown = [
        (pair, image)
        for pair, image in zip(evaluation.protocol.parts.get("swap", ()), result.images, strict=False)
        if image is not None
    ]
    if not shown:
        return {}
    if evaluation.protocol.name != "portraits":
        tiles = [
            [image_tile(photo) for photo in (pair.source.pixels(), pair.target.pixels(), image)]
            for pair, image in shown
        ]
        return {".png": tiles_sheet(tiles, TRIPLES_PER_ROW)}
    sheets = {}
    for number, start in enumerate(range(0, len(shown), LARGE_TRIPLES)):
        tiles = []
        for pair, image in shown[start : start + LARGE_TRIPLES]:
            middle = evaluation.middles[pair.target.sha256]
            source, target = pair.source.pixels(), pair.target.pixels()
            tiles.append(
                [
                    _cut(source, evaluation.middles[pair.source.sha256]),
                    _cut(target, middle),
                    _cut(image, middle),
                ]
            )
        sheets[f"-{number + 1}.jpg"] = tiles_sheet(tiles, LARGE_TRIPLES_PER_ROW)
    return sheets


def tiles_sheet(triples: Sequence[Sequence[RGBImage]], per_row: int) -> RGBImage:
    """Arranges square tiles of equal size in rows."""
    side = triples[0][0].shape[0]
    rows = -(-len(triples) // per_row)
    columns = min(len(triples), per_row)
    high, wide = side + GAP_PX, 3 * side + GAP_PX
    sheet = np.full((rows * high - GAP_PX, columns * wide - GAP_PX, 3), 255, np.uint8)
    for number, triple in enumerate(triples):
        y, x = number // per_row * high, number % per_row * wide
        sheet[y : y + side, x : x + 3 * side] = np.concatenate(triple, axis=1)
    return sheet


def _cut(image: RGBImage, middle: tuple[float, float]) -> RGBImage:
    """(704, 704, 3) crop around a point (x, y), not resized; white outside the image."""
    tile = np.full((LARGE_TILE_PX, LARGE_TILE_PX, 3), 255, np.uint8)
    height, width = image.shape[:2]
    # A smaller image is centred; the crop of a larger one is moved inside it, so that the tile is full.
    offset = []
    for place, size in ((middle[1], height), (middle[0], width)):
        start = round(place) - LARGE_TILE_PX // 2
        room = size - LARGE_TILE_PX
        offset.append(room // 2 if room <= 0 else min(max(start, 0), room))
    top, left = offset
    part = image[max(top, 0) : max(top, 0) + LARGE_TILE_PX, max(left, 0) : max(left, 0) + LARGE_TILE_PX]
    y, x = max(-top, 0), max(-left, 0)
    tile[y : y + part.shape[0], x : x + part.shape[1]] = part
    return tile


def image_tile(image: RGBImage) -> RGBImage:
    """(200, 200, 3) the whole image reduced, on white if it is not square."""
    height, width = image.shape[:2]
    scale = TILE_PX / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = image if scale == 1 else cv2.resize(image, size, interpolation=method)
    tile = np.full((TILE_PX, TILE_PX, 3), 255, np.uint8)
    tile[: size[1], : size[0]] = small
    return tile


def _heading(result: MethodResult) -> str:
    return f"{result.entry.name} {result.entry.version}".strip()


def _cell(summary: Summary | None, digits: int) -> str:
    if summary is None or math.isnan(summary.mean):
        return "n/a"
    error = "" if summary.standard_error is None else f" ± {summary.standard_error:.{digits}f}"
    return f"{summary.mean:.{digits}f}{error}"


def _method_json(result: MethodResult) -> dict[str, Any]:
    entry = result.entry
    changed = _changed_options(entry.options)
    return {
        "name": entry.name,
        "kind": "bundle" if entry.folder is not None else "baseline",
        "version": entry.version or None,
        "model_json_sha256": entry.sha256 or None,
        **entry.details,
        **({"options": changed} if changed else {}),
        "seconds": round(result.seconds, 1),
        "refusals": {part: len(refused) for part, refused in result.refusals.items()},
        "measures": {
            part: {name: _summary_json(summary) for name, summary in measures.items()}
            for part, measures in result.parts.items()
        },
    }


def _changed_options(options: SwapOptions) -> dict[str, Any]:
    """Options that differ from the defaults of `hififace swap`."""
    usual = SwapOptions()
    pairs = [(one.name, getattr(options, one.name), getattr(usual, one.name)) for one in fields(SwapOptions)]
    return {name: value for name, value, default in pairs if value != default}


def _summary_json(summary: Summary) -> dict[str, Any]:
    return {
        "mean": _number(summary.mean),
        "standard_error": _number(summary.standard_error),
        "num": summary.num,
    }


def _pair_lines(evaluation: Evaluation, result: MethodResult) -> list[str]:
    """One line of JSON per pair: source, target, and every measure."""
    lines = []
    for part, rows in result.rows.items():
        for number, (pair, row) in enumerate(zip(evaluation.protocol.parts[part], rows, strict=True)):
            record: dict[str, Any] = {
                "part": part,
                "pair": number,
                "source": pair.source.key,
                "target": pair.target.key,
            }
            if pair.scene.tag:
                record["target_scene"] = pair.scene.tag
            if pair.source_scene.tag:
                record["source_scene"] = pair.source_scene.tag
            if row is None:
                record["refused"] = result.refusals[part][number]
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
