"""Shape: the reference's clamp and its dead gradient, the robust form that has none, regions and units."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hififace.losses.shape import (
    face_size,
    landmark_loss,
    mesh_shape_loss,
    region_weights,
    smooth_distance,
)

B, N = 3, 68


def _points(seed: int, scale: float = 3.0, num: int = N, dims: int = 2) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    fused = 112.0 + 60.0 * rng.normal(size=(B, num, dims))
    near = [fused + scale * rng.normal(size=fused.shape) for _ in range(2)]
    return [torch.from_numpy(x) for x in (fused, *near)]


def _smooth(d: np.ndarray, beta: float) -> np.ndarray:
    d = np.abs(d)
    return np.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta)


def test_smoke():
    fused, result, low = _points(0)
    assert landmark_loss(fused, result, low).shape == ()
    assert mesh_shape_loss(fused, result, low).shape == ()
    assert landmark_loss(fused, fused, fused).item() == 0.0


def test_value_of_the_reference_and_of_the_paper():
    fused, result, low = _points(1)
    q, r, i = (x.numpy() for x in (fused, result, low))
    reference = np.abs(q - r).mean() + np.abs(q - i).mean()
    paper = (np.abs(q - r).sum(axis=2) + np.abs(q - i).sum(axis=2)).mean()
    assert reference < 10
    assert landmark_loss(fused, result, low, clamp=10.0).item() == pytest.approx(reference, rel=1e-12)
    assert landmark_loss(fused, result, low, coordinates="sum").item() == pytest.approx(paper, rel=1e-12)
    assert paper == pytest.approx(2 * reference)


def test_clamp_kills_the_gradient_and_the_robust_form_does_not():
    fused, result, low = _points(2, scale=40.0)
    result.requires_grad_()
    clamped = landmark_loss(fused, result, low, clamp=10.0)
    clamped.backward()
    assert clamped.item() == 10.0
    assert result.grad is not None
    assert torch.count_nonzero(result.grad) == 0

    result.grad = None
    robust = landmark_loss(fused, result, low, beta=2.0)
    robust.backward()
    assert robust.item() > 10.0
    far = (result.detach() - fused).abs() > 2.0
    # full slope wherever the distance is beyond the knee: 1 / (B * N * 2) each
    torch.testing.assert_close(
        result.grad[far].abs(), torch.full_like(result.grad[far], 1.0 / (B * N * 2)), rtol=1e-9, atol=0
    )
    assert torch.count_nonzero(result.grad) == result.grad.numel()


def test_value_robust():
    fused, result, low = _points(3)
    q, r, i = (x.numpy() for x in (fused, result, low))
    expected = _smooth(q - r, 2.0).mean() + _smooth(q - i, 2.0).mean()
    assert landmark_loss(fused, result, low, beta=2.0).item() == pytest.approx(expected, rel=1e-12)


def test_value_per_sample_weight():
    fused, result, _ = _points(4)
    weight = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    expected = np.abs(fused.numpy() - result.numpy())[1].mean() / B
    assert landmark_loss(fused, result, weight=weight).item() == pytest.approx(expected, rel=1e-12)


def test_exception():
    fused, result, _ = _points(5)
    with pytest.raises(ValueError, match="one shape"):
        landmark_loss(fused, result[:, :60])
    with pytest.raises(ValueError, match="points must be"):
        landmark_loss(fused.reshape(B, -1), result.reshape(B, -1))
    with pytest.raises(ValueError, match="'mean' or 'sum'"):
        landmark_loss(fused, result, coordinates="max")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="knee"):
        smooth_distance(fused, result, -1.0)
    with pytest.raises(ValueError, match="region weights must be"):
        mesh_shape_loss(fused, result, region_weights=torch.ones(N + 1))


@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_gradient(beta):
    fused, result, low = _points(6, num=5)
    result.requires_grad_()
    low.requires_grad_()
    weight = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    assert gradcheck(lambda r, i: landmark_loss(fused, r, i, beta=beta, weight=weight), (result, low))


# ---- the mesh


def test_face_size_value_and_no_gradient():
    square = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]]], requires_grad=True)
    size = face_size(square)
    assert size.tolist() == pytest.approx([2.0**0.5])
    assert not size.requires_grad


@pytest.mark.parametrize("dims", [2, 3])
def test_mesh_value(dims):
    fused, result, low = _points(8, dims=dims)
    weights = np.random.default_rng(9).random(N)
    q, r, i = (x.numpy() for x in (fused, result, low))
    size = np.sqrt(np.square(q - q.mean(axis=1, keepdims=True)).sum(axis=2).mean(axis=1))[:, None, None]
    per_point = _smooth((q - r) / size, 0.02).mean(axis=2) + _smooth((q - i) / size, 0.02).mean(axis=2)
    expected = ((per_point * weights).sum(axis=1) / weights.sum()).mean()
    loss = mesh_shape_loss(fused, result, low, region_weights=torch.from_numpy(weights))
    assert loss.item() == pytest.approx(expected, rel=1e-10)


def test_mesh_value_does_not_depend_on_the_size_of_the_face():
    fused, result, low = _points(10)
    expected = mesh_shape_loss(fused, result, low).item()
    assert mesh_shape_loss(7 * fused, 7 * result, 7 * low).item() == pytest.approx(expected, rel=1e-10)


def test_mesh_gradient():
    fused, result, low = _points(11, num=6, dims=3)
    result.requires_grad_()
    weights = region_weights(6, {"contour": [0, 1]}, {"contour": 3.0})
    assert gradcheck(lambda r: mesh_shape_loss(fused, r, low, region_weights=weights), (result,))


def test_mesh_gradient_is_zero_for_points_and_samples_without_weight():
    fused, result, _ = _points(12)
    result.requires_grad_()
    weights = region_weights(N, {"lips": range(48, 68)}, {"lips": 0.0})
    sample = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    mesh_shape_loss(fused, result, region_weights=weights, weight=sample).backward()
    assert result.grad is not None
    assert torch.count_nonzero(result.grad[:, 48:]) == 0
    assert torch.count_nonzero(result.grad[2]) == 0
    assert torch.count_nonzero(result.grad[:2, :48]) == 2 * 48 * 2


def test_region_weights_value():
    groups = {"contour": [0, 1, 2], "chin": [2, 3]}
    weights = region_weights(6, groups, {"contour": 3.0, "chin": 5.0}, default=0.5)
    assert weights.tolist() == [3.0, 3.0, 5.0, 5.0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("weights", "groups", "message"),
    [
        ({"jaw": 1.0}, {"contour": [0]}, "no group of points is called 'jaw'"),
        ({"contour": 1.0}, {"contour": [0, 6]}, r"outside 0\.\.5: \[6\]"),
        ({"contour": 1.0}, {"contour": [-1]}, r"outside 0\.\.5: \[-1\]"),
        ({"contour": -1.0}, {"contour": [0]}, "must not be negative"),
    ],
)
def test_region_weights_exception(weights, groups, message):
    with pytest.raises(ValueError, match=message):
        region_weights(6, groups, weights)
