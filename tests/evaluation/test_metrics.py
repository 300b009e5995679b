from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skimage import data
from skimage.metrics import structural_similarity

from hififace.evaluation.metrics import (
    LUMA,
    PSNR_CEILING_DB,
    angles_deg,
    expression_error,
    eye_opening_error,
    eye_openings,
    face_crop,
    frechet_distance,
    gaze_directions,
    gaze_error_deg,
    mask_area,
    mouth_opening,
    mouth_opening_error,
    neutral_outline,
    pose_error_deg,
    psnr_db,
    rotation_angle_deg,
    shape_error,
    ssim,
)
from hififace.faces.landmarks import point_groups
from hififace.faces.masks import region_mask
from hififace.faces.shape import MeshShapePrior, load_shape_basis, rotation_matrix

# ---------------------------------------------------------------------------------------------------------
# Mask


def test_generating_exactly_the_face_is_one():
    mesh = 70 * load_shape_basis().mean + np.array([100.0, 100.0, 0.0])
    region = region_mask(mesh, (200, 200), dilate_px=0, feather_px=0)
    assert mask_area(region, mesh) == pytest.approx(1)
    assert mask_area(0.25 * region, mesh) == pytest.approx(0.25)
    assert mask_area(np.zeros((200, 200)), mesh) == 0


# ---------------------------------------------------------------------------------------------------------
# Pose


def turned(pitch=0.0, yaw=0.0, roll=0.0, scale=80.0, shift=(5.0, -3.0, 2.0)):
    rotation = rotation_matrix(np.radians([pitch, yaw, roll]))
    return scale * load_shape_basis().mean @ rotation.T + np.array(shift)


@pytest.mark.parametrize("axis", ["pitch", "yaw", "roll"])
@pytest.mark.parametrize("angle", [0.01, 2.0, 30.0])
def test_a_known_turn_is_found(axis, angle):
    assert pose_error_deg(turned(**{axis: angle}), turned()) == pytest.approx(angle, rel=1e-3)


def test_size_and_place_are_no_turn():
    assert pose_error_deg(turned(yaw=20, scale=35, shift=(90, 70, 0)), turned(yaw=20)) < 1e-4


def test_turns_that_undo_each_other_are_seen_from_the_target():
    """From -10 to +15 degrees of yaw: 25."""
    assert pose_error_deg(turned(yaw=15), turned(yaw=-10)) == pytest.approx(25, abs=1e-3)


def test_half_a_turn_is_180_degrees():
    assert rotation_angle_deg(np.eye(3), np.diag([1.0, -1.0, -1.0])) == pytest.approx(180)
    assert rotation_angle_deg(np.eye(3), np.eye(3)) == 0


# ---------------------------------------------------------------------------------------------------------
# Expression


@pytest.fixture(scope="module")
def prior():
    return MeshShapePrior.load()


@pytest.fixture(scope="module")
def neutral(prior):
    return 80.0 * prior.basis.mean


def test_the_same_face_has_no_error_wherever_it_is(prior, neutral):
    assert expression_error(1.7 * neutral + 30.0, neutral, prior) == pytest.approx(0, abs=1e-4)


def test_one_deviation_of_one_coefficient_is_seen_as_such(prior, neutral):
    """The gain shrinks what it sees, so the error is that of the coefficients the prior finds: checked by hand."""
    at_rest = prior.coefficients(neutral)
    moved = np.zeros(prior.expression_size, np.float32)
    moved[0] = 2.0
    face = prior.landmarks(replace(at_rest, expression=moved))
    found = prior.coefficients(face).expression - at_rest.expression
    assert found[0] > 1.0
    assert expression_error(face, neutral, prior) == pytest.approx(np.sqrt((found**2).mean()), rel=1e-5)


def test_the_mouth_is_measured_in_eye_distances(neutral):
    """Lips 3 apart, outer corners 10 apart, whichever way the head is turned."""
    mesh = np.zeros((468, 3))
    mesh[33], mesh[263] = (0, 0, 0), (6, 0, 8)
    mesh[13], mesh[14] = (3, 5, 4), (3, 8, 4)
    assert mouth_opening(mesh) == pytest.approx(0.3)
    shut = mesh.copy()
    shut[14] = shut[13]
    assert mouth_opening_error(shut, mesh) == pytest.approx(0.3)


def test_eyes_are_measured_in_their_own_widths():
    """Lids 1 apart in eyes 4 wide; then the image-left one half shut: (0.125 + 0) / 2."""
    mesh = np.zeros((468, 3))
    for (upper, lower), (first, second), x in (((159, 145), (33, 133), 0), ((386, 374), (362, 263), 10)):
        mesh[first], mesh[second] = (x, 0, 0), (x + 4, 0, 0)
        mesh[upper], mesh[lower] = (x + 2, -0.5, 0), (x + 2, 0.5, 0)
    np.testing.assert_allclose(eye_openings(mesh), 0.25)
    winking = mesh.copy()
    winking[159, 1] = 0.0
    assert eye_opening_error(winking, mesh) == pytest.approx(0.0625)


# ---------------------------------------------------------------------------------------------------------
# Gaze

EYES = {"image-left": ((33, 133), (159, 145), 0.0), "image-right": ((362, 263), (386, 374), 100.0)}


