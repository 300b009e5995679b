"""Draw the plots of the documents from files of numbers: benchmarks/results/*.json and runs/history/*.jsonl.

    python tools/plots.py [FOLDER]

writes `benchmarks/plots/*.svg` and `docs/lab-book/*.svg` below FOLDER, by default this repository. Nothing is typed;
`tests/tools/test_plots.py` holds the committed plots against the numbers. Needs matplotlib (`[docs]`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("svg")

from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
INK, SOFT, OURS, OTHER = "#33363a", "#76797f", "#0b8f88", "#b9bcc2"
STYLE = {
    "svg.fonttype": "none",  # words stay words: readable, searchable, and to be tested
    "svg.hashsalt": "hififace",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": OTHER,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": SOFT,
    "ytick.color": INK,
    "savefig.facecolor": "white",
}


def result(name: str) -> Any:
    """One file of `benchmarks/results`."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def history(name: str) -> list[dict[str, float]]:
    """One file of `runs/history`: what a training run wrote down, line by line."""
    text = (ROOT / "runs" / "history" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def bars(
    title: str, unit: str, rows: Sequence[tuple[str, float]], errors: Sequence[float] | None = None
) -> Any:
    """Horizontal bars with their numbers behind them; names that begin with `mini` or `hififace` are ours."""
    figure, axes = plt.subplots(figsize=(7.2, 0.8 + 0.36 * len(rows)))
    names, values = [name for name, _ in rows][::-1], [value for _, value in rows][::-1]
    ours = [name.startswith(("mini 769280", "mini-769280", "hififace", "now")) for name in names]
    wide = None if errors is None else list(errors)[::-1]
    axes.barh(
        names, values, xerr=wide, color=[OURS if one else OTHER for one in ours], height=0.62, ecolor=SOFT
    )
    most = max(value + (0 if wide is None else wide[at]) for at, value in enumerate(values))
    for at, value in enumerate(values):
        end = value + (0 if wide is None else wide[at])
        axes.text(end + most * 0.015, at, f"{value:.4g}", va="center", fontsize=9, color=INK)
    axes.set_xlim(0, most * 1.12)
    axes.set_title(title)
    axes.set_xlabel(unit)
    axes.tick_params(axis="y", length=0)
    figure.tight_layout()
    return figure


def likeness() -> Any:
    """Who takes the result for the source, by a recogniser that training never sees."""
    found = [one for one in result("portraits")["methods"] if "dlib_same" in one["measures"].get("swap", {})]
    measures = [(_called(one), one["measures"]["swap"]["dlib_same"]) for one in found]
    return bars(
        "Taken for the source by dlib: first 100 swaps of the protocol portraits",
        "% of the pairs, with one standard error",
        [(name, measure["mean"]) for name, measure in measures],
        [measure["standard_error"] for _, measure in measures],
    )


def pose() -> Any:
    """How far the head has turned."""
    found = [one for one in result("portraits")["methods"] if "pose_deg" in one["measures"].get("swap", {})]
    measures = [(_called(one), one["measures"]["swap"]["pose_deg"]) for one in found]
    return bars(
        "Head pose, off the target's: the same swaps",
        "degrees, with one standard error",
        [(name, measure["mean"]) for name, measure in measures],
        [measure["standard_error"] for _, measure in measures],
    )


def _called(one: dict[str, Any]) -> str:
    return f"{one['name']} {one['version']}" if one["version"] else str(one["name"])


def detection() -> Any:
    """Finding faces, against OpenCV with the same network."""
    sizes = result("faces")["detection"]
    rows = [
        (f"{side}, {size}", sides[side]["median_ms"])
        for size, sides in sizes.items()
        if size in {"640x480", "1920x1080"}
        for side in ("hififace, faces from 96 px", "hififace", "OpenCV FaceDetectorYN")
    ]
    return bars("Finding faces, one thread, the same network", "milliseconds, median", rows)


def training_step() -> Any:
    """A training step before and now."""
    sides = result("training-step")["sides"]
    rows = [(f"{side} ({told['commit'][:7]})", told["processor_s_median"]) for side, told in sides.items()]
    return bars("One training step of mini_256, batch 8, one core", "processor seconds, median", rows)


def first_result() -> Any:
    """How long a visitor of the page waits."""
    sides = result("first-result")["median_s"]
    rows = [
        (f"{side}: {name.removesuffix(': all of it')}", spent[name])
        for name in next(iter(sides.values()))
        if name.endswith(": all of it")
        for side, spent in sides.items()
    ]
    return bars(
        "The page: from opening it to the result", "seconds, median, two cores, files read included", rows
    )


def curves(name: str, title: str) -> Any:
    """Learning curves of one run."""
    rows = history(name)
    pairs = [row["pairs"] / 1000 for row in rows]
    panels: Sequence[tuple[str, Sequence[tuple[str, str]]]] = (
        (
            "Identity (cosine)",
            (("cosine_0", "SFace"), ("cosine_1", "second recogniser"), ("cosine_2", "third")),
        ),
        (
            "Left of the target (cosine)",
            (("left_0", "SFace"), ("left_1", "second recogniser"), ("left_2", "third")),
        ),
        ("Image", (("reconstruction", "pixels"), ("perceptual", "perceptual"))),
        ("Shape", (("outline", "outline"), ("lips", "lips"), ("eyelids", "eyelids"), ("gaze", "gaze"))),
        ("Discriminators (share right)", (("fine_accuracy", "fine"), ("coarse_accuracy", "coarse"))),
    )
    figure, axes = plt.subplots(1, len(panels), figsize=(14, 2.9))
    for axis, (told, lines) in zip(axes, panels, strict=True):
        for at, (key, label) in enumerate(lines):
            if not any(key in row for row in rows):
                continue
            axis.plot(
                pairs,
                [row.get(key, np.nan) for row in rows],
                label=label,
                color=(OURS, INK, "#c7802a", SOFT)[at],
            )
        axis.set_title(told, fontsize=10)
        axis.set_xlabel("thousand pairs")
        axis.legend(frameon=False, fontsize=8)
        if told == "Image":
            axis.set_yscale("log")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    figure.tight_layout()
    return figure


PLOTS: dict[str, Callable[[], Any]] = {
    "benchmarks/plots/likeness.svg": likeness,
    "benchmarks/plots/pose.svg": pose,
    "benchmarks/plots/detection.svg": detection,
    "benchmarks/plots/training-step.svg": training_step,
    "docs/lab-book/mini-256-h200.svg": lambda: curves(
        "mini-256-h200", "mini_256 on one H200, 27 November 2026: what ships is the average at 499,200 pairs"
    ),
    "docs/lab-book/mini-256-one-core.svg": lambda: curves(
        "mini-256-one-core", "From there on one core, the same day: 5,752 pairs, not exported"
    ),
    "docs/lab-book/mini-256-likeness.svg": lambda: curves(
        "mini-256-likeness",
        "Three recognisers, discriminators until 4,700 pairs, 28 November 2026: not exported",
    ),
    "docs/lab-book/mini-256-realism.svg": lambda: curves(
        "mini-256-realism", "From its average, with projected discriminators, the same day: 5,536 pairs"
    ),
    "docs/lab-book/mini-256-balance.svg": lambda: curves(
        "mini-256-balance", "From its average, the same day, to version 769280: 12,496 pairs on one core"
    ),
    "docs/lab-book/mini-256-feedback.svg": lambda: curves(
        "mini-256-feedback",
        "From there, the same night, asked twice, to what ships: 13,824 pairs on one core",
    ),
    "benchmarks/plots/first-result.svg": first_result,
}
"""File -> who draws it."""


def main() -> None:
    """Draw all of them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    with mpl.rc_context(STYLE):
        for name, draw in PLOTS.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            figure = draw()
            figure.savefig(place, metadata={"Date": None})
            plt.close(figure)


if __name__ == "__main__":
    main()
