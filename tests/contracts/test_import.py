"""Importing the package does nothing: quiet, quick, and nothing heavy until it is needed."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import hififace

HEAVY = ("torch", "onnxruntime", "cv2", "av", "PIL", "numpy", "pydantic", "c2pa", "gradio", "typer", "rich")
PUBLIC = json.loads((Path(__file__).parent / "api_surface.json").read_text())


def python(code: str, *flags: str) -> str:
    return subprocess.run(
        [sys.executable, *flags, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def test_importing_is_quiet_and_loads_nothing_heavy():
    out = python(f"import sys, hififace\nprint(*sorted({set(HEAVY)!r} & set(sys.modules)))", "-W", "error")
    assert out.strip() == ""


def test_importing_is_quick():
    """Under 0.3 s; the best of five, so that a busy machine does not fail it."""
    code = "import time\nbegan = time.perf_counter()\nimport hififace\nprint(time.perf_counter() - began)"
    assert min(float(python(code)) for _ in range(5)) < 0.3


def test_importing_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    python("import hififace, hififace.weights.store, hififace.swap.output, hififace.cli.main")
    assert not any(tmp_path.iterdir())


def test_importing_sets_up_no_logging():
    out = python("import logging, hififace, hififace.cli.main\nprint(len(logging.getLogger().handlers))")
    assert out.strip() == "0"


@pytest.mark.parametrize("layer", ["faces", "swap", "video", "media", "weights", "provenance"])
def test_a_layer_of_swapping_imports_no_torch(layer: str):
    code = (
        "import importlib, pkgutil, sys\n"
        f"package = importlib.import_module('hififace.{layer}')\n"
        "for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(*sorted({'torch', 'gradio', 'typer', 'onnx'} & set(sys.modules)))\n"
    )
    assert python(code).strip() == ""


def test_the_public_names_are_those_that_were_promised():
    """A name that goes, goes through a deprecation; a new one is written into api_surface.json."""
    assert sorted(hififace.__all__) == PUBLIC["hififace"]
    for name in hififace.__all__:
        assert getattr(hififace, name) is not None
    assert set(hififace.__all__) <= set(dir(hififace))


def test_annotations_of_everything_public_can_be_read():
    """`typing.get_type_hints`, as editors, documentation and dependency injection call it."""
    for name in hififace.__all__:
        value = getattr(hififace, name)
        if inspect.isclass(value):
            members = [
                member for key, member in vars(value).items() if not key.startswith("_") or key == "__init__"
            ]
            for member in [value, *members]:
                member = getattr(member, "__func__", getattr(member, "fget", member))
                if inspect.isfunction(member) or inspect.isclass(member):
                    get_type_hints(member)
        elif inspect.isfunction(value):
            get_type_hints(value)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = hififace.nonsense


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert hififace.__version__ == version("hififace")
