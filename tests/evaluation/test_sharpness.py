from __future__ import annotations

import cv2
import numpy as np
import pytest

from hififace.evaluation.sharpness import perfect, sharpness
from hififace.faces.detection import YuNetDetector

NOTHING = np.zeros((200, 200), np.float32)


def test_the_target_itself_is_as_sharp_as_it_is(astronaut_mesh):
    image, mesh = astronaut_mesh
    assert sharpness(image, image, mesh, NOTHING) == 1.0
    assert sharpness(image, image, mesh, NOTHING + 1) == 1.0


def test_half_the_contrast_is_a_quarter_of_the_energy(astronaut_mesh):
    image, mesh = astronaut_mesh
    faint = np.rint(128 + (image.astype(np.float32) - 128) / 2).astype(np.uint8)
    assert sharpness(faint, image, mesh, NOTHING) == pytest.approx(0.25, abs=0.02)


def test_only_what_was_generated_counts(astronaut_mesh):
    """Blurred on the left, untouched on the right: the mask decides."""
    image, mesh = astronaut_mesh
    blurred = image.copy()
    middle = round(float(mesh[1, 0]))
    blurred[:, :middle] = cv2.GaussianBlur(image, (0, 0), 3)[:, :middle]
    left, right = NOTHING.copy(), NOTHING.copy()
    left[:, : middle - 4], right[:, middle + 4 :] = 1, 1
    assert sharpness(blurred, image, mesh, left) < 0.05
    assert sharpness(blurred, image, mesh, right) == pytest.approx(1.0)


def test_a_target_without_detail_says_nothing(astronaut_mesh):
    _, mesh = astronaut_mesh
    flat = np.full((200, 200, 3), 90, np.uint8)
    assert np.isnan(sharpness(flat, flat, mesh, NOTHING))


def test_a_larger_perfect_network_is_sharper_and_none_is_sharper_than_the_target(astronaut_mesh):
    image, mesh = astronaut_mesh
    (face,) = YuNetDetector(threads=1).detect(image)
    found = []
    for side in (32, 64, 128, 256):
        result, mask = perfect(image, face.points, mesh, side)
        assert mask.max() > 0.99
        np.testing.assert_array_equal(result[mask == 0], image[mask == 0])
        found.append(sharpness(result, image, mesh, mask))
    assert found == sorted(found)
    assert found[0] < 0.2
    assert found[-1] < 1.0
