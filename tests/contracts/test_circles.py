"""No modules import each other in a circle: not at the top, not in a function, not behind TYPE_CHECKING.

import-linter holds the layers; within a folder it sees no circles, and a lazy import hides one from Python itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "hififace"


def modules_of(package: Path) -> dict[str, Path]:
    """Dotted name -> file."""
    root = package.parent
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(package.rglob("*.py"))
    }


def named_in(node: ast.AST, here: str, is_package: bool) -> Iterator[str]:
    """Dotted names that a statement or a call imports, as far as they stand in the text."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = here.split(".")
            parts = parts[: len(parts) - node.level + is_package]
            base = ".".join([*parts, *([base] if base else [])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in {"import_module", "__import__"}:
            yield str(node.args[0].value)


def imports_of(package: Path) -> dict[str, set[str]]:
    """Module -> modules of the package that it imports anywhere in its text.

    A package's own `__init__` is no import of its own: `from package.module import name` is one of `package.module`.
    """
    modules = modules_of(package)
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        is_package = path.name == "__init__.py"
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = {one for one in named_in(node, name, is_package) if one in modules}
            # Of `from a.b import c`, where a.b.c is a module, that one is meant.
            found |= {one for one in named if not any(other.startswith(f"{one}.") for other in named)}
        graph[name] = found - {name}
    return graph


def circles_in(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Sets of modules that reach each other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(graph.get(start, ()))
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += graph.get(name, ())
        return seen

    reach = {name: reached(name) for name in graph}
    return {
        frozenset(other for other in graph if other in reach[name] and name in reach[other])
        for name in graph
        if name in reach[name]
    }


def test_no_modules_import_each_other_in_a_circle():
    graph = imports_of(PACKAGE)
    assert len(graph) > 250
    assert sum(map(len, graph.values())) > 1000
    # The package's lazy names are its public face: whoever imports it (for its version) imports none of them.
    graph["hififace"] = set()
    assert circles_in(graph) == set()


@pytest.mark.parametrize(
    "back",
    [
        "from made.a import x",
        "import made.a",
        "from made import a",
        "from . import a",
        "from .a import x",
        "def lazily():\n    from made.a import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.a import X",
        "import importlib\n\ndef lazily():\n    return importlib.import_module('made.a').x",
        "def lazily():\n    return __import__('made.a')",
    ],
)
def test_every_way_of_importing_is_seen(tmp_path: Path, back: str):
    package = tmp_path / "made"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from made import c\nfrom made.b import y\nx = 1\n")
    (package / "b.py").write_text(f"{back}\ny = 2\n")
    (package / "c.py").write_text("z = 3\n")
    graph = imports_of(package)
    assert graph == {"made": set(), "made.a": {"made.b", "made.c"}, "made.b": {"made.a"}, "made.c": set()}
    assert circles_in(graph) == {frozenset({"made.a", "made.b"})}
    graph["made.b"] = set()
    assert circles_in(graph) == set()
