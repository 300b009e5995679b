"""Writes the results of such an evaluation: JSON, Markdown tables with the literature's figures, contact sheets."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple

from hififace import __version__
from hififace.evaluation.measure import Summary
from hififace.evaluation.papers.figures import COLUMNS, figures_of
from hififace.evaluation.papers.run import PaperEvaluation, PaperRow
from hififace.evaluation.report import TRIPLES_PER_ROW, image_tile, tiles_sheet
from hififace.media.atomic import atomic_write
from hififace.media.image import LoadedImage
from hififace.provenance.claim import Claim
from hififace.swap.output import save_image

SCHEMA_VERSION: Final = 1


class _Measure(NamedTuple):
    title: str
    better: str
    digits: int


_MEASURES: Final = {
    "retrieval": _Measure("ID retrieval, %", "up", 2),
    "top5": _Measure("among the five nearest, %", "up", 2),
    "cosine": _Measure("ID similarity", "up", 3),
    "pose": _Measure("pose, degrees", "down", 2),
    "shape": _Measure("shape error", "down", 3),
    "expression": _Measure("expression error", "down", 3),
    "fid": _Measure("FID", "down", 2),
}
_ARROWS: Final = {"up": "↑", "down": "↓"}
_COLUMN_TITLES: Final = ("ID retrieval, % ↑", "ID similarity ↑", "pose ↓", "shape ↓", "expression ↓", "FID ↓")


def write_paper_report(evaluation: PaperEvaluation, folder: Path) -> list[Path]:
    """Write `report.json`, `report.md`, and a contact sheet for each bundle.

    Returns:
        The files written.

    Raises:
        HififaceError: the folder cannot be written to.
    """
    written = [folder / "report.json", folder / "report.md"]
    text = json.dumps(to_json(evaluation), indent=2, ensure_ascii=False) + "\n"
    atomic_write(written[0], text.encode())
    atomic_write(written[1], to_markdown(evaluation).encode())
    for row in evaluation.rows:
        if row.images and row.entry is not None:
            sheet = tiles_sheet(
                [[image_tile(one) for one in triple] for triple in row.images], TRIPLES_PER_ROW
            )
            claim = Claim(model=row.name, model_version=row.entry.version)
            path = folder / f"contact-{row.name}.png"
            written.append(save_image(sheet, LoadedImage.from_pixels(sheet), path, claim))
    return written


def to_json(evaluation: PaperEvaluation) -> dict[str, Any]:
    """The whole evaluation as JSON values; undefined figures are null."""
    protocol = evaluation.protocol
    return {
        "schema_version": SCHEMA_VERSION,
        "made_at": datetime.now(timezone.utc).replace(microsecond=0).isoformat(),
        "hififace": __version__,
        "protocol": {
            "name": protocol.name,
            "sha256": protocol.sha256,
            "complete": evaluation.complete,
            "read": protocol.where,
            "num_pairs": len(protocol.pairs),
            "num_frames": protocol.num_frames,
            "left_out": dict(protocol.left_out),
        },
        "networks": {
            "sha256": dict(evaluation.hashes),
            "missing": list(evaluation.missing),
            "real_frames_retrieved_percent": dict(evaluation.told_apart),
        },
        "methods": [_row_json(row) for row in evaluation.rows],
        "literature": [
            {
                "source": source.title,
                "how": source.how,
                "methods": {
                    name: dict(zip(COLUMNS, values, strict=True)) for name, values in source.rows.items()
                },
            }
            for source in figures_of(protocol.name)
        ],
    }


def to_markdown(evaluation: PaperEvaluation) -> str:
    """The tables: of this evaluation, then of the literature."""
    protocol = evaluation.protocol
    frames = f", {protocol.num_frames} frames of each video" if protocol.num_frames > 1 else ""
    lines = [
        f"# Protocol `{protocol.name}`",
        "",
        f"{len(protocol.pairs)} pairs{frames} ({protocol.where}); SHA-256 of the pairs `{protocol.sha256[:16]}`."
        + ("" if evaluation.complete else " **The first pairs only: a quick look.**"),
    ]
    if protocol.left_out:
        lines.append(f"Left out: {len(protocol.left_out)} (see `report.json`).")
    lines += ["", "| measure | " + " | ".join(_heading(row) for row in evaluation.rows) + " |"]
    lines.append("|---|" + "---:|" * len(evaluation.rows))
    for name in dict.fromkeys(name for row in evaluation.rows for name in row.measures):
        kind, _, network = name.partition(".")
        measure = _MEASURES[kind]
        of = f", {evaluation.titles[network]}" if network else ""
        cells = [_cell(row.measures.get(name), measure.digits) for row in evaluation.rows]
        lines.append(f"| {measure.title}{of} {_ARROWS[measure.better]} | " + " | ".join(cells) + " |")
    lines.append("| pairs refused | " + " | ".join(str(len(row.refusals)) for row in evaluation.rows) + " |")
    lines += ["", *_about_networks(evaluation), "", *_literature(protocol.name)]
    return "\n".join(lines) + "\n"


def _about_networks(evaluation: PaperEvaluation) -> list[str]:
    lines = [f"- {evaluation.titles[name]}: {note}." for name, note in evaluation.notes.items()]
    lines += [
        f"- Of the real frames {evaluation.titles[name]} finds another one of the same video nearest in {share:.2f} %."
        for name, share in evaluation.told_apart.items()
        if share is not None
    ]
    if evaluation.missing:
        lines.append(
            f"- Not measured, since these files are not on this machine: {', '.join(evaluation.missing)} "
            "(`hififace weights fetch literature`)."
        )
    return lines


def _literature(protocol: str) -> list[str]:
    sources = figures_of(protocol)
    if not sources:
        return [f"No table of the literature for `{protocol}` has been read by this project."]
    lines = ["## What papers report", ""]
    lines += [
        "Rows of one source compare with each other. They compare with the table above only as far as the networks, "
        "their crops and the pairs are the same; retrieval above all depends on the crop.",
        "",
    ]
    for source in sources:
        lines += [f"**{source.title}**: {source.how}.", "", "| method | " + " | ".join(_COLUMN_TITLES) + " |"]
        lines.append("|---|" + "---:|" * len(COLUMNS))
        for name, values in source.rows.items():
            cells = ["-" if value is None else f"{value:g}" for value in values]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines[:-1]


def _heading(row: PaperRow) -> str:
    return f"{row.name} {row.entry.version}".strip() if row.entry is not None else row.name


def _cell(summary: Summary | None, digits: int) -> str:
    if summary is None or math.isnan(summary.mean):
        return "n/a"
    error = "" if summary.standard_error is None else f" ± {summary.standard_error:.{digits}f}"
    return f"{summary.mean:.{digits}f}{error}"


def _row_json(row: PaperRow) -> dict[str, Any]:
    entry = row.entry
    details = (
        {}
        if entry is None
        else {"version": entry.version, "model_json_sha256": entry.sha256, **entry.details}
    )
    return {
        "name": row.name,
        "kind": row.kind,
        **details,
        "seconds": round(row.seconds, 1),
        "refusals": dict(row.refusals),
        "measures": {
            name: {
                "mean": None if math.isnan(one.mean) else round(one.mean, 6),
                "standard_error": None if one.standard_error is None else round(one.standard_error, 6),
                "num": one.num,
            }
            for name, one in row.measures.items()
        },
    }
