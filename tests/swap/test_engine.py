"""The parts around the generator, with the model that ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hififace.media.image import read_image
from hififace.swapper import FaceSwapper

EXAMPLES = Path(__file__).parents[2] / "examples"
FACE = np.s_[80:165, 192:258]
"""The middle of the astronaut's face."""


@pytest.fixture(scope="module")
def mini() -> FaceSwapper:
    swapper = FaceSwapper.load("mini", threads=1)
    swapper.set_source(EXAMPLES / "officer.jpg")
    return swapper


def test_a_face_in_dim_light_is_swapped_as_in_good_light(mini: FaceSwapper):
    bright = read_image(EXAMPLES / "astronaut.jpg").pixels
    expected = mini.swap(bright).image[FACE].astype(float)
    dim = np.rint(bright * 0.25).astype(np.uint8)
    found = mini.swap(dim).image[FACE].astype(float)
    # On the scale of good light: 14 levels before networks were shown ordinary brightness, of which 0.5 are rounding.
    assert np.abs(found * 4 - expected).mean() < 4
    assert found.std() * 4 == pytest.approx(expected.std(), rel=0.05)
