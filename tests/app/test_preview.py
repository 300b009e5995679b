from __future__ import annotations

import numpy as np
import pytest

from hififace.app.preview import cut_pieces
from hififace.swapper import FaceSwapper
from hififace.types import RGBImage


@pytest.mark.parametrize("times", [1, 4])
def test_a_piece_shows_what_the_target_shows_at_any_size(
    swapper: FaceSwapper, astronaut: RGBImage, times: int
):
    target = np.ascontiguousarray(astronaut.repeat(times, axis=0).repeat(times, axis=1))
    piece = cut_pieces(target, swapper.find_faces(target))[0]
    assert max(piece.image.shape[:2]) <= 512
    assert (piece.scale < 1) is (times == 4)
    height, width = piece.image.shape[:2]
    x, y = (round(place) for place in piece.place)
    shown = target[y : y + round(height / piece.scale), x : x + round(width / piece.scale)]
    np.testing.assert_allclose(piece.image.mean(axis=(0, 1)), shown.mean(axis=(0, 1)), atol=2)
