"""What the tests of faces share: one portrait in the public domain, and each network opened once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data

from hififace.faces.detection import YuNetDetector
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.media.image import read_image

PORTRAITS = Path(__file__).parents[1] / "portraits"


@pytest.fixture(scope="session")
def astronaut():
    """(512, 512, 3), one face of 101 px about (223, 119)."""
    return skimage.data.astronaut()


@pytest.fixture(scope="session")
def detector():
    return YuNetDetector(threads=1)


@pytest.fixture(scope="session")
def astronaut_face(astronaut, detector):
    """Its detection."""
    (found,) = detector.detect(astronaut)
    return found


@pytest.fixture(scope="session")
def wall():
    """A function: a textured wall of any size without a face."""

    def make(width, height):
        rng = np.random.default_rng(7)
        blocks = rng.integers(90, 140, (-(-height // 16), -(-width // 16), 3), np.uint8)
        return np.ascontiguousarray(np.kron(blocks, np.ones((16, 16, 1), np.uint8))[:height, :width])

    return make


@pytest.fixture(scope="session")
def landmarker():
    return FaceMeshLandmarker(threads=1)


@pytest.fixture(scope="session")
def portraits():
    """{name: (320, 320, 3)}, one frontal face of about 120 px each; who they are by stands beside them."""
    return {path.stem: read_image(path).pixels for path in sorted(PORTRAITS.glob("*.jpg"))}
