"""Affine maps in closed form against the library's."""

import pytest
import torch

from hififace.models.pretrained.resampling import apply_affine, invert_affine, resample_affine


@pytest.fixture
def maps():
    torch.manual_seed(0)
    matrices = torch.randn(64, 2, 3)
    matrices[:, 0, 0] += 3.0  # far from singular
    matrices[:, 1, 1] += 3.0
    matrices[:, :, 2] *= 100.0
    return matrices


def whole(matrices):
    last = torch.tensor([0.0, 0.0, 1.0]).expand(len(matrices), 1, 3)
    return torch.cat((matrices, last), dim=1)


def test_the_inverse_is_the_librarys(maps):
    expected = torch.linalg.inv(whole(maps).double())[:, :2].float()
    torch.testing.assert_close(invert_affine(maps), expected, atol=1e-3, rtol=1e-4)


def test_the_inverse_of_the_inverse_is_the_map(maps):
    torch.testing.assert_close(invert_affine(invert_affine(maps)), maps, atol=2e-3, rtol=1e-3)


def test_one_map_without_a_batch(maps):
    torch.testing.assert_close(invert_affine(maps[0]), invert_affine(maps)[0])


def test_its_gradient_is_the_librarys(maps):
    ours, theirs = maps.double().requires_grad_(True), maps.double().requires_grad_(True)
    weight = torch.rand(64, 2, 3, dtype=torch.float64)
    (invert_affine(ours) * weight).sum().backward()
    last = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(64, 1, 3)
    (torch.linalg.inv(torch.cat((theirs, last), dim=1))[:, :2] * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4)


def test_depth_is_scaled_by_the_root_of_the_determinant(maps):
    points = torch.randn(64, 5, 3)
    found = apply_affine(maps, points)
    scale = torch.linalg.det(maps[:, :, :2]).abs().sqrt()
    torch.testing.assert_close(found[..., 2], points[..., 2] * scale[:, None], rtol=1e-4, atol=1e-4)
    flat = points[..., :2] @ maps[:, :, :2].transpose(1, 2) + maps[:, None, :, 2]
    torch.testing.assert_close(found[..., :2], flat, rtol=1e-4, atol=1e-3)


def test_pictures_that_are_not_square_keep_their_axes():
    picture = torch.arange(24.0).view(1, 1, 4, 6)
    cut = resample_affine(picture, torch.tensor([[1.0, 0.0, -3.0], [0.0, 1.0, -1.0]]), 2)
    torch.testing.assert_close(cut[0, 0], picture[0, 0, 1:3, 3:5])
