"""The engine: putting faces back, and the parts around the generator with the model that ships."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, cast

import cv2
import numpy as np
import pytest

from hififace.faces.alignment import transform_points
from hififace.faces.appearance import remaining_edges
from hififace.media.image import read_image
from hififace.swap.engine import Engine, StageClock, blending_mask, paste_faces
from hififace.swap.generate import GeneratedFace, TargetFace
from hififace.swap.identity_vector import target_needs
from hififace.swap.options import SwapOptions
from hififace.swapper import FaceSwapper
from hififace.types import Detection, Face, RGBImage
from tests.support.bundle_doubles import AS_GENERATED, disc

EXAMPLES = Path(__file__).parents[2] / "examples"
MIDDLE = np.s_[80:165, 192:258]
"""The middle of the astronaut's face."""

SIDE = 64
MASK = disc(SIDE)[0, 0]
FACE = Face(0, Detection(np.zeros(4, np.float32), 1.0, np.zeros((5, 2), np.float32)))
MATRIX = np.array([[1.0, 0.0, -20.0], [0.0, 1.0, -10.0]])
PICTURE = np.random.default_rng(3).integers(60, 190, (100, 120, 3), dtype=np.uint8)
CROP: RGBImage = PICTURE[10:74, 20:84]


@dataclass
class Mirrored:
    """All that putting back asks of an engine."""

    border: str = "mirror"


class Put(NamedTuple):
    image: RGBImage
    crop: RGBImage
    mask: np.ndarray


def paste(image: RGBImage, face: GeneratedFace, options: SwapOptions) -> Put:
    pixels, (pasted,) = paste_faces(cast("Engine", Mirrored()), image, [face], options)
    assert pasted.generated is face
    return Put(pixels, pasted.crop, pasted.mask)


def generated(image: RGBImage, mask: np.ndarray = MASK) -> GeneratedFace:
    return GeneratedFace(image, mask, MATRIX, TargetFace(FACE, CROP, MATRIX, {}))


def test_a_face_left_as_it_is_changes_no_pixel():
    result = paste(PICTURE, generated(CROP), SwapOptions())
    np.testing.assert_array_equal(result.image, PICTURE)
    assert result.image is not PICTURE


def test_paint_shows_within_the_mask_and_nowhere_else():
    weight = MASK[:, :, None]  # as a generator does: the target itself where it generates nothing
    red = np.rint(weight * np.array([200, 20, 20]) + (1 - weight) * CROP).astype(np.uint8)
    image = paste(PICTURE, generated(red), AS_GENERATED).image
    np.testing.assert_allclose(image[42, 52].astype(int), [200, 20, 20], atol=1)
    outside = np.ones(PICTURE.shape[:2], bool)
    outside[10:74, 20:84] = MASK <= 0
    np.testing.assert_array_equal(image[outside], PICTURE[outside])


@pytest.mark.parametrize("passed", [0.0, 3.0])
def test_more_erosion_keeps_further_inside(passed: float):
    areas = [
        blending_mask(MASK, SwapOptions(mask_erosion=rounds, mask_feather_px=passed)).sum()
        for rounds in (8, 28, 60)
    ]
    assert areas[0] > areas[1] > areas[2] > 0
    plain = blending_mask(MASK, SwapOptions(mask_erosion=0))
    np.testing.assert_array_equal(plain, MASK)


def test_the_border_of_the_crop_never_shows():
    """A mask that says face everywhere, as of a face larger than its crop, and a generate of another colour."""
    grey = np.full((100, 120, 3), 100, np.uint8)
    bright = np.full((SIDE, SIDE, 3), 180, np.uint8)
    everywhere = np.ones((SIDE, SIDE), np.float32)
    for erosion in (0, 7):
        result = paste(grey, generated(bright, everywhere), replace(AS_GENERATED, mask_erosion=erosion))
        levels = result.image[:, :, 0].astype(int)
        assert levels[42, 52] == 180
        assert levels[10:74, 20:84][[0, -1]].max() == 100
        assert levels[10:74, 20:84][:, [0, -1]].max() == 100
        # 80 levels over at least four pixels on the way down, eight at the top.
        assert np.abs(np.diff(levels[10:42, 52])).max() <= 20
        assert max(np.abs(np.diff(levels, axis=axis)).max() for axis in (0, 1)) <= 40
        np.testing.assert_array_equal(result.mask[[0, -1]], 0.0)


def test_feathering_widens_the_rim():
    def rim(options: SwapOptions) -> int:
        mask = blending_mask(MASK, options)
        return int(((mask > 0.02) & (mask < 0.98)).sum())

    assert rim(SwapOptions(mask_feather_px=3.0)) > rim(SwapOptions()) > 0


def test_colour_is_matched_to_the_target_unless_told_otherwise():
    dark = (CROP * 0.5).astype(np.uint8)
    plain = paste(PICTURE, generated(dark), AS_GENERATED)
    matched = paste(PICTURE, generated(dark), SwapOptions())
    inside = MASK > 0.9
    means = [float(crop[inside].mean()) for crop in (plain.crop, matched.crop, CROP)]
    assert means[0] == pytest.approx(means[2] / 2, rel=0.05)
    assert means[1] == pytest.approx(means[2], rel=0.03)


