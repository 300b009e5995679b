"""The map from the paper to the code names places that exist, and sizes that are true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from benchmarks.macs import describe

from hififace.models import params

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "paper-to-code.md").read_text()
PLACES = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", PAGE)))


def defined_names(path: Path) -> set[str]:
    """Top-level names, and `Class.method`."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{m.name}" for m in node.body if isinstance(m, ast.FunctionDef)}
    return names


def test_the_page_names_places() -> None:
    assert len(PLACES) > 50


@pytest.mark.parametrize(("file", "symbol"), PLACES, ids=[":".join(place) for place in PLACES])
def test_every_place_exists(file: str, symbol: str) -> None:
    path = ROOT / "src" / "hififace" / file
    assert path.is_file()
    assert symbol in defined_names(path)


@pytest.mark.parametrize(
    "preset", ["paper_256", "paper_512", "mini_128", "reference_discriminator", "patch_discriminator"]
)
def test_sizes_on_the_page_are_true(preset: str) -> None:
    whole = describe(getattr(params, preset)())[0]
    assert f"| `{preset}` | {whole.num_parameters:,} | {whole.num_macs / 1e9:.2f} |" in PAGE
