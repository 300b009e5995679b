"""Write the figures of README.md anew from the files that hold them.

    python tools/readme_figures.py

Quality comes from the embedded model's `model.json`, speed from `benchmarks/results`;
`tests/tools/test_readme_figures.py` holds README.md against them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: python tools/readme_figures.py -->", "<!-- end of figures -->"


def read(path: str) -> Any:
    """A JSON file of the repository; None where there is none."""
    place = ROOT / path
    return json.loads(place.read_text(encoding="utf-8")) if place.exists() else None


def quality() -> list[tuple[str, str, str]]:
    """What is measured, the figure, and how it is read."""
    model = read("src/hififace/weights/embedded/mini/model.json")
    metrics = model["metrics"]
    swap, same, pairs = metrics["swap"], metrics["reconstruction"], metrics["protocol"]["num_pairs"]["swap"]
    return [
        (
            f"taken for the source by dlib, which training never saw ({pairs:,} pairs)",
            f"{swap['dlib_same']:.1f} %",
            "distance below 0.6",
        ),
        (
            "the source found among 150 people by dlib",
            f"{swap['dlib_top1']:.1f} %",
            "chance: 0.7 %; another real photo: 94.7 %",
        ),
        ("head pose, off the target's", f"{swap['pose_deg']:.1f} degrees", "0 is the target's"),
        ("gaze, off the target's", f"{swap['gaze_deg']:.1f} degrees", "0 is the target's"),
        ("a photo put onto itself", f"{same['psnr_db']:.1f} dB", "more is closer"),
    ]


def speed() -> list[tuple[str, str, str]]:
    """Likewise, of files that are there; of a swap only where it was measured with the model that ships."""
    rows = []
    model, swap = read("src/hififace/weights/embedded/mini/model.json"), read("benchmarks/results/swap.json")
    if swap is not None and swap["mini"] == f"{model['name']} {model['version']}":
        where = f"{swap['environment']['num_cores']} cores, no GPU; `benchmarks/swap.py`"
        for side, what in (
            ("mini/1080p", "one face of a 1080p photo, swapped"),
            ("mini/command, 1080p", "the same from the command to the written file"),
        ):
            rows.append((what, f"{swap['sides'][side]['median_ms'] / 1e3:.2f} s", where))
    live = read("benchmarks/results/live-browser.json")
    if live is not None:
        rows.append(
            (
                "a camera in the page, 640 x 480, browser on the same machine",
                f"{live['frames_per_s']:.0f} frames/s",
                f"{live['cores']} cores, no GPU; `benchmarks/live_browser.py`",
            )
        )
    first = read("benchmarks/results/first-result.json")
    if first is not None:
        waits = first["median_s"]["now"]
        rows.append(
            (
                "the page: from opening it to the first result, photos of 640 px",
                f"{waits['640 px: all of it']:.1f} s",
                f"{first['cores']} cores, no GPU; `benchmarks/first_result.py`",
            )
        )
    return rows


def table() -> str:
    """Markdown."""
    rows = [*quality(), *speed()]
    lines = [f"| {what} | **{figure}** | {how} |" for what, figure, how in rows]
    return "\n".join(["| measure | `mini` | |", "|---|---|---|", *lines])


def renewed(text: str) -> str:
    """README.md with today's figures."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
