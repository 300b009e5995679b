"""The embedded parts on one portrait in the public domain."""

import numpy as np
import pytest
import skimage.data

from hififace.data.augment import mirror_landmarks
from hififace.errors import OptionError
from hififace.preparation.crop import cut, find_face
from hififace.preparation.describe import DescriberSettings, valid_share
from hififace.preparation.families import create_describer
from hififace.preparation.quality import QualityOptions, check_photo, sharpness


@pytest.fixture(scope="module")
def describer():
    return create_describer(DescriberSettings())


@pytest.fixture(scope="module")
def photo():
    return np.ascontiguousarray(skimage.data.astronaut()[0:250, 100:350])


@pytest.fixture(scope="module")
def described(describer, photo):
    face = find_face(describer, photo, None, 0.7)
    crop = cut(photo, face.points, describer.template)
    return face, crop, describer.describe(photo, face, crop)


def test_sizes_fit_the_layout(describer, described):
    _, crop, found = described
    assert crop.image.shape == (128, 128, 3)
    size = sum(size for _, size in describer.layout)
    assert found.coefficients.shape == found.coefficients_mirrored.shape == (size,)
    assert found.identity.shape == (describer.identity_size,) == (128,)
    assert found.landmarks.shape == (468, 3)
    assert np.linalg.norm(found.identity) == pytest.approx(1, abs=1e-5)
    assert sorted(describer.landmark_mirror) == list(range(468))


def test_a_good_portrait_passes_every_check(described, photo):
    _, crop, found = described
    share = valid_share(found.mask, crop, photo.shape[1::-1])
    rejection = check_photo(
        QualityOptions(),
        magnification=crop.magnification,
        mesh_score=found.mesh_score,
        valid_share=share,
        pose_deg=found.pose_deg,
    )
    assert rejection is None
    assert share > 0.99
    assert sharpness(crop.image, found.mask) > 0


def test_landmarks_and_mask_lie_on_the_face_of_the_crop(describer, described):
    _, _, found = described
    # Corners of the eyes, image-left eye then image-right eye; tip of the nose (1).
    eyes = found.landmarks[[33, 133, 362, 263], :2].reshape(2, 2, 2).mean(axis=1)
    np.testing.assert_allclose(eyes, describer.template.points[:2], atol=5)
    for x, y in describer.template.points:
        assert found.mask[round(float(y)), round(float(x))] == 255
    assert 0.3 < (found.mask > 0).mean() < 0.8
    assert set(np.unique(found.mask)) == {0, 255}


def test_the_mirrored_coefficients_are_those_of_the_mirrored_face(describer, described):
    _, _, found = described
    prior = describer._prior
    points = mirror_landmarks(found.landmarks, np.array(describer.landmark_mirror), 128)
    again = prior.coefficients(points)
    start = describer.layout[0][1]
    np.testing.assert_allclose(found.coefficients_mirrored[:start], again.identity, atol=1e-4)
    pose = slice(start + describer.layout[1][1], start + describer.layout[1][1] + 3)
    # Pitch stays, yaw and roll change sign; pose is stored in radians.
    np.testing.assert_allclose(
        found.coefficients_mirrored[pose], found.coefficients[pose] * [1, -1, -1], atol=2e-3
    )
    np.testing.assert_allclose(np.rad2deg(found.coefficients[pose]), found.pose_deg, atol=1e-4)


def test_unknown_families_and_sizes_are_sentences():
    with pytest.raises(OptionError, match="family 'wax'"):
        create_describer(DescriberSettings(family="wax"))
    with pytest.raises(OptionError, match="no alignment template 'round'"):
        create_describer(DescriberSettings(template="round"))
    with pytest.raises(OptionError, match="resolution is 7"):
        create_describer(DescriberSettings(resolution=7))
