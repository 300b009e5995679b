from __future__ import annotations

import numpy as np
import pytest
from skimage import data
from skimage.metrics import structural_similarity

from hififace.evaluation.reconstruction import LUMA, PSNR_CEILING_DB, face_crop, psnr_db, ssim

REGION = np.ones((64, 64), bool)


@pytest.fixture(scope="module")
def image():
    return np.ascontiguousarray(data.astronaut()[100:164, 180:244])


def test_psnr_of_a_known_difference():
    """Everywhere 5 levels apart: 10 log10(255² / 25) = 34.1514 dB."""
    first = np.full((64, 64, 3), 100, np.uint8)
    assert psnr_db(first, first + 5, REGION) == pytest.approx(34.1514, abs=1e-4)
    assert psnr_db(first, first, REGION) == PSNR_CEILING_DB


def test_psnr_looks_at_the_region_alone():
    first, second = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    second[:, 32:] = 200
    left = REGION.copy()
    left[:, 32:] = False
    assert psnr_db(first, second, left) == PSNR_CEILING_DB
    assert psnr_db(first, second, REGION) < 8


def test_ssim_agrees_with_scikit_image(image):
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 12, image.shape), 0, 255).astype(np.uint8)
    luma = [image.astype(np.float64) @ np.array(LUMA) for image in (image, noisy)]
    _, expected = structural_similarity(
        *luma, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    inner = np.zeros((64, 64), bool)
    inner[8:-8, 8:-8] = True
    assert ssim(image, noisy, inner) == pytest.approx(expected[inner].mean(), abs=2e-3)
    assert ssim(image, image, REGION) == pytest.approx(1)


def test_the_crop_is_the_face(image):
    """Five points exactly on the template: the crop is the image, the region lies where the mesh does."""
    from hififace.faces.templates import TEMPLATES

    image = np.random.default_rng(1).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    mesh = np.zeros((468, 3))
    angles = np.linspace(0, 2 * np.pi, 468)
    mesh[:, 0], mesh[:, 1] = 64 + 40 * np.cos(angles), 64 + 40 * np.sin(angles)
    crop, region = face_crop(image, TEMPLATES["mini_128"].points, mesh)
    np.testing.assert_array_equal(crop, image)
    assert region.shape == (128, 128)
    assert not region[0].any()
