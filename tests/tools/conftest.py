"""Programs that are no part of the package, as the tests of their arithmetic see them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

FOLDERS = tuple(str(Path(__file__).resolve().parents[2] / name) for name in ("tools", "runs"))


@pytest.fixture(scope="module")
def tool() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a program of tools/ or runs/ by its name, with those beside it that it imports itself."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in FOLDERS:
            patch.syspath_prepend(folder)
        yield import_module
    for name in [n for n, m in sys.modules.items() if str(getattr(m, "__file__", "")).startswith(FOLDERS)]:
        del sys.modules[name]
