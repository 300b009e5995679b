"""A served page and a browser, for every test of the page; a file that needs other limits has a `limits` of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.browser import chromium_browser, opened
from tests.support.pages import serve_page, write_album

from hififace.app.launch import Served
from hififace.app.limits import Limits


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page keeps what it must, with `album`, what visitors bring."""
    folder = tmp_path_factory.mktemp("page")
    write_album(folder / "album")
    return folder


@pytest.fixture(scope="module")
def limits() -> Limits:
    return Limits()


@pytest.fixture(scope="module")
def served(place: Path, limits: Limits) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIFIFACE_HOME", str(place / "home"))
        patch.setenv("GRADIO_TEMP_DIR", str(place))
        served = serve_page(place, limits)
        yield served
        served.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with chromium_browser() as browser:
        yield browser


@pytest.fixture
def page(chromium: Any, served: Served) -> Iterator[Any]:
    """A visitor of their own."""
    with opened(chromium, served) as page:
        yield page
