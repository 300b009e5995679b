from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hififace.errors import BundleError
from hififace.faces.alignment import transform_points
from hififace.swap.generate import FaceGenerator, TargetFace, enlarging
from hififace.types import Detection, Face
from hififace.weights.bundle import load_bundle
from tests.support.bundle_doubles import colour_weights, disc, generator_graph, mesh_layout, write_mesh_bundle

SIDE = 64
SIZE = sum(entry["size"] for entry in mesh_layout())
FACE = Face(0, Detection(np.zeros(4, np.float32), 1.0, np.zeros((5, 2), np.float32)))


def target(seed: int, matrix: np.ndarray | None = None) -> TargetFace:
    crop = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return TargetFace(FACE, crop, np.eye(2, 3) if matrix is None else matrix, {})


def vectors(num: int) -> np.ndarray:
    return np.random.default_rng(9).normal(0, 0.3, (num, SIZE)).astype(np.float32)


def expected(crop: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """What the double's docstring says, in 0..255."""
    colour = 255.0 / (1.0 + np.exp(-(vector @ colour_weights(SIZE))))
    mask = disc(SIDE)[0, 0, :, :, None]
    return mask * (crop + colour) / 2 + (1.0 - mask) * crop


@pytest.fixture(scope="module")
def generator(mesh_bundle: Path) -> FaceGenerator:
    return FaceGenerator(load_bundle(mesh_bundle), threads=1)


def test_the_generator_gets_target_and_vector_and_gives_image_and_mask(generator: FaceGenerator):
    face, vector = target(1), vectors(1)
    (generated,) = generator.generate([face], vector, passes=1, batch_size=8)
    np.testing.assert_allclose(generated.image, expected(face.crop, vector[0]), atol=0.51)
    np.testing.assert_allclose(generated.mask, disc(SIDE)[0, 0], atol=1e-6)
    np.testing.assert_array_equal(generated.matrix, face.matrix)
    assert generated.target is face


def test_batches_of_any_size_give_the_same(generator: FaceGenerator):
    faces, rows = [target(seed) for seed in range(5)], vectors(5)
    whole = generator.generate(faces, rows, passes=1, batch_size=8)
    parts = generator.generate(faces, rows, passes=1, batch_size=2)
    assert [face.target for face in parts] == faces
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
    assert generator.generate([], vectors(0), passes=1, batch_size=2) == []


def test_every_pass_paints_on_the_one_before(generator: FaceGenerator):
    face, vector = target(2), vectors(1)
    (once,) = generator.generate([face], vector, passes=1, batch_size=8)
    (twice,) = generator.generate([face], vector, passes=2, batch_size=8)
    np.testing.assert_allclose(twice.image, expected(once.image, vector[0]), atol=0.51)
    np.testing.assert_array_equal(twice.mask, once.mask)


def test_a_generator_that_enlarges_gets_a_matrix_to_its_own_pixels(tmp_path: Path):
    generator = FaceGenerator(write_mesh_bundle(tmp_path / "large", enlarge=2), threads=1)
    matrix = np.array([[2.0, 0.0, -5.0], [0.0, 2.0, 3.0]])
    (generated,) = generator.generate([target(3, matrix)], vectors(1), passes=2, batch_size=8)
    assert generated.image.shape == (128, 128, 3)
    assert generated.mask.shape == (128, 128)
    # The centre of the crop's first pixel lies between the first two of the generated face.
    first = transform_points(generated.matrix, [(2.5, -1.5)])[0]
    np.testing.assert_allclose(first, [0.5, 0.5])
    np.testing.assert_array_equal(enlarging(1.0), np.eye(2, 3))


def test_a_generator_that_is_not_what_its_description_says_is_refused(tmp_path: Path):
    bundle = write_mesh_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / "generator.onnx").write_bytes(generator_graph(SIZE + 1, SIDE, 1))
    with pytest.raises(BundleError, match="generator of bundle 'double' takes"):
        FaceGenerator(bundle)
