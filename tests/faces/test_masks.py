"""Masks: the region from the mesh, the reference's soft erosion, the fade at the crop's border, matched colour."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hififace.faces.landmarks import point_groups
from hififace.faces.masks import border_fade, grey_as, match_colour, region_mask, soft_erosion
from hififace.weights.store import embedded_path


@pytest.fixture(scope="module")
def mesh():
    """468 points of a drawn face: an oval of 40 x 60 px about (100, 100), eyes and chin in their places."""
    points = np.full((468, 3), 100.0)
    groups = point_groups()
    oval = list(groups["face_oval"])
    # Begins at the top (point 10) and runs clockwise as the viewer sees it.
    angle = np.linspace(0, 2 * np.pi, len(oval), endpoint=False)
    points[oval, 0] = 100 + 40 * np.sin(angle)
    points[oval, 1] = 100 - 60 * np.cos(angle)
    for name, x in (("image_left_eye", 82), ("image_right_eye", 118)):
        points[list(groups[name])] = [x, 85, 0]
    return points


def test_the_drawn_face_is_in_order(mesh):
    assert json.loads(embedded_path("face_mesh.json").read_text())["groups"]["face_oval"][0] == 10
    assert mesh[152, 1] == pytest.approx(160)


def test_region_covers_the_oval_and_rises_over_the_forehead(mesh):
    mask = region_mask(mesh, (200, 200), dilate_px=0, feather_px=0)
    assert set(np.unique(mask)) == {0.0, 1.0}
    rows, columns = np.nonzero(mask)
    assert columns.min() == pytest.approx(60, abs=1.5)
    assert columns.max() == pytest.approx(140, abs=1.5)
    assert rows.max() == pytest.approx(160, abs=1.5)  # the jaw stays
    assert rows.min() == pytest.approx(
        40 - 0.18 * 45, abs=1.5
    )  # the top is raised by its share above the eyes


def test_region_turns_with_the_face(mesh):
    upright = region_mask(mesh, (200, 200), dilate_px=0, feather_px=0)
    quarter = np.stack([200 - 1 - mesh[:, 1], mesh[:, 0]], axis=1)  # clockwise
    turned = region_mask(quarter, (200, 200), dilate_px=0, feather_px=0)
    assert np.abs(np.rot90(upright, -1) - turned).mean() < 0.005


def test_dilation_moves_the_edge_outwards_by_its_pixels(mesh):
    for pixels in (-8, 5, 12):
        columns = np.nonzero(region_mask(mesh, (200, 200), dilate_px=pixels, feather_px=0)[100])[0]
        assert columns.max() == pytest.approx(140 + pixels, abs=1.5)


def test_feather_is_centred_on_the_edge_and_as_wide_as_asked(mesh):
    row = region_mask(mesh, (200, 200), dilate_px=0, feather_px=20)[100, 100:]
    assert row[40] == pytest.approx(0.5, abs=0.1)
    assert row[28] == 1.0
    assert row[52] == 0.0
    assert (np.diff(row) <= 1e-6).all()


def test_a_face_larger_than_the_crop_fills_it(mesh):
    assert region_mask((mesh - 100) * 20 + 100, (200, 200), dilate_px=3, feather_px=4).min() == 1.0


def disc(radius=80, size=241):
    y, x = np.mgrid[:size, :size] - size // 2
    return (np.hypot(x, y) <= radius).astype(np.float32)


def test_soft_erosion_has_the_measured_profile():
    row = soft_erosion(disc())[120, 120:]
    assert row[73] == 1.0
    assert row[74] > 0.95
    assert row[78] == pytest.approx(0.5, abs=0.05)
    assert row[82] < 0.05
    assert row[84] == 0.0


def test_soft_erosion_by_hand():
    # One iteration, threshold out of reach: w∗x over its own maximum.
    x = np.zeros((9, 9), np.float32)
    x[4, 4] = 1.0
    axis = np.arange(-1, 2)
    weights = np.sqrt(2) - np.hypot(axis[:, None], axis[None, :])
    expected = weights / weights.max()
    np.testing.assert_allclose(
        soft_erosion(x, kernel=3, threshold=2.0, iterations=1)[3:6, 3:6], expected, atol=1e-5
    )


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_soft_erosion_of_a_flat_mask_is_finite(value):
    eroded = soft_erosion(np.full((40, 40), value, np.float32))
    assert np.isfinite(eroded).all()
    assert eroded[20, 20] == value


def test_soft_erosion_refuses_an_even_kernel():
    with pytest.raises(ValueError, match="odd kernel"):
        soft_erosion(disc(), kernel=6)


@pytest.mark.parametrize("size", [64, 128, 512])
@pytest.mark.parametrize("value", [0.1, 0.5, 1.0])
def test_no_mask_shows_the_border_of_its_crop(size, value):
    mask = np.full((size, size), value, np.float32)
    faded = mask * border_fade(mask)
    rim = np.concatenate([faded[0], faded[-1], faded[:, 0], faded[:, -1]])
    assert rim.max() < 0.03
    steepest = max(np.abs(np.diff(faded, axis=axis)).max() for axis in (0, 1))
    assert steepest < value * 40 / size  # from nought to whole in 1/40 of the side would be an edge
    middle = slice(size // 6, -size // 8)
    np.testing.assert_allclose(faded[middle, size // 2], value, atol=1e-6)


def test_a_mask_that_keeps_away_from_the_border_is_left_as_it_is():
    y, x = np.mgrid[:128, :128] - 63.5
    mask = np.clip((1 - np.hypot(x / 52, y / 58)) * 20, 0.0, 1.0).astype(np.float32)
    np.testing.assert_array_equal(mask * border_fade(mask), mask)


def test_a_forehead_cut_off_by_the_border_is_faded_in_an_arch():
    mask = np.zeros((128, 128), np.float32)
    mask[:110, 14:114] = 1.0
    half = [int(np.argmax(border_fade(mask)[:, column] > 0.5)) for column in (63, 100, 110)]
    assert half[0] < half[1] < half[2]
    assert half[0] >= 6
    assert border_fade(mask)[60:100, 20:108].min() == 1.0  # the rest of the face is whole


def test_a_mask_moving_into_the_border_is_faded_little_by_little():
    whole = [border_fade(np.full((64, 64), value, np.float32)).sum() for value in np.linspace(0, 1, 6)]
    assert (np.diff(whole) <= 0).all()
    assert whole[0] > whole[2] > whole[-1]


def test_matched_colour_has_the_reference_s_mean():
    rng = np.random.default_rng(0)
    reference = np.clip(rng.normal([150, 110, 90], 12, (64, 64, 3)), 0, 255).astype(np.uint8)
    crop = np.clip(rng.normal([110, 120, 130], 14, (64, 64, 3)), 0, 255).astype(np.uint8)
    mask = np.ones((64, 64), np.float32)
    matched = match_colour(crop, reference, mask)
    np.testing.assert_allclose(matched.mean(axis=(0, 1)), reference.mean(axis=(0, 1)), atol=2.0)
    halfway = match_colour(crop, reference, mask, strength=0.5).mean(axis=(0, 1))
    assert (
        np.abs(halfway - reference.mean(axis=(0, 1)))
        < np.abs(crop.mean(axis=(0, 1)) - reference.mean(axis=(0, 1)))
    ).all()


def test_matching_with_itself_or_without_a_mask_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(match_colour(image, image, np.ones((32, 32))), image)
    assert match_colour(image, 255 - image, np.zeros((32, 32))) is image


def test_a_flat_crop_is_not_blown_up_to_noise():
    rng = np.random.default_rng(0)
    crop = np.clip(rng.normal(120, 1, (32, 32, 3)), 0, 255).astype(np.uint8)
    reference = rng.integers(0, 256, (32, 32, 3), np.uint8)
    assert match_colour(crop, reference, np.ones((32, 32))).std() < 8


def test_grey_pictures_stay_grey():
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 256, (32, 32, 3), np.uint8)
    grey = np.repeat(rng.integers(0, 256, (48, 48, 1), np.uint8), 3, axis=2)
    painted = grey_as(crop, np.clip(grey + rng.integers(-1, 2, grey.shape), 0, 255).astype(np.uint8))
    assert (painted == painted[..., :1]).all()
    np.testing.assert_allclose(painted[..., 0], crop @ [0.299, 0.587, 0.114], atol=1)
    coloured = grey.copy()
    coloured[:10, :10, 0] //= 2  # 4 % in colour: a grey background, and somebody's face
    assert grey_as(crop, coloured) is crop
