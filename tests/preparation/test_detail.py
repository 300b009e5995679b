import cv2
import numpy as np
import pytest

from hififace.preparation.detail import native_px, psnr_db

SIZE = 256
FACE = np.zeros((SIZE, SIZE), np.uint8)
FACE[32:224, 48:208] = 255


def crop_with_detail(pixels, seed=0):
    """An image that holds as much as `pixels` x `pixels` random ones can."""
    random = np.random.default_rng(seed)
    small = cv2.GaussianBlur(random.normal(128, 160, (pixels, pixels, 3)), (0, 0), 1.0)
    enlarged = cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return np.clip(enlarged, 0, 255).astype(np.uint8)


def test_it_follows_the_pixels_that_are_there():
    found = [native_px(crop_with_detail(pixels), FACE) for pixels in (64, 96, 128, 192)]
    assert found == sorted(found)
    # A blur of one pixel leaves a little over half of the frequencies.
    for pixels, side in zip((64, 96, 128, 192), found, strict=True):
        assert 0.5 * pixels < side < 1.1 * pixels


def test_at_the_measured_side_the_loss_is_the_threshold():
    crop = crop_with_detail(128)
    side = native_px(crop, FACE)
    from PIL import Image

    grey = Image.fromarray(np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8))
    small = grey.resize((round(side), round(side)), Image.Resampling.LANCZOS).resize(
        grey.size, Image.Resampling.LANCZOS
    )
    inside = (slice(32, 224), slice(48, 208))
    assert psnr_db(np.array(grey)[inside], np.array(small)[inside]) == pytest.approx(38.0, abs=1.0)


def test_the_ends_of_the_range():
    random = np.random.default_rng(0)
    assert native_px(np.full((SIZE, SIZE, 3), 90, np.uint8), FACE) == 32
    assert native_px(random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), FACE) == SIZE
    assert native_px(np.full((32, 32, 3), 90, np.uint8), np.full((32, 32), 255, np.uint8)) == 32


def test_only_the_face_counts():
    random = np.random.default_rng(0)
    crop = np.where(FACE[..., None] > 0, 90, random.integers(0, 256, (SIZE, SIZE, 3))).astype(np.uint8)
    inner = np.zeros_like(FACE)
    inner[96:160, 96:160] = 255
    assert native_px(crop, inner) < 64
    assert native_px(crop, np.zeros_like(FACE)) > 200  # no face: the whole crop


def test_psnr():
    one = np.full((8, 8, 3), 100, np.uint8)
    assert psnr_db(one, one) == 99
    assert psnr_db(one, one + 1) == pytest.approx(20 * np.log10(255), abs=1e-6)
