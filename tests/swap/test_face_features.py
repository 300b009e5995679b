"""Face features when swapping are those that were stored when the training set was prepared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hififace.errors import BundleError
from hififace.faces.alignment import transform_points
from hififace.faces.identity import SFaceEmbedder
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.preparation.crop import cut
from hififace.preparation.describe import DescriberSettings, MeshDescriber
from hififace.swap.engine import Engine, create_detector
from hififace.swap.face_features import create_encoder
from hififace.swap.identity_vector import target_needs
from hififace.swap.options import SwapOptions
from hififace.swapper import FaceSwapper
from hififace.types import RGBImage
from hififace.weights.bundle import Part

ALL = frozenset({"shape", "expression", "pose", "identity"})


@pytest.fixture(scope="module")
def engine(swapper: FaceSwapper) -> Engine:
    return swapper.engine


def test_crops_and_numbers_are_those_of_preparation(engine: Engine, astronaut: RGBImage):
    (face,) = engine.find_faces(astronaut)
    (found,) = engine.encode(astronaut, [face], ALL)
    describer = MeshDescriber(DescriberSettings(template="mini_128", resolution=64))
    crop = cut(astronaut, face.detection.points, describer.template)
    np.testing.assert_array_equal(found.crop, crop.image)
    np.testing.assert_array_equal(found.matrix, crop.matrix)
    description = describer.describe(astronaut, face.detection, crop)
    expected, start = {}, 0
    for name, size in describer.layout:
        expected[name] = description.coefficients[start : start + size]
        start += size
    np.testing.assert_allclose(found.features["shape"], expected["identity"], atol=1e-5)
    np.testing.assert_allclose(found.features["expression"], expected["expression"], atol=1e-5)
    np.testing.assert_allclose(found.features["pose"], expected["pose"], atol=1e-6)
    np.testing.assert_allclose(found.features["identity"], description.identity, atol=1e-5)


def test_pose_is_that_of_the_crop_in_radians(engine: Engine, astronaut: RGBImage):
    """A turn of the image is gone from an aligned crop: the pose is that of the upright image."""
    poses = []
    for image in (astronaut, np.ascontiguousarray(np.rot90(astronaut))):
        (face,) = engine.find_faces(image, SwapOptions(rotated=True))
        (found,) = engine.encode(image, [face], frozenset({"pose"}))
        poses.append(found.features["pose"])
    assert np.abs(poses[0] - poses[1]).max() < np.deg2rad(6)
    assert np.abs(poses).max() < 1.0


def test_only_what_is_wanted_is_encoded(engine: Engine, astronaut: RGBImage):
    (face,) = engine.find_faces(astronaut)
    (found,) = engine.encode(
        astronaut, [replace(face, identity=np.ones(128, np.float32))], frozenset({"identity"})
    )
    assert set(found.features) == {"identity"}
    assert found.features["identity"].sum() == 128  # as it came, without asking the recogniser again


def test_landmarks_that_a_face_carries_are_used(engine: Engine, astronaut: RGBImage):
    (face,) = engine.find_faces(astronaut)
    blank = np.zeros_like(astronaut)
    landmarks = FaceMeshLandmarker(threads=1).locate(astronaut, face.detection)
    (on_blank,) = engine.encode(blank, [replace(face, landmarks=landmarks)], frozenset({"shape"}))
    (on_photo,) = engine.encode(astronaut, [face], frozenset({"shape"}))
    np.testing.assert_allclose(on_blank.features["shape"], on_photo.features["shape"], atol=1e-5)


def test_the_basel_graphs_look_at_the_aligned_crop(basel_swapper: FaceSwapper, astronaut: RGBImage):
    faces = basel_swapper.find_faces(astronaut)
    needs = target_needs(basel_swapper.bundle.vector)
    (target,) = basel_swapper.engine.encode(astronaut, faces, needs)
    assert {name: len(values) for name, values in target.features.items()} == {
        "shape": 80, "expression": 64, "texture": 80, "pose": 3, "light": 27, "translation": 3,
    }  # fmt: skip
    source = basel_swapper.source_map.default
    assert source is not None
    assert source.features["identity"].shape == (512,)


def test_identities_of_generated_faces_are_those_of_the_family(
    swapper: FaceSwapper, basel_swapper: FaceSwapper, astronaut: RGBImage
):
    for one in (swapper, basel_swapper):
        engine = one.engine
        (face,) = engine.find_faces(astronaut)
        (target,) = engine.encode(astronaut, [face], frozenset({"identity"}))
        points = transform_points(target.matrix, face.detection.points)
        (found,) = engine._encoder.identities([target.crop], [points])
        cosine = found @ target.features["identity"]
        # Basel's is of the same crop; the embedded recogniser's of the photo, which has more pixels.
        assert cosine > (0.999 if one is basel_swapper else 0.5)


def test_unknown_parts_are_refused(swapper: FaceSwapper):
    bundle = swapper.bundle.model_copy(update={"shape": Part(part="wax")})
    with pytest.raises(BundleError, match="'sface' and 'wax'"):
        create_encoder(bundle, None, SFaceEmbedder(threads=1))
    with pytest.raises(BundleError, match="lacks its identity or shape graph"):
        create_encoder(swapper.bundle.model_copy(update={"family": "basel"}), None, SFaceEmbedder(threads=1))
    with pytest.raises(BundleError, match="detector 'eagle'"):
        create_detector("eagle")
