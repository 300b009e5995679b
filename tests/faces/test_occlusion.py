"""What covers a face is told from the face."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hififace.evaluation.scenes import draw_occluder
from hififace.faces.alignment import align
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.faces.occlusion import OccluderSegmenter, occlusion
from hififace.media.image import read_image
from hififace.types import FloatArray, RGBImage
from hififace.weights.bundle import load_bundle

SIDE = 128
AXIS = (np.arange(SIDE) + 0.5) / SIDE - 0.5
PORTRAITS = Path(__file__).parents[2] / "benchmarks" / "portraits"
INNER = (np.add.outer((AXIS / 0.36) ** 2, (AXIS / 0.24) ** 2) <= 1).astype(np.float32)
FACE = (np.add.outer((AXIS / 0.42) ** 2, (AXIS / 0.3) ** 2) <= 1).astype(np.float32)


@pytest.fixture(scope="module")
def crop(astronaut, astronaut_face):
    return align(astronaut, astronaut_face.points, "mini_128").crop


def covered(crop, draw):
    """The crop with something drawn over it, and where that is within the face."""
    changed = crop.copy()
    draw(changed)
    return changed, (np.abs(changed.astype(int) - crop).max(axis=2) > 8) & (FACE > 0)


OBJECTS = {
    "surgical mask": lambda c: cv2.fillPoly(
        c, [np.array([(22, 62), (64, 54), (106, 62), (100, 105), (64, 122), (28, 105)])], (140, 180, 210)
    ),
    "dark glasses": lambda c: [cv2.rectangle(c, (x, 26), (x + 38, 56), (10, 10, 10), -1) for x in (18, 70)],
    "microphone": lambda c: cv2.circle(c, (68, 96), 30, (60, 60, 64), -1),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_what_covers_the_face_is_found_and_nothing_else(crop, name):
    changed, where = covered(crop, OBJECTS[name])
    found = occlusion(changed, FACE)
    assert found[where].mean() > 0.9
    assert found[(cv2.dilate(where.astype(np.uint8), np.ones((13, 13))) == 0) & (FACE > 0)].max() < 0.05


@pytest.mark.parametrize("name", ["001_neutral", "024_smiling", "100_neutral"])
def test_a_free_face_is_covered_by_nothing(detector, portraits, name):
    (found,) = detector.detect(portraits[name])
    assert occlusion(align(portraits[name], found.points, "mini_128").crop, FACE).max() == 0


def test_eyes_brows_lips_and_teeth_of_a_free_face_are_its_own(crop):
    assert occlusion(crop, FACE).max() == 0


def test_outside_the_mask_nothing_is_looked_for(crop):
    changed, _ = covered(crop, OBJECTS["microphone"])
    assert occlusion(changed, np.zeros((SIDE, SIDE), np.float32)).max() == 0


def test_a_black_crop_is_no_error():
    assert occlusion(np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), np.float32)).shape == (64, 64)


@pytest.fixture(scope="module")
def network() -> OccluderSegmenter:
    return OccluderSegmenter(load_bundle("mini").path("occluders"), threads=1)


def crop_with_mesh(name: str, kind: str | None, detector) -> tuple[RGBImage, np.ndarray | None]:
    """An aligned portrait of the benchmarks, and where something was drawn by the evaluation, which draws otherwise."""
    image = read_image(PORTRAITS / name).pixels
    (found,) = detector.detect(image)
    where = None
    if kind is not None:
        seen = FaceMeshLandmarker(threads=1).locate(image, found)
        image, where = draw_occluder(kind, image, np.asarray(seen.points[:, :2], np.float64))
    aligned = align(image, found.points, "mini_128")
    if where is not None:
        side = (SIDE, SIDE)
        where = cv2.warpAffine(where.astype(np.uint8), aligned.matrix, side, flags=cv2.INTER_NEAREST) > 0
    return aligned.crop, where


@pytest.mark.parametrize("kind", ["fingers", "bar", "mask"])
def test_network_and_colours_together_find_what_the_evaluation_draws(network, detector, kind):
    crop, where = crop_with_mesh("119_neutral.jpg", kind, detector)
    within = where & (FACE > 0)
    assert occlusion(crop, FACE, network)[within].mean() > 0.85
    if kind == "fingers":  # of the colour of skin
        assert network.covered(crop)[within].mean() > 0.7 > occlusion(crop, FACE)[within].mean()


@pytest.mark.parametrize("photo", sorted(PORTRAITS.glob("*.jpg")), ids=lambda path: path.stem)
def test_the_network_finds_nothing_before_a_free_face(network, detector, photo):
    crop, _ = crop_with_mesh(photo.name, None, detector)
    assert network.covered(crop)[INNER > 0].mean() < 0.005


class Found:
    """A network that has found something."""

    def __init__(self, shares: FloatArray) -> None:
        self._shares = shares

    def shares(self, crop: RGBImage) -> FloatArray:
        assert crop.shape == (128, 128, 3)
        return self._shares


def segmenter(shares: FloatArray) -> OccluderSegmenter:
    made = object.__new__(OccluderSegmenter)
    made.network = Found(shares)  # type: ignore[assignment]
    return made


def test_only_what_is_surely_covered_counts_with_what_hangs_on_it():
    shares = np.zeros((128, 128), np.float32)
    shares[20:60, 20:40] = 0.5
    shares[30:50, 24:36] = 0.95  # a finger, with its blurred edge
    shares[80:110, 60:100] = 0.5  # a shadow
    shares[100:103, 110:113] = 0.95  # too little
    found = segmenter(shares).covered(np.full((256, 256, 3), 128, np.uint8))
    assert found.shape == (128, 128)
    np.testing.assert_array_equal(found[20:60, 20:40], shares[20:60, 20:40])
    assert not found[70:].any()


def test_what_the_network_finds_is_added_to_what_colours_tell():
    crop, mask = np.full((256, 256, 3), (200, 150, 130), np.uint8), np.ones((64, 64), np.float32)
    assert not occlusion(crop, mask).any()
    shares = np.zeros((128, 128), np.float32)
    shares[40:80, 40:80] = 1.0
    found = occlusion(crop, mask, segmenter(shares))
    assert found.shape == (64, 64)
    assert found[22:38, 22:38].min() > 0.99
    assert not found[50:].any()
