"""The target's frames are found where they are, nowhere else, and stay."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hififace.errors import BundleError
from hififace.evaluation.scenes import draw_occluder
from hififace.faces.alignment import align
from hififace.faces.eyeglasses import BAND_PX, SIDE_PX, EyeglassSegmenter, keep_frames
from hififace.faces.templates import find_template
from hififace.media.image import read_image
from hififace.swapper import FaceSwapper
from hififace.types import FloatArray, RGBImage
from hififace.weights.bundle import load_bundle
from hififace.weights.openvino_graph import why_not

PORTRAITS = Path(__file__).parents[2] / "benchmarks" / "portraits"
PHOTOS = sorted(PORTRAITS.glob("*_neutral.jpg"))
NO_GLASSES = sorted(PORTRAITS.glob("*.jpg"))


@pytest.fixture(scope="module")
def segmenter() -> EyeglassSegmenter:
    return EyeglassSegmenter(load_bundle("mini").path("eyeglasses"), threads=1)


@pytest.fixture(scope="module")
def swapper() -> FaceSwapper:
    return FaceSwapper.load("mini", threads=1)


def crop_of(swapper: FaceSwapper, image: RGBImage) -> tuple[RGBImage, FloatArray]:
    """The aligned crop of the largest face, and the matrix of image to crop."""
    face = max(swapper.engine.find_faces(image), key=lambda one: one.detection.size_px)
    aligned = align(image, face.detection.points, find_template("mini_128").scaled(SIDE_PX), border="edge")
    return aligned.crop, aligned.matrix


def with_glasses(swapper: FaceSwapper, image: RGBImage) -> tuple[RGBImage, RGBImage]:
    """Glasses drawn by the evaluation, which draws others than the training; and where (H, W) uint8."""
    (face,) = swapper.engine.with_landmarks(image, swapper.engine.find_faces(image)[:1])
    assert face.landmarks is not None
    drawn, where = draw_occluder("glasses", image, np.asarray(face.landmarks.points[:, :2], np.float64))
    return drawn, where.astype(np.uint8)


@pytest.mark.parametrize("photo", NO_GLASSES, ids=lambda path: path.stem)
def test_nothing_is_found_where_nobody_wears_any(
    photo: Path, segmenter: EyeglassSegmenter, swapper: FaceSwapper
):
    crop, _ = crop_of(swapper, read_image(photo).pixels)
    assert segmenter.frames(crop) is None


@pytest.mark.parametrize("photo", PHOTOS[:4], ids=lambda path: path.stem)
def test_drawn_glasses_are_found_where_they_are(
    photo: Path, segmenter: EyeglassSegmenter, swapper: FaceSwapper
):
    image, where = with_glasses(swapper, read_image(photo).pixels)
    crop, matrix = crop_of(swapper, image)
    wanted = cv2.warpAffine(where, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_NEAREST) > 0
    found = segmenter.frames(crop)
    assert found is not None
    assert found.shape == (SIDE_PX, SIDE_PX)
    assert (found[wanted] > 0.5).mean() > 0.85
    near = cv2.dilate(wanted.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert (found[~near] > 0.5).mean() < 0.01
    assert not found[BAND_PX:].any()


@pytest.mark.skipif(why_not() is not None, reason="needs OpenVINO and a processor with bfloat16")
def test_the_same_frames_are_found_in_bfloat16(segmenter: EyeglassSegmenter, swapper: FaceSwapper):
    image, _ = with_glasses(swapper, read_image(PHOTOS[0]).pixels)
    crop, _ = crop_of(swapper, image)
    rounded = EyeglassSegmenter(load_bundle("mini").path("eyeglasses"), threads=1, bfloat16=True)
    exact, found = segmenter.frames(crop), rounded.frames(crop)
    assert exact is not None
    assert found is not None
    assert np.abs(exact - found).mean() < 2e-3
    assert rounded.frames(crop_of(swapper, read_image(PHOTOS[0]).pixels)[0]) is None


def test_crops_of_other_sizes(segmenter: EyeglassSegmenter, swapper: FaceSwapper):
    image, _ = with_glasses(swapper, read_image(PHOTOS[0]).pixels)
    crop, _ = crop_of(swapper, image)
    whole = segmenter.frames(crop)
    assert whole is not None
    for side in (128, 512):
        found = segmenter.frames(np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)))
        assert found is not None
        assert found.shape == (side, side)
        again = cv2.resize(found, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        assert np.abs(again - whole).mean() < 0.02


def test_the_swap_keeps_them(swapper: FaceSwapper):
    source = swapper.read_source(PHOTOS[1])
    image, where = with_glasses(swapper, read_image(PHOTOS[0]).pixels)
    frame = where > 0

    def left(keep: bool) -> float:
        """Levels by which the frame is another one."""
        result = swapper.swap(image, sources=source, keep_glasses=keep, warp_shape=False)
        return float(np.abs(result.pixels[frame].astype(int) - image[frame]).mean())

    assert left(True) < 2.0 < left(False)


def test_frames_are_taken_out_of_a_mask():
    mask = np.full((128, 128), 0.8, np.float32)
    frames = np.zeros((256, 256), np.float32)
    frames[60:63, 40:200] = 1.0
    kept = keep_frames(mask, frames)
    assert kept.shape == (256, 256)
    assert kept[61, 50:190].max() < 0.01
    np.testing.assert_allclose(kept[80:], 0.8, atol=1e-6)
    np.testing.assert_allclose(keep_frames(mask, np.zeros((128, 128), np.float32)), mask)


def test_another_graph_is_refused():
    with pytest.raises(BundleError, match=r"generator\.onnx has the inputs and outputs"):
        EyeglassSegmenter(load_bundle("mini").path("generator"), threads=1)


def test_models_without_the_network_leave_masks_alone(mesh_bundle: Path):
    assert load_bundle(mesh_bundle).graphs.eyeglasses is None
    assert FaceSwapper.load(mesh_bundle, threads=1).engine._eyeglasses is None
