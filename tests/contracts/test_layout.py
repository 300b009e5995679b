"""The shape of the house: names, and the one door out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "hififace").rglob("*.py"))
PROGRAMS = sorted(
    path
    for folder in ("src", "tests", "tools", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)
FORBIDDEN_NAMES = {"utils", "util", "common", "core", "helpers", "helper", "misc"}

# Everything that puts pixels into a file. Whoever calls one of these outside of these places writes results
# past the door that marks them.
IMAGE_WRITERS = {
    "imwrite",
    "imwritemulti",
    "VideoWriter",
    "imsave",
    "mimsave",
    "encode_image",
    "join_video",
}
DOORS = {
    "encode_image": {"media/image.py", "swap/output.py"},
    "VideoWriter": {"media/writing.py", "video/job.py"},
    "join_video": {"media/writing.py"},
}
# `write_image` writes drawings without a mark, so what shows a swapped face must not come near it.
UNMARKED_FORBIDDEN = ("swapper.py", "swap/", "video/", "app/", "server/", "cli/swap.py", "cli/app.py")


def relative(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "hififace").as_posix()


def test_every_place_has_a_name():
    def words(path: Path) -> set[str]:
        return {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}

    assert [str(path) for path in PROGRAMS if FORBIDDEN_NAMES & words(path)] == []


def test_every_module_opens_with_a_docstring_and_postponed_annotations():
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), f"{path} says nothing about itself"
        if len(tree.body) > 1 and any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body):
            assert "from __future__ import annotations" in path.read_text(), path


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_results_leave_by_one_door(path: Path):
    tree, here = ast.parse(path.read_text()), relative(path)
    for node in ast.walk(tree):
        name = None
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.Name):
            name = node.id
        elif isinstance(node, ast.alias):
            name = node.name
        if name in IMAGE_WRITERS:
            assert here in DOORS.get(name, set()), (
                f"{here} uses {name}: results leave by swap/output.py alone"
            )
        if name == "write_image":
            assert not here.startswith(UNMARKED_FORBIDDEN), f"{here} uses write_image, which does not mark"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_pillow_saves_pictures_in_few_places(path: Path):
    """`.save(` with a format, or of something called image, image or canvas."""
    here = relative(path)
    # Crops of training photos are no results.
    if here == "media/image.py" or here.startswith("preparation/"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "save":
            owner = ast.unparse(node.func.value)
            of_pillow = "fromarray" in owner or re.search(r"image|image|canvas|photo|frame", owner, re.I)
            says_format = any(keyword.arg == "format" for keyword in node.keywords)
            saves_image = bool(of_pillow) or says_format
            assert not saves_image, f"{here} saves an image itself"


def test_the_guard_sees_what_it_should():
    """The guard above is only worth something if it fails where it must."""
    tree = ast.parse("import cv2\ncv2.imwrite('x.png', y)")
    assert any(isinstance(node, ast.Attribute) and node.attr in IMAGE_WRITERS for node in ast.walk(tree))
