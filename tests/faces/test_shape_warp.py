from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hififace.faces.detection import YuNetDetector
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.faces.shape import MeshShapePrior
from hififace.faces.shape_warp import JAW, PlaneMap, ShapeWarp, plane_map, shape_warp, warp_plane, warped
from hififace.media.image import read_image
from hififace.types import FloatArray, RGBImage

PORTRAITS = Path(__file__).parents[1] / "portraits"
EYES = (33, 133, 362, 263)


@pytest.fixture(scope="module")
def prior() -> MeshShapePrior:
    return MeshShapePrior.load()


def photo(name: str) -> RGBImage:
    image = read_image(PORTRAITS / f"{name}.jpg").pixels
    return np.asarray(cv2.resize(image, (675, 675), interpolation=cv2.INTER_AREA), np.uint8)


def mesh_of(image: RGBImage) -> FloatArray:
    (face,) = YuNetDetector(threads=1).detect(image)
    return FaceMeshLandmarker(threads=1).locate(image, face).points


def jaw_width(points: FloatArray) -> float:
    """Width of the jaw below the mouth's corners, over the distance of the outer eye corners."""
    return float(
        np.linalg.norm(points[172, :2] - points[397, :2]) / np.linalg.norm(points[33, :2] - points[263, :2])
    )


@pytest.fixture(scope="module")
def target() -> tuple[RGBImage, FloatArray]:
    image = photo("100_neutral")
    return image, mesh_of(image)


def wider(prior: MeshShapePrior, points: FloatArray, by: float) -> FloatArray:
    """The shape of the same face with a jaw that is wider by so many standard deviations, as far as the basis knows."""
    basis = prior.basis.identity_basis
    widths = basis[:, 397, 0] - basis[:, 172, 0] - (basis[:, 263, 0] - basis[:, 33, 0])
    direction = widths / np.linalg.norm(widths)
    return np.asarray(prior.coefficients(points).identity + by * direction, np.float32)


@pytest.mark.parametrize("by", [-1.5, 1.5])
def test_the_jaw_moves_toward_the_source_and_the_eye_corners_hardly(
    prior: MeshShapePrior, target: tuple[RGBImage, FloatArray], by: float
):
    image, points = target
    warp = shape_warp(prior, points, prior.coefficients(points), wider(prior, points, by))
    found = mesh_of(warped(image, [warp]))
    change = jaw_width(found) / jaw_width(points) - 1.0
    assert 0.02 < change * np.sign(by) < 0.2
    assert np.abs(found[list(EYES), :2] - points[list(EYES), :2]).max() < 1.5


def test_ones_own_shape_moves_nothing(prior: MeshShapePrior, target: tuple[RGBImage, FloatArray]):
    image, points = target
    found = prior.coefficients(points)
    own = found.identity
    assert shape_warp(prior, points, found, own) is None
    assert shape_warp(prior, points, found, own + 1.0, rate=0.0) is None
    assert warped(image, [None, None]) is image
    # A caller that steadied the target's shape is believed.
    assert (
        shape_warp(prior, points, replace(found, identity=np.asarray(own + 1.0, np.float32)), own) is not None
    )


def test_beyond_the_box_every_pixel_stays_and_the_image_given_is_not_changed(
    prior: MeshShapePrior, target: tuple[RGBImage, FloatArray]
):
    image, points = target
    before = image.copy()
    warp = shape_warp(prior, points, prior.coefficients(points), wider(prior, points, 2.0))
    assert warp is not None
    result = warped(image, [warp])
    np.testing.assert_array_equal(image, before)
    x0, y0, x1, y1 = np.clip(warp.box, 0, 675)
    outside = np.ones(image.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    assert outside.any()
    np.testing.assert_array_equal(result[outside], image[outside])
    assert (result != image).any()


def mapped(plane: NDArray[Any], warp: ShapeWarp, step: tuple[int, int] = (1, 1)) -> PlaneMap:
    how = plane_map(plane.shape[:2], warp, step)
    assert how is not None
    return how


def test_a_map_is_the_displacement_between_the_nodes():
    rng = np.random.default_rng(0)
    field = np.zeros((33, 33, 2), np.float32)
    field[4:-4, 4:-4] = rng.normal(0.0, 2.0, (25, 25, 2))
    box = (-32, 4, 100, 180)
    how = plane_map((170, 150), ShapeWarp(box, field))
    assert how is not None
    rows, columns = how.part
    assert columns.start == 0  # the box begins to the left of the image
    for y, x in ((rows.start, 0), (40, 10), (60, 61), (rows.stop - 1, columns.stop - 1)):
        place = [(at + 0.5 - low) * 33 / (high - low) - 0.5 for at, low, high in ((x, -32, 100), (y, 4, 180))]
        weights = [np.maximum(1.0 - np.abs(one - np.arange(33)), 0.0) for one in place]
        moved = np.einsum("y,x,yxc->c", weights[1], weights[0], field.astype(np.float64))
        found = how.places[y - rows.start, x] + (how.read[1].start, how.read[0].start)
        np.testing.assert_allclose(found, np.array([x, y]) - moved, atol=1e-4)


def test_a_warp_beside_the_image_has_no_map():
    field = np.zeros((33, 33, 2), np.float32)
    assert plane_map((60, 80), ShapeWarp((0, 0, 80, 60), field)) is None
    field[8:25, 8:25] = 1.0
    assert plane_map((60, 80), ShapeWarp((100, 0, 180, 60), field)) is None


def test_the_faster_interpolation_moves_alike(prior: MeshShapePrior, target: tuple[RGBImage, FloatArray]):
    image, points = target
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), 3.0), np.uint8)
    warp = shape_warp(prior, points, prior.coefficients(points), wider(prior, points, 1.5))
    off = cv2.absdiff(warped(smooth, [warp], sharp=False), warped(smooth, [warp]))
    assert off.max() <= 3
    assert off.mean() < 0.2
    floats = smooth.astype(np.float32)
    assert warp is not None
    warp_plane(floats, mapped(floats, warp), sharp=False)
    np.testing.assert_allclose(floats, warped(smooth, [warp], sharp=False), atol=2.0)


