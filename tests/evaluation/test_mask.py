from __future__ import annotations

import numpy as np
import pytest

from hififace.evaluation.mask import mask_area
from hififace.faces.masks import region_mask
from hififace.faces.shape import load_shape_basis


def test_painting_exactly_the_face_is_one():
    mesh = 70 * load_shape_basis().mean + np.array([100.0, 100.0, 0.0])
    region = region_mask(mesh, (200, 200), dilate_px=0, feather_px=0)
    assert mask_area(region, mesh) == pytest.approx(1)
    assert mask_area(0.25 * region, mesh) == pytest.approx(0.25)
    assert mask_area(np.zeros((200, 200)), mesh) == 0
