"""Turning images: every pixel comes back to where it was, and leaning is measured with the right sign."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.faces.alignment import transform_points
from hififace.faces.candidates import Candidates
from hififace.faces.turning import leaning_deg, search_turned, turn_image

UPRIGHT = np.array([[30, 40], [50, 40], [40, 50], [33, 60], [47, 60]], np.float32)


@pytest.mark.parametrize("angle", [0, 45, 90, 135, 180, 270, 300])
def test_a_mark_is_mapped_back_to_its_place(angle):
    image = np.zeros((61, 83, 3), np.uint8)
    image[19:22, 50:53] = 255
    turned, back = turn_image(image, angle)
    weight = turned[..., 0].astype(float)
    rows, columns = np.mgrid[: turned.shape[0], : turned.shape[1]]
    centre = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    np.testing.assert_allclose(transform_points(back, centre), [51, 20], atol=0.05)


@pytest.mark.parametrize("angle", [0, 30, 90, 135])
def test_the_canvas_holds_all_corners(angle):
    image = np.full((40, 70, 3), 255, np.uint8)
    turned, _ = turn_image(image, angle)
    assert turned[..., 0].astype(float).sum() / 255 == pytest.approx(40 * 70, rel=0.05)


def test_leaning_is_positive_clockwise():
    middle = UPRIGHT.mean(axis=0)
    for angle in (-60, -10, 0, 25, 80):
        radians = np.deg2rad(angle)
        turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
        leaning = (UPRIGHT - middle) @ turn.T
        np.testing.assert_allclose(leaning_deg(leaning[None]), [angle], atol=1e-3)


def test_a_face_on_its_side_is_found_in_the_turned_picture_only():
    image = np.zeros((60, 100, 3), np.uint8)
    image[10, 20] = 255  # the "face": a search that sees it only where the image is 60 wide

    def search(picture):
        rows, columns = np.nonzero(picture[..., 0])
        if picture.shape[1] != 60 or not len(rows):
            return Candidates.none()
        place = np.array([columns[0], rows[0]], np.float32)
        box = np.concatenate([place - 4, place + 5])[None]
        return Candidates(box, np.ones(1, np.float32), np.tile(place, (1, 5, 1)), np.ones(1, np.float32))

    found = search_turned(search, image, angles_deg=(0, 90, 180))
    assert len(found) == 1
    np.testing.assert_allclose(found.points[0, 0], [20, 10], atol=1e-4)