def test_a_plane_of_half_the_size_is_warped_alike(prior: MeshShapePrior, target: tuple[RGBImage, FloatArray]):
    image, points = target
    smooth = cv2.GaussianBlur(image[:674, :674].astype(np.float32), (0, 0), 3.0)
    warp = shape_warp(prior, points, prior.coefficients(points), wider(prior, points, 1.5))
    assert warp is not None
    whole, half = smooth.copy(), cv2.resize(smooth, (337, 337), interpolation=cv2.INTER_AREA)
    unmoved = half.copy()
    warp_plane(whole, mapped(whole, warp))
    warp_plane(half, mapped(half, warp, (2, 2)))
    wanted = cv2.resize(whole, (337, 337), interpolation=cv2.INTER_AREA)
    off = np.abs(half - wanted)
    assert off.mean() < 0.05
    assert off.max() < 4.0 < np.abs(unmoved - wanted).max() / 5


def test_a_face_at_the_border_is_warped_as_far_as_there_is_image(
    prior: MeshShapePrior, target: tuple[RGBImage, FloatArray]
):
    image, points = target
    left = int(points[:, 0].mean())
    part = np.ascontiguousarray(image[:, left:])
    cut_points = points - np.array([left, 0, 0], np.float32)
    warp = shape_warp(prior, points, prior.coefficients(points), wider(prior, points, 1.5))
    moved = shape_warp(prior, cut_points, prior.coefficients(cut_points), wider(prior, points, 1.5))
    assert warp is not None
    assert moved is not None
    assert moved.box[0] < 0
    whole, cut = warped(image, [warp])[:, left:], warped(part, [moved])
    # A pixel fetched from beyond the cut is its mirror image.
    np.testing.assert_allclose(cut[:, 40:].astype(int), whole[:, 40:].astype(int), atol=2)


def test_a_face_in_a_panorama_is_warped_as_in_a_photo():
    rng = np.random.default_rng(0)
    photo = cv2.GaussianBlur(rng.integers(0, 256, (64, 200, 3)).astype(np.uint8), (0, 0), 2.0)
    panorama = np.zeros((64, 33_000, 3), np.uint8)
    panorama[:, 32_700:32_900] = photo
    field = np.zeros((33, 33, 2), np.float32)
    field[8:25, 8:25] = (4.0, 2.0)
    expected = warped(photo, [ShapeWarp((60, 4, 140, 60), field)])
    found = warped(panorama, [ShapeWarp((32_760, 4, 32_840, 60), field)])
    assert (expected != photo).any()
    np.testing.assert_array_equal(found[:, 32_700:32_900], expected)


def test_a_face_that_is_turned_away_is_not_warped(prior: MeshShapePrior, target: tuple[RGBImage, FloatArray]):
    _, points = target
    own = prior.coefficients(points)
    sizes = []
    for turn_deg in (0.0, 50.0, 70.0):
        turned = prior.landmarks(replace(own, pose_deg=np.array([0.0, turn_deg, 0.0], np.float32)))
        warp = shape_warp(prior, turned, prior.coefficients(turned), wider(prior, points, 1.5))
        sizes.append(0.0 if warp is None else float(np.abs(warp.field).max()))
    assert sizes[0] > sizes[1] > sizes[2] == 0.0


@pytest.mark.parametrize("seed", range(6))
def test_nothing_folds_however_unlike_the_shapes_are(
    prior: MeshShapePrior, target: tuple[RGBImage, FloatArray], seed: int
):
    _, points = target
    other = np.random.default_rng(seed).normal(0.0, 4.0, prior.identity_size).astype(np.float32)
    warp = shape_warp(prior, points, prior.coefficients(points), other)
    assert isinstance(warp, ShapeWarp)
    cell = (np.array(warp.box[2:]) - np.array(warp.box[:2])) / len(warp.field)
    by_x = np.diff(warp.field, axis=1)[:-1] / cell[0]
    by_y = np.diff(warp.field, axis=0)[:, :-1] / cell[1]
    # Pixels are fetched from x - d(x): the order of neighbours is kept where this map's determinant is positive.
    determinant = (1 - by_x[..., 0]) * (1 - by_y[..., 1]) - by_x[..., 1] * by_y[..., 0]
    assert determinant.min() > 0.0
    assert len(set(JAW)) == len(JAW) == 21
