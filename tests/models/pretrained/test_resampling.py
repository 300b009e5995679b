import pytest
import torch

from hififace.models.pretrained.resampling import apply_affine, invert_affine, resample_affine

TURN = torch.tensor([[0.8, -0.6, 12.0], [0.6, 0.8, -3.0]])


def test_the_identity_map_changes_nothing():
    images = torch.rand(2, 3, 9, 9)
    same = resample_affine(images, torch.tensor([[1.0, 0, 0], [0, 1, 0]]), 9)
    assert torch.allclose(same, images, atol=1e-5)


def test_a_shift_moves_pixels_to_the_right_place():
    images = torch.zeros(1, 1, 8, 8)
    images[0, 0, 3, 2] = 1.0  # y 3, x 2
    moved = resample_affine(images, torch.tensor([[1.0, 0, 4], [0, 1, 1]]), 8)
    assert moved[0, 0, 4, 6] == pytest.approx(1.0, abs=1e-5)
    assert moved.sum() == pytest.approx(1.0, abs=1e-4)


def test_enlarging_keeps_pixel_centres_where_points_go():
    images = torch.zeros(1, 1, 8, 8)
    images[0, 0, 3, 2] = 1.0
    matrix = torch.tensor([[2.0, 0, 1], [0, 2, 1]])
    enlarged = resample_affine(images, matrix, 16)
    x, y = apply_affine(matrix, torch.tensor([[[2.0, 3.0]]]))[0, 0].tolist()
    assert (x, y) == (5.0, 7.0)
    assert enlarged[0, 0, 7, 5] == pytest.approx(1.0, abs=1e-5)


def test_each_picture_may_have_its_own_map():
    images = torch.rand(2, 1, 6, 6)
    matrices = torch.stack((torch.tensor([[1.0, 0, 0], [0, 1, 0]]), torch.tensor([[1.0, 0, 1], [0, 1, 0]])))
    both = resample_affine(images, matrices, 6)
    assert torch.allclose(both[0], images[0], atol=1e-5)
    assert torch.allclose(both[1, :, :, 1:], images[1, :, :, :-1], atol=1e-5)


def test_a_map_and_its_inverse_cancel():
    points = torch.randn(1, 5, 2) * 10
    back = apply_affine(invert_affine(TURN), apply_affine(TURN, points))
    assert torch.allclose(back, points, atol=1e-4)


def test_depth_is_scaled_with_the_map():
    points = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert apply_affine(torch.tensor([[2.0, 0, 0], [0, 2.0, 0]]), points)[0, 0, 2] == pytest.approx(6.0)


def test_gradients_reach_the_pictures():
    images = torch.rand(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    matrix = torch.tensor([[0.9, 0.1, 0.2], [-0.1, 0.9, 0.3]])
    assert torch.autograd.gradcheck(lambda x: resample_affine(x, matrix, 4), (images,), atol=1e-4)
