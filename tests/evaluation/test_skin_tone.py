from __future__ import annotations

import numpy as np
import pytest

from hififace.evaluation.skin_tone import skin_tone_deg, tone_group

MESH = np.zeros((468, 3))
MESH[33, :2], MESH[263, :2], MESH[50, :2], MESH[280, :2] = (30, 40), (70, 40), (35, 60), (65, 60)


@pytest.mark.parametrize(
    ("colour", "angle", "group"),
    # L* and b* by skimage.color.rgb2lab: (86.0, 14.6), (58.7, 21.1), (35.8, 16.8).
    [((244, 208, 188), 67.9, "light"), ((180, 130, 105), 22.3, "medium"), ((112, 76, 58), -40.1, "dark")],
)
def test_the_angle_of_plain_colours(colour, angle, group):
    image = np.full((100, 100, 3), colour, np.uint8)
    assert skin_tone_deg(image, MESH) == pytest.approx(angle, abs=1.0)
    assert tone_group(skin_tone_deg(image, MESH)) == group


def test_a_gray_photo_and_cheeks_beyond_it_say_nothing():
    assert np.isnan(skin_tone_deg(np.full((100, 100, 3), 120, np.uint8), MESH))
    assert np.isnan(skin_tone_deg(np.full((20, 20, 3), (200, 150, 130), np.uint8), MESH))
    assert tone_group(float("nan")) is None