def test_a_grey_picture_gets_a_grey_face():
    grey = np.repeat(CROP[..., :1], 3, axis=2)
    image = np.repeat(PICTURE[..., :1], 3, axis=2)
    face = GeneratedFace(CROP, MASK, MATRIX, TargetFace(FACE, grey, MATRIX, {}))
    result = paste(image, face, SwapOptions()).image
    assert (result != image).any()
    np.testing.assert_array_equal(result[..., 0], result[..., 2])


def test_stages_add_up_in_order_even_when_they_fail():
    clock = StageClock()
    with clock("generate"):
        pass
    first = clock.timings_ms["generate"]
    with pytest.raises(KeyError), clock("paste"):
        raise KeyError
    with clock("generate"):
        sum(range(1000))
    assert list(clock.timings_ms) == ["generate", "paste"]
    assert clock.timings_ms["generate"] > first >= 0.0


@pytest.fixture(scope="module")
def mini() -> FaceSwapper:
    swapper = FaceSwapper.load("mini", threads=1)
    swapper.set_source(EXAMPLES / "officer.jpg")
    return swapper


def portrait(name: str) -> RGBImage:
    """(675, 675, 3)."""
    image = read_image(Path(__file__).parents[1] / "portraits" / f"{name}.jpg").pixels
    return np.asarray(cv2.resize(image, (675, 675), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize("target", ["astronaut", "001_neutral", "024_smiling", "100_neutral"])
def test_a_face_in_dim_light_is_swapped_as_in_good_light(mini: FaceSwapper, target: str):
    bright = read_image(EXAMPLES / "astronaut.jpg").pixels if target == "astronaut" else portrait(target)
    good = mini.swap(bright)
    inside = good.mask() > 0.9
    expected = good.pixels[inside].astype(float)
    found = mini.swap(np.rint(bright * 0.25).astype(np.uint8)).pixels[inside].astype(float)
    # On the scale of good light: 14 levels before networks were shown ordinary brightness, of which 1 is rounding.
    # The astronaut: 2.97 generated once, 3.09 refined, since the recogniser sees the rounding, too.
    assert np.abs(found * 4 - expected).mean() < 3.2
    assert found.std() * 4 == pytest.approx(expected.std(), rel=0.05)


def test_a_face_in_a_blurred_image_is_as_blurred_and_a_sharp_one_as_generated(mini: FaceSwapper):
    sharp = read_image(EXAMPLES / "astronaut.jpg").pixels
    found = []
    for sigma_px in (0.0, 3.0, 5.0):
        image = cv2.GaussianBlur(sharp, (0, 0), sigma_px) if sigma_px else sharp
        (outcome,) = mini.swap(image).faces
        assert outcome.target_crop is not None
        assert outcome.crop is not None
        assert outcome.mask is not None
        sides = [
            remaining_edges(
                cv2.resize(one, (128, 128), interpolation=cv2.INTER_AREA),
                cv2.resize(outcome.mask, (128, 128)),
            )
            for one in (outcome.target_crop, outcome.crop)
        ]
        found.append(sides)
    targets, results = np.array(found).T
    # As generated, the results would have 0.40, 0.58 and 0.46.
    np.testing.assert_allclose(results[1:], targets[1:], atol=0.04)
    assert targets[1] > 0.7


# ---------------------------------------------------------------------------------------------------------
# Refining


def test_a_refined_result_is_more_like_its_source(mini):
    source = mini.read_source(EXAMPLES / "officer.jpg")
    found = {
        refine: mini.swap(EXAMPLES / "astronaut.jpg", sources=source, refine=refine, similarity=True).faces[0]
        for refine in (False, True)
    }
    likeness = {refine: face.similarity_source for refine, face in found.items()}
    assert likeness[True] > likeness[False] + 0.01


def test_what_a_result_lacks_is_measured_against_what_was_asked_for(mini):
    engine, pixels = mini.engine, read_image(EXAMPLES / "astronaut.jpg").pixels
    source = mini.read_source(EXAMPLES / "officer.jpg")
    options = SwapOptions(refine=False)
    targets = engine.encode(
        pixels, engine.find_faces(pixels), target_needs(engine.bundle.vector), matrices=None
    )
    (lack,) = engine.identity_lacks(targets, [source], options)
    (made,) = engine.generate(targets, [source], options)
    points = transform_points(made.matrix, targets[0].face.detection.points)
    asked = lack + engine.embedder.embed(made.image, points)
    assert np.linalg.norm(asked) == pytest.approx(1.0, abs=1e-4)
    # Handed in, it is used as it is: nothing lacking is the plain result.
    (plain,) = engine.generate(targets, [source], SwapOptions(), [np.zeros_like(lack)])
    np.testing.assert_array_equal(plain.image, made.image)
    (refined,) = engine.generate(targets, [source], SwapOptions(), [lack])
    (measured,) = engine.generate(targets, [source], SwapOptions())
    np.testing.assert_array_equal(refined.image, measured.image)
    assert not np.array_equal(refined.image, made.image)


def test_no_identity_no_refinement(mini):
    assert mini.engine.refines(SwapOptions())
    assert not mini.engine.refines(SwapOptions(refine=False))
    assert not mini.engine.refines(SwapOptions(id_rate=0.0))
