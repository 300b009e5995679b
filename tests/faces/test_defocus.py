"""A new face is as blurred as the target's, and as sharp as it was where that is sharp."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from hififace.faces.appearance import remaining_edges
from hififace.faces.defocus import MOST_SHARE, blurred, matching_blur, softened


@pytest.fixture
def crops(astronaut):
    """(192, 192, 3) of a face, its mirror image in the part of the generated one, and a mask."""
    face = cv2.resize(astronaut[40:190, 45:195], (192, 192), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((192, 192), np.float32)
    cv2.ellipse(mask, (96, 96), (60, 75), 0, 0, 360, 1.0, -1)
    return face, np.ascontiguousarray(face[:, ::-1]), mask


def out_of_focus(face, sigma_px):
    return cv2.GaussianBlur(face, (0, 0), sigma_px)


def test_sharp_targets_are_not_touched(crops):
    face, generated, mask = crops
    assert matching_blur(face, generated, mask, 150.0) == 0.0
    assert matching_blur(face, generated, mask, 30.0) == 0.0  # small is not blurred
    assert blurred(generated, 0.0) is generated


def test_the_more_blurred_the_target_the_more_blurred_the_face(crops):
    face, generated, mask = crops
    found = [
        matching_blur(out_of_focus(face, sigma), generated, mask, 150.0)
        for sigma in np.arange(0.4, 12.0, 0.4)
    ]
    assert found[0] == 0.0
    assert all(b >= a for a, b in itertools.pairwise(found))
    assert found[-1] > 6


@pytest.mark.parametrize("sigma_px", [6.0, 8.0, 10.0])
def test_a_blurred_target_is_matched(crops, sigma_px):
    face, generated, mask = crops
    found = matching_blur(out_of_focus(face, sigma_px), generated, mask, 192.0)
    assert found == pytest.approx(sigma_px, rel=0.2)
    kept = remaining_edges(blurred(generated, found), mask)
    assert kept == pytest.approx(remaining_edges(out_of_focus(face, sigma_px), mask), abs=0.02)


def test_a_face_that_is_as_blurred_already_is_not_blurred_again(crops):
    face, generated, mask = crops
    assert matching_blur(out_of_focus(face, 8.0), out_of_focus(generated, 8.0), mask, 192.0) < 1.0
    assert matching_blur(out_of_focus(face, 6.0), out_of_focus(generated, 9.0), mask, 192.0) == 0.0


def test_what_cannot_be_measured_is_left_alone_and_no_blur_is_boundless(crops):
    face, generated, mask = crops
    assert matching_blur(face, generated, 0 * mask, 150.0) == 0.0
    flat = np.full_like(face, 90)
    assert 0 < matching_blur(flat, generated, mask, 150.0) <= MOST_SHARE * 192


def test_the_blur_is_told_in_pixels_of_the_generated_face(crops):
    face, generated, mask = crops
    half, target = cv2.resize(generated, (96, 96), interpolation=cv2.INTER_AREA), out_of_focus(face, 8.0)
    small = matching_blur(target, half, cv2.resize(mask, (96, 96)), 96.0)
    assert 2 * small == pytest.approx(matching_blur(target, generated, mask, 96.0), rel=0.1)


def test_a_mask_is_softened_inward(crops):
    *_, mask = crops
    soft = softened(mask, 6.0)
    assert softened(mask, 0.0) is mask
    assert (soft <= mask + 1e-6).all()
    assert soft[96, 96] == pytest.approx(1.0, abs=1e-3)
    assert ((soft > 0.1) & (soft < 0.9)).sum() > 4 * ((mask > 0.1) & (mask < 0.9)).sum()
