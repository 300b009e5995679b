"""The plots of the documents show the numbers that are committed beside them."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tools" / "plots.py"


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("plots", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plots = _load()


def words(svg: Path) -> list[str]:
    """What is written in a plot, in order."""
    return re.findall(r"<text[^>]*>([^<]+)</text>", svg.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plots")
    subprocess.run([sys.executable, str(PROGRAM), str(folder)], check=True)
    return folder


@pytest.mark.parametrize("name", list(plots.PLOTS))
def test_what_is_committed_is_what_the_command_draws(drawn: Path, name: str):
    assert words(ROOT / name) == words(drawn / name)
    paths = [(folder / name).read_text(encoding="utf-8").count("<path") for folder in (ROOT, drawn)]
    assert paths[0] == paths[1]


def test_a_bar_carries_its_number(drawn: Path):
    results = json.loads((ROOT / "benchmarks" / "results" / "training-step.json").read_text(encoding="utf-8"))
    told = words(drawn / "benchmarks/plots/training-step.svg")
    for side in results["sides"].values():
        assert f"{side['processor_s_median']:.4g}" in told


def test_every_plot_is_shown_in_a_document():
    text = "".join(
        (ROOT / page).read_text(encoding="utf-8") for page in ("benchmarks/README.md", "docs/lab-book.md")
    )
    for name in plots.PLOTS:
        assert Path(name).name in text
