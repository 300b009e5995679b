"""The figures of README.md are those of the files that hold them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def program() -> Any:
    spec = importlib.util.spec_from_file_location("readme_figures", ROOT / "tools" / "readme_figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_holds_what_the_command_writes():
    figures = program()
    text = figures.README.read_text(encoding="utf-8")
    assert figures.BEGIN in text
    assert figures.renewed(text) == text


def test_old_figures_are_replaced_and_the_rest_stays():
    figures = program()
    old = f"before\n{figures.BEGIN}\n| dlib | 12 % |\n{figures.END}\nafter\n"
    new = figures.renewed(old)
    assert new.startswith("before\n")
    assert new.endswith("\nafter\n")
    assert "12 %" not in new
    assert figures.renewed(new) == new