def eyes(offset=(0.0, 0.0), opening=10.0, turn_deg=0.0):
    """Two eyes 30 px wide, their irises off the middle by `offset` pixels; the image turned by `turn_deg`."""
    mesh, irises = np.zeros((468, 3)), np.zeros((2, 5, 3))
    for eye, ((first, second), (upper, lower), x) in enumerate(EYES.values()):
        mesh[first, 0], mesh[second, 0] = x - 15, x + 15
        mesh[upper], mesh[lower] = (x, -opening / 2, 0), (x, opening / 2, 0)
        irises[eye, :, 0], irises[eye, :, 1] = x + offset[0], offset[1]
    angle = np.radians(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return mesh @ turn.T, irises @ turn.T


def test_straight_ahead_is_out_of_the_head():
    np.testing.assert_allclose(gaze_directions(*eyes()), [[0, 0, 1], [0, 0, 1]], atol=1e-12)


def test_a_sixth_of_the_eye_is_thirty_degrees():
    """sin = 3 · 5/30 = 0.5."""
    np.testing.assert_allclose(gaze_directions(*eyes((5, 0))), [[0.5, 0, np.sqrt(0.75)]] * 2, atol=1e-12)
    assert gaze_error_deg(eyes((5, 0)), eyes()) == pytest.approx(30)
    assert gaze_error_deg(eyes((0, -5)), eyes()) == pytest.approx(30)
    assert gaze_error_deg(eyes((5, 0)), eyes((-5, 0))) == pytest.approx(60)


def test_a_tilted_head_changes_nothing():
    assert gaze_error_deg(eyes((4, 2), turn_deg=25), eyes((4, 2))) == pytest.approx(0, abs=1e-6)


def test_an_iris_outside_the_eye_is_no_nan():
    directions = gaze_directions(*eyes((40, 10)))
    assert np.isfinite(directions).all()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)


def test_shut_eyes_say_nothing():
    assert np.isnan(gaze_error_deg(eyes((5, 0)), eyes(opening=2.0)))
    # One eye shut: only the other counts.
    mesh, irises = eyes()
    mesh[159], mesh[145] = 0, 0
    result = eyes((5, 0))
    result[1][0, :, 0] = 0  # the shut one would be right
    assert gaze_error_deg(result, (mesh, irises)) == pytest.approx(30)


def test_angles_of_right_angles():
    np.testing.assert_allclose(angles_deg(np.eye(3)[:2], np.eye(3)[1:]), [90, 90])


# ---------------------------------------------------------------------------------------------------------
# Shape


def test_turn_size_and_place_are_removed(prior):
    mean = prior.basis.mean
    rotation = rotation_matrix(np.radians([10.0, -25.0, 8.0]))
    elsewhere = 120 * mean @ rotation.T + np.array([100.0, 80.0, 0.0])
    assert shape_error(elsewhere, 80 * mean, prior) == pytest.approx(0, abs=1e-3)


def test_another_face_is_off_by_its_outline(prior):
    """The mean distance of 36 outline points in percent of the eye distance, worked out beside it."""
    rest = prior.coefficients(80 * prior.basis.mean)
    someone = prior.landmarks(replace(rest, identity=np.full(prior.identity_size, 1.0, np.float32)))
    apart = neutral_outline(someone, prior) - neutral_outline(80 * prior.basis.mean, prior)
    mean = prior.basis.mean
    expected = 100 * np.sqrt((apart**2).sum(axis=1)).mean() / np.linalg.norm(mean[33] - mean[263])
    assert shape_error(someone, 80 * mean, prior) == pytest.approx(expected, rel=1e-6)
    assert shape_error(someone, 80 * mean, prior) > 1.0


def test_an_open_mouth_moves_the_outline_less_than_the_mesh(prior):
    rest = prior.coefficients(80 * prior.basis.mean)
    moved = np.zeros(prior.expression_size, np.float32)
    moved[0] = 2.0
    face = prior.landmarks(replace(rest, expression=moved))
    oval = list(point_groups()["face_oval"])
    raw = np.linalg.norm((face / 80.0 - prior.basis.mean)[oval, :2], axis=1).mean()
    neutral = np.linalg.norm(
        neutral_outline(face, prior) - neutral_outline(80 * prior.basis.mean, prior), axis=1
    ).mean()
    assert neutral < 0.6 * raw


# ---------------------------------------------------------------------------------------------------------
# Reconstruction

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


# ---------------------------------------------------------------------------------------------------------
# Realism


def exact_gaussian(mean, std, seed=0, num=64):
    """Samples whose mean and (population) covariance are exactly those."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(num, len(mean)))
    x -= x.mean(axis=0)
    left, _, right = np.linalg.svd(x, full_matrices=False)
    white = left @ right * np.sqrt(num)
    return white * np.asarray(std) + np.asarray(mean)


def test_known_gaussians_give_the_closed_form():
    """Diagonal covariances: |μ1 - μ2|² + Σ (σ1 - σ2)² = (9 + 16) + (1 + 0 + 4)."""
    first = exact_gaussian([0, 0, 0], [1, 2, 3])
    second = exact_gaussian([3, 4, 0], [2, 2, 1], seed=1)
    assert frechet_distance(first, second) == pytest.approx(30, rel=1e-9)
    assert frechet_distance(second, first) == pytest.approx(30, rel=1e-9)


def test_covariances_that_do_not_commute():
    """Against the definition, with a matrix root from the eigenvalues of Σ1 Σ2."""
    random = np.random.default_rng(2)
    first = random.normal(size=(50, 4)) @ random.normal(size=(4, 4))
    second = random.normal(size=(70, 4)) @ random.normal(size=(4, 4)) + 1.0
    s1, s2 = np.cov(first.T, bias=True), np.cov(second.T, bias=True)
    root = np.sqrt(np.linalg.eigvals(s1 @ s2).real).sum()
    means = ((first.mean(0) - second.mean(0)) ** 2).sum()
    expected = means + np.trace(s1) + np.trace(s2) - 2 * root
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_a_set_taken_twice_is_at_distance_nought_even_with_more_features_than_photos():
    features = np.random.default_rng(3).normal(size=(10, 40))
    assert frechet_distance(np.concatenate([features, features]), features) == pytest.approx(0, abs=1e-9)
