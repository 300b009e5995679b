from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from hififace.app.handlers import Studio
from hififace.app.limits import Limits
from hififace.app.sessions import Sessions
from hififace.hosting.bundles import Bundles
from tests.support.bundle_doubles import write_mesh_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mesh_bundle(tmp_path_factory.mktemp("bundles") / "double").folder


@pytest.fixture(scope="session")
def bundles(bundle: Path) -> Bundles:
    return Bundles([bundle], threads=1)


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """me.png, target.jpg, two.png (two faces), empty.png and broken.jpg."""
    folder = tmp_path_factory.mktemp("album")
    face = np.ascontiguousarray(data.astronaut()[20:250, 110:340])
    Image.fromarray(face).save(folder / "me.png")
    Image.fromarray(face[:, ::-1] // 2 + 60).save(folder / "target.jpg", quality=95)
    Image.fromarray(face[:, ::-1]).save(folder / "target.bmp")
    Image.fromarray(np.concatenate([face, face[:, ::-1]], axis=1)).save(folder / "two.png")
    Image.fromarray(np.full((80, 90, 3), 120, np.uint8)).save(folder / "empty.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    sessions = Sessions(Limits(), root=tmp_path)
    yield sessions
    sessions.stop()


@pytest.fixture
def studio(bundles: Bundles, sessions: Sessions) -> Studio:
    return Studio(bundles, sessions, Limits())


@pytest.fixture
def upload(sessions: Sessions, album: Path) -> Callable[[str], Path]:
    """As the web server receives files: each in a folder of its own below the page's."""

    def receive(name: str) -> Path:
        place = sessions.root / f"upload-{name}"
        place.mkdir(exist_ok=True)
        (place / name).write_bytes((album / name).read_bytes())
        return place / name

    return receive
