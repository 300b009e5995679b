from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from skimage import data

from tests.support.services import running


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIFIFACE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """me.png, target.jpg, two.png (two faces), empty.png and broken.jpg."""
    folder = tmp_path_factory.mktemp("album")
    face = np.ascontiguousarray(data.astronaut()[20:250, 110:340])
    Image.fromarray(face).save(folder / "me.png")
    Image.fromarray(face[:, ::-1] // 2 + 60).save(folder / "target.jpg", quality=95)
    Image.fromarray(np.concatenate([face, face[:, ::-1]], axis=1)).save(folder / "two.png")
    Image.fromarray(np.full((80, 90, 3), 120, np.uint8)).save(folder / "empty.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="session")
def client(mesh_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Of a service without keys."""
    with running(mesh_bundle, tmp_path_factory.mktemp("service")) as client:
        yield client
