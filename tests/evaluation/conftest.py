from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hififace.evaluation.run import Evaluation, Settings, evaluate
from hififace.faces.analysis import FaceAnalyser
from hififace.types import RGBImage
from tests.support.bundle_doubles import write_mesh_bundle
from tests.support.evaluation_doubles import portrait, write_dlib_weights, write_validation_shards


@pytest.fixture(scope="session")
def astronaut_mesh() -> tuple[RGBImage, np.ndarray]:
    """A portrait (200, 200, 3) and its mesh (468, 3)."""
    image = portrait()
    (face,) = FaceAnalyser(threads=1).analyse(image, ("landmarks",))
    assert face.landmarks is not None
    return image, face.landmarks.points


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/, home/ with generated weights, bundle/."""
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "data").mkdir()
    write_validation_shards(folder / "data")
    write_dlib_weights(folder / "home")
    write_mesh_bundle(folder / "bundle")
    return folder


@pytest.fixture(scope="session")
def evaluation(workplace: Path) -> Evaluation:
    """Three pairs of each part, by the bundle double and the baselines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIFIFACE_HOME", str(workplace / "home"))
        return evaluate([str(workplace / "bundle")], Settings(workplace / "data", num_pairs=3))
