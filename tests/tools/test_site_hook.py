"""The site: links are led to where their files are, and the references are whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import hififace
from hififace.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("mkdocs")


@pytest.fixture(scope="module")
def hook(tool: Callable[[str], ModuleType]) -> ModuleType:
    return tool("site_hook")


@pytest.mark.parametrize(
    ("origin", "link", "led"),
    [
        ("README.md", "docs/how-to/swap.md", "how-to/swap.md"),
        ("README.md", "docs/evaluation.md#flicker-of-videos", "evaluation.md#flicker-of-videos"),
        ("README.md", "CHANGELOG.md", "project/changes.md"),
        ("CONTRIBUTING.md", "docs/architecture.md", "../architecture.md"),
        ("docs/faq.md", "../runs/mini.sh", "repository/runs/mini.sh"),
        ("docs/how-to/train.md", "../paper-to-code.md", "../paper-to-code.md"),
        ("docs/faq.md", "https://example.org/x.md", "https://example.org/x.md"),
        ("docs/faq.md", "no-such-page.md", "no-such-page.md"),  # mkdocs refuses it
    ],
)
def test_links_lead_to_the_site(hook: ModuleType, origin: str, link: str, led: str):
    assert hook.rewritten(f"a [word]({link}) b", origin)[0] == f"a [word]({led}) b"


def test_files_outside_the_documents_are_copied(hook: ModuleType):
    assert hook.rewritten("[a](../runs/mini.sh) [b](faq.md)", "docs/faq.md")[1] == {"runs/mini.sh"}


def test_every_command_and_option_is_in_the_reference(hook: ModuleType):
    page = hook.commands_page()
    for command in COMMANDS:
        assert f"\n## `hififace {command.name}`\n" in page
    assert "| `--shape-rate` |" in page
    assert "| `--smooth`, `--no-smooth` |" in page
    assert "### `hififace weights fetch`" in page


def test_every_public_name_is_in_the_reference(hook: ModuleType):
    page = hook.python_page()
    for name in set(hififace.__all__) - {"__version__"}:
        assert f".{name}\n" in page
