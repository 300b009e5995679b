"""Alignment: exact similarities, points both ways, and resampling without shift or sparkle."""

from __future__ import annotations

import numpy as np
import pytest

from hififace.errors import FaceError
from hififace.faces.alignment import (
    align,
    compose,
    estimate_similarity,
    invert,
    matrix_scale,
    transform_points,
    warp,
)
from hififace.faces.templates import TEMPLATES

POINTS = TEMPLATES["arcface_112"].points.astype(np.float64)


def similarity(scale, angle_deg, shift):
    radians = np.deg2rad(angle_deg)
    turn = scale * np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    return np.concatenate([turn, np.array(shift, float)[:, None]], axis=1)


@pytest.mark.parametrize("angle", [-170, -45, 0, 90, 133, 180])
@pytest.mark.parametrize("scale", [0.02, 1.0, 40.0])
def test_a_similarity_is_recovered(angle, scale):
    truth = similarity(scale, angle, (300.0, -20.0))
    found = estimate_similarity(POINTS, transform_points(truth, POINTS))
    np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-9)


def test_it_is_the_least_squares_one():
    # A step in any of the four freedoms makes the fit worse.
    rng = np.random.default_rng(0)
    target = POINTS * 2 + rng.normal(0, 3, POINTS.shape)
    found = estimate_similarity(POINTS, target)

    def error(matrix):
        return float(((transform_points(matrix, POINTS) - target) ** 2).sum())

    a, b, x, y = found[0, 0], found[1, 0], found[0, 2], found[1, 2]
    for step in np.concatenate([np.eye(4), -np.eye(4)]) * 1e-3:
        p, q, u, v = np.array([a, b, x, y]) + step
        assert error(np.array([[p, -q, u], [q, p, v]])) > error(found)


def test_a_mirrored_face_is_never_reflected():
    # An SVD without its sign correction would answer with a reflection here.
    found = estimate_similarity(POINTS * [-1, 1], POINTS)
    assert np.linalg.det(found[:, :2]) > 0


@pytest.mark.parametrize("scale", [0.05, 1.0, 16.0])
def test_round_trip_of_points(scale):
    matrix = similarity(scale, 37, (4000.0, -2500.0))
    points = np.random.default_rng(0).uniform(0, 7680, (200, 2))
    back = transform_points(invert(matrix), transform_points(matrix, points))
    assert np.abs(back - points).max() < 0.01


def test_z_is_scaled_with_the_plane():
    mesh = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(transform_points(similarity(2, 90, (0, 0)), mesh), [[-4, 2, 6]], atol=1e-12)


def test_compose_is_first_then_second():
    first, second = similarity(2, 30, (1, 2)), similarity(0.5, -70, (3, 4))
    points = np.array([[5.0, 6.0]])
    expected = transform_points(second, transform_points(first, points))
    np.testing.assert_allclose(transform_points(compose(first, second), points), expected)


@pytest.mark.parametrize(
    "points",
    [np.full((5, 2), 7.0), np.full((5, 2), np.nan)],
    ids=["one spot", "not finite"],
)
def test_points_without_a_face_are_a_sentence(points):
    with pytest.raises(FaceError, match=r"points .*(lie on one spot|not finite)"):
        estimate_similarity(points, POINTS)


def test_a_collapsed_matrix_has_no_inverse():
    with pytest.raises(FaceError, match="collapsed"):
        invert(np.zeros((2, 3)))


@pytest.mark.parametrize("border", ["black", "edge", "mirror"])
@pytest.mark.parametrize("shift", [(-20.0, -25.0), (3.0, 5.0)])
def test_warp_of_colours_is_that_of_each_channel_within_the_image_and_beyond_it(shift, border):
    image = np.random.default_rng(0).integers(0, 256, (90, 140, 3)).astype(np.uint8)
    matrix = similarity(0.4, 20, shift)
    crop = warp(image, matrix, 20, border=border)
    alone = np.stack(
        [warp(np.ascontiguousarray(image[..., c]), matrix, 20, border=border) for c in range(3)], 2
    )
    assert np.abs(crop.astype(int) - alone).max() <= 1


@pytest.mark.parametrize("scale", [0.07, 0.3, 0.8, 1.0, 2.5])
def test_warp_moves_nothing_by_a_fraction_of_a_pixel(scale):
    # A ramp tells where each crop pixel was taken from.
    ramp = np.tile(np.arange(400, dtype=np.float32), (400, 1))
    image = np.dstack([ramp, ramp.T, ramp])
    middle = 200.0
    matrix = similarity(scale, 0, (32 - scale * middle, 32 - scale * middle))
    crop = warp(image, matrix, 24 if scale < 0.1 else 64)
    centre = slice(24, 40) if scale >= 0.1 else slice(20, 24)
    places = np.stack(np.meshgrid(np.arange(crop.shape[1]), np.arange(crop.shape[0])), axis=-1)
    expected = transform_points(invert(matrix), places)
    np.testing.assert_allclose(crop[centre, centre, :2], expected[centre, centre], atol=0.05)


def test_shrinking_averages_instead_of_sampling():
    # Stripes of one pixel: sampling would give black and white, or a pattern that is not there.
    image = np.zeros((320, 320, 3), np.uint8)
    image[:, ::2] = 255
    crop = warp(image, similarity(0.1, 0, (0, 0)), 32)
    assert np.abs(crop[4:-4, 4:-4].astype(int) - 127).max() <= 2


def test_align_brings_the_points_to_the_template():
    template = TEMPLATES["mini_128"]
    truth = similarity(1 / 3, -20, (10, 20))
    aligned = align(
        np.zeros((500, 500, 3), np.uint8), transform_points(invert(truth), template.points), template
    )
    assert aligned.crop.shape == (128, 128, 3)
    np.testing.assert_allclose(aligned.matrix, truth, atol=1e-6)
    assert matrix_scale(aligned.matrix) == pytest.approx(1 / 3)


def test_align_beyond_the_picture_is_black_or_its_edge():
    image = np.full((50, 50, 3), 200, np.uint8)
    points = TEMPLATES["mini_128"].points - 64
    assert align(image, points, "mini_128").crop[:10].max() == 0
    assert align(image, points, "mini_128", border="edge").crop.min() == 200
