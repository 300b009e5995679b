"""Reports on a prepared set: report.md, report.json, rejected.csv and a contact sheet.

The files do not depend on the time or the number of workers, so they are equal for equal photos.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from hififace.data.shards import MEMBERS
from hififace.media.atomic import atomic_write
from hififace.media.image import write_image
from hififace.media.image_formats import open_image
from hififace.preparation.assemble import Chosen
from hififace.preparation.quality import Reason
from hififace.types import RGBImage

SHEET_COLUMNS: Final = 16
SHEET_ROWS: Final = 10
SHEET_CELL_PX: Final = 96

_NUMBERS: Final = (
    "face_px",
    "magnification",
    "native_px",
    "sharpness",
    "valid_share",
    "yaw_deg",
    "pitch_deg",
    "roll_deg",
)
_PERCENTILES: Final = (1, 25, 50, 75, 99)


def summarise(chosen: Chosen, inputs: Sequence[dict[str, Any]], settings: dict[str, Any]) -> dict[str, Any]:
    """The content of report.json."""
    people = Counter(row["identity"] for row in chosen.rows if row["identity"] is not None)
    reasons = Counter(str(row["reason"]) for row in chosen.rejected)
    by_input: dict[str, dict[str, int]] = {}
    for row in chosen.rejected:
        counts = by_input.setdefault(row["source"].split("/")[0], {})
        counts[row["reason"]] = counts.get(row["reason"], 0) + 1
    return {
        "photos": {
            "seen": chosen.num_photos,
            "kept": len(chosen.rows),
            "rejected": len(chosen.rejected),
            "without_identity": len(chosen.rows) - sum(people.values()),
        },
        "people": {
            "number": len(people),
            "with_two_or_more": sum(count > 1 for count in people.values()),
            "most_photos": max(people.values(), default=0),
        },
        "rejected": {reason.value: reasons[reason.value] for reason in Reason if reasons[reason.value]},
        "rejected_by_input": {
            name: dict(sorted(counts.items())) for name, counts in sorted(by_input.items())
        },
        "percentiles": {
            name: {
                str(p): round(float(np.percentile([row[name] for row in chosen.rows], p)), 4)
                for p in _PERCENTILES
            }
            for name in _NUMBERS
            # Blocks of an earlier version lack the newer figures.
            if chosen.rows and all(name in row for row in chosen.rows)
        },
        "inputs": list(inputs),
        "settings": settings,
    }


def write_reports(output: Path, chosen: Chosen, summary: dict[str, Any]) -> None:
    """Write all four files into the folder of the set."""
    atomic_write(output / "report.json", (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())
    atomic_write(output / "report.md", to_markdown(summary).encode())
    atomic_write(output / "rejected.csv", to_csv(chosen.rejected).encode())
    if chosen.rows:
        write_image(output / "contact-sheet.png", contact_sheet(chosen.rows))


def to_csv(rejected: Sequence[dict[str, Any]]) -> str:
    """One line per rejected photo, with its reason."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ("key", "source", "identity", "reason", "detail"), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rejected)
    return text.getvalue()


def to_markdown(summary: dict[str, Any]) -> str:
    """The content of report.json as Markdown."""
    photos, people, settings = summary["photos"], summary["people"], summary["settings"]
    lines = [
        "# Prepared set",
        "",
        f"{photos['kept']} of {photos['seen']} photos, {settings['resolution']} px, template "
        f"`{settings['template']}`, parts `{settings['family']}`.",
        f"{people['number']} people with a name ({people['with_two_or_more']} with two photos or more, "
        f"at most {people['most_photos']}); {photos['without_identity']} photos without one.",
        "",
        "## Inputs",
        "",
        "| input | kind | photos |",
        "|---|---|---|",
        *(f"| {item['name']} | {item['kind']} | {item['photos']} |" for item in summary["inputs"]),
        "",
        "## Rejected",
        "",
        f"{photos['rejected']} photos; each one is named in rejected.csv.",
        "",
        "| reason | photos | share |",
        "|---|---|---|",
        *(
            f"| {reason} | {count} | {count / max(photos['seen'], 1):.2%} |"
            for reason, count in summary["rejected"].items()
        ),
        "",
        "## What is kept",
        "",
        "| | " + " | ".join(f"{p} %" for p in _PERCENTILES) + " |",
        "|---" * (len(_PERCENTILES) + 1) + "|",
        *(
            f"| {name} | " + " | ".join(f"{values[str(p)]:g}" for p in _PERCENTILES) + " |"
            for name, values in summary["percentiles"].items()
        ),
        "",
        "![contact sheet](contact-sheet.png)",
        "",
    ]
    return "\n".join(lines)


def contact_sheet(rows: Sequence[dict[str, Any]]) -> RGBImage:
    """Crops of photos spread evenly over the set, with the outlines of their face regions.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    count = min(len(rows), SHEET_COLUMNS * SHEET_ROWS)
    picked = [rows[int(place)] for place in np.linspace(0, len(rows) - 1, count)]
    num_rows = -(-count // SHEET_COLUMNS)
    sheet = np.full((num_rows * SHEET_CELL_PX, SHEET_COLUMNS * SHEET_CELL_PX, 3), 255, dtype=np.uint8)
    for number, row in enumerate(picked):
        top, left = (SHEET_CELL_PX * value for value in divmod(number, SHEET_COLUMNS))
        sheet[top : top + SHEET_CELL_PX, left : left + SHEET_CELL_PX] = _thumbnail(row)
    return sheet


def _thumbnail(row: dict[str, Any]) -> RGBImage:
    files = {}
    with Path(row["tar"]).open("rb") as file:
        for ending, place in zip(MEMBERS, row["places"], strict=True):
            file.seek(place.offset)
            files[ending] = file.read(place.size)
    image = np.array(open_image(files["jpg"]).convert("RGB"))
    mask = np.array(open_image(files["mask.png"]).convert("L"))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, outlines, -1, (64, 255, 64), 1)
    return np.asarray(cv2.resize(image, (SHEET_CELL_PX, SHEET_CELL_PX), interpolation=cv2.INTER_AREA))
