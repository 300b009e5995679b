"""The figures of README.md are those of the files that hold them."""

from __future__ import annotations


def test_readme_holds_what_the_command_writes(tool):
    figures = tool("readme_figures")
    text = figures.README.read_text(encoding="utf-8")
    assert figures.BEGIN in text
    assert figures.renewed(text) == text


def test_old_figures_are_replaced_and_the_rest_stays(tool):
    figures = tool("readme_figures")
    old = f"before\n{figures.BEGIN}\n| dlib | 12 % |\n{figures.END}\nafter\n"
    new = figures.renewed(old)
    assert new.startswith("before\n")
    assert new.endswith("\nafter\n")
    assert "12 %" not in new
    assert figures.renewed(new) == new
