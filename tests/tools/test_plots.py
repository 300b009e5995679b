"""The plots of the documents show the numbers that are committed beside them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tools" / "plots.py"


def words(svg: Path) -> list[str]:
    """What is written in a plot, in order."""
    return re.findall(r"<text[^>]*>([^<]+)</text>", svg.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plots")
    subprocess.run([sys.executable, str(PROGRAM), str(folder)], check=True)
    return folder


def test_what_is_committed_is_what_the_command_draws(drawn: Path, tool):
    for name in tool("plots").PLOTS:
        assert words(ROOT / name) == words(drawn / name), name
        paths = [(folder / name).read_text(encoding="utf-8").count("<path") for folder in (ROOT, drawn)]
        assert paths[0] == paths[1], name


def test_a_bar_carries_its_number(drawn: Path):
    results = json.loads((ROOT / "benchmarks" / "results" / "training-step.json").read_text(encoding="utf-8"))
    told = words(drawn / "benchmarks/plots/training-step.svg")
    for side in results["sides"].values():
        assert f"{side['processor_s_median']:.4g}" in told


def test_every_plot_is_shown_in_a_document(tool):
    text = "".join(
        (ROOT / page).read_text(encoding="utf-8") for page in ("benchmarks/README.md", "docs/lab-book.md")
    )
    for name in tool("plots").PLOTS:
        assert Path(name).name in text
