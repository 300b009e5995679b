import numpy as np
import pytest
import torch

from hififace.models.pretrained.arcface import ArcFace
from hififace.models.pretrained.bisenet import BiSeNet
from hififace.models.pretrained.deep3d import Deep3D, FaceCoefficients
from hififace.preparation.basel import LAYOUT, BaselParts


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    networks = ArcFace(18, widths=(8, 8, 8, 8)), Deep3D((1, 1, 1, 1), width=8), BiSeNet(width=8)
    return BaselParts(*(network.eval() for network in networks))


@pytest.fixture(scope="module")
def crop():
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def test_the_layout_names_all_257_numbers_in_the_networks_order():
    assert sum(size for _, size in LAYOUT) == 257
    flat = torch.arange(257.0)[None]
    named = FaceCoefficients.from_flat(flat)
    start = 0
    for (name, size), value in zip(LAYOUT, named, strict=True):
        assert value.shape[1] == size, name
        assert value[0, 0] == start
        start += size


def test_sizes_and_kinds(parts, crop):
    identity, coefficients, mirrored, mask = parts.describe(crop)
    assert identity.shape == (512,)
    assert np.linalg.norm(identity) == pytest.approx(1, abs=1e-5)
    assert coefficients.shape == mirrored.shape == (257,)
    assert mask.shape == (64, 64)
    assert mask.dtype == np.uint8
    assert not np.allclose(coefficients, mirrored)


def test_the_mirrored_coefficients_are_those_of_the_mirrored_crop(parts, crop):
    one, other = parts.describe(crop), parts.describe(np.ascontiguousarray(crop[:, ::-1]))
    np.testing.assert_allclose(one[2], other[1], atol=1e-5)
    np.testing.assert_allclose(one[1], other[2], atol=1e-5)
