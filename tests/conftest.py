"""What the tests of swapping share.

The import of hififace comes before those of other libraries: those that report their use are told not to.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage import data

import hififace  # noqa: F401
from hififace.swapper import FaceSwapper
from hififace.types import RGBImage
from tests.support.bundle_doubles import write_basel_bundle, write_mesh_bundle


@pytest.fixture(scope="session")
def astronaut() -> RGBImage:
    """(230, 230, 3) one face of 101 px."""
    return np.ascontiguousarray(data.astronaut()[20:250, 110:340])


@pytest.fixture(scope="session")
def mesh_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mesh_bundle(tmp_path_factory.mktemp("bundles") / "mesh").folder


@pytest.fixture(scope="session")
def swapper(mesh_bundle: Path, astronaut: RGBImage) -> FaceSwapper:
    """With the astronaut as source."""
    swapper = FaceSwapper.load(mesh_bundle, threads=1)
    swapper.set_source(astronaut)
    return swapper


@pytest.fixture(scope="session")
def basel_swapper(tmp_path_factory: pytest.TempPathFactory, astronaut: RGBImage) -> FaceSwapper:
    swapper = FaceSwapper.load(
        write_basel_bundle(tmp_path_factory.mktemp("bundles") / "basel").folder, threads=1
    )
    swapper.set_source(astronaut)
    return swapper
