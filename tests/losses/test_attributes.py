"""Attributes: hand-made eyes and mouths, free of scale, place and roll; closed eyes say nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hififace.losses.attributes import (
    EYE_CHANNELS,
    MOUTH_CHANNELS,
    Opening,
    colour_loss,
    gaze_loss,
    group_shape_loss,
    heatmap_loss,
    iris_direction,
    opening,
    opening_loss,
)

B = 2
EYE = Opening(upper=(2, 3), lower=(4, 5), corners=(0, 1))
EYE_POINTS = torch.tensor(
    [[[10.0, 20.0], [30.0, 20.0], [17.0, 17.0], [23.0, 18.0], [17.0, 21.0], [23.0, 24.0]]],
    dtype=torch.float64,
)
"""Corners 20 px apart; the two gaps are 4 and 6 px: opening 5 / 20 = 0.25."""


def _random(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def _moved(points: torch.Tensor, roll_deg: float, scale: float, shift: float) -> torch.Tensor:
    c, s = math.cos(math.radians(roll_deg)), math.sin(math.radians(roll_deg))
    return scale * points @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64) + shift


def _smooth(d: np.ndarray, beta: float) -> np.ndarray:
    d = np.abs(d)
    return np.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta)


# ---- heat-maps


def test_heatmap_channels_are_the_references():
    maps = list(range(98))
    assert maps[EYE_CHANNELS] == [96, 97]
    assert (maps[MOUTH_CHANNELS][0], maps[MOUTH_CHANNELS][-1]) == (76, 95)


@pytest.mark.parametrize("channels", [EYE_CHANNELS, MOUTH_CHANNELS])
def test_heatmap_value_and_gradient(channels):
    ours, theirs = _random(0, B, 98, 4, 4).requires_grad_(), _random(1, B, 98, 4, 4).requires_grad_()
    loss = heatmap_loss(ours, theirs, channels)
    difference = (ours - theirs).detach().numpy()[:, channels]
    assert loss.item() == pytest.approx(np.square(difference).mean(), rel=1e-12)
    loss.backward()
    assert theirs.grad is None
    assert ours.grad is not None
    inside = np.zeros(98, dtype=bool)
    inside[channels] = True
    assert ours.grad.abs().amax(dim=(0, 2, 3)).gt(0).tolist() == inside.tolist()


def test_heatmap_exception():
    with pytest.raises(ValueError, match="do not exist"):
        heatmap_loss(torch.zeros(1, 68, 4, 4), torch.zeros(1, 68, 4, 4), EYE_CHANNELS)
    with pytest.raises(ValueError, match="one shape"):
        heatmap_loss(torch.zeros(1, 98, 4, 4), torch.zeros(1, 98, 8, 8), EYE_CHANNELS)


# ---- gaze


@pytest.mark.parametrize("roll_deg", [0.0, 25.0, -110.0])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_iris_direction_value(roll_deg, scale):
    # an iris 5 px to the image-right of the middle and 2 px below it, in an eye 20 px wide
    eye = torch.tensor([[10.0, 20.0], [30.0, 20.0], [25.0, 22.0]], dtype=torch.float64)
    first, second, iris = _moved(eye, roll_deg, scale, 7.0)
    direction = iris_direction(iris, first, second)
    torch.testing.assert_close(direction, torch.tensor([0.25, 0.1], dtype=torch.float64))


def test_iris_direction_ignores_depth():
    points = _random(2, 3, B, 2, 3)
    flat = iris_direction(points[0, ..., :2], points[1, ..., :2], points[2, ..., :2])
    assert torch.equal(iris_direction(points[0], points[1], points[2]), flat)
    assert flat.shape == (B, 2, 2)


def test_gaze_value():
    ours, theirs = 0.1 * _random(3, B, 2, 2), 0.1 * _random(4, B, 2, 2)
    per_eye = _smooth(ours.numpy() - theirs.numpy(), 0.02).sum(axis=2)
    assert gaze_loss(ours, theirs).item() == pytest.approx(per_eye.mean(), rel=1e-12)
    openness = torch.tensor([[1.0, 0.5], [0.25, 0.0]], dtype=torch.float64)
    first = (per_eye[0, 0] + 0.5 * per_eye[0, 1]) / 1.5
    second = 0.25 * per_eye[1, 0]  # two nearly closed eyes do not count as a whole one
    loss = gaze_loss(ours, theirs, openness=openness)
    assert loss.item() == pytest.approx(0.5 * (first + second), rel=1e-12)


def test_gaze_gradient():
    iris = _random(5, B, 2, 2).requires_grad_()
    corners, theirs = _random(6, 2, B, 2, 2), _random(7, B, 2, 2).requires_grad_()
    openness = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)

    def loss(centre: torch.Tensor) -> torch.Tensor:
        return gaze_loss(iris_direction(centre, corners[0], corners[1]), theirs, openness=openness)

    assert gradcheck(loss, (iris,))
    loss(iris).backward()
    assert theirs.grad is None
    assert iris.grad is not None
    assert torch.count_nonzero(iris.grad[0, 1]) == 0


def test_gaze_exception():
    with pytest.raises(ValueError, match=r"\(B, E, 2\)"):
        gaze_loss(torch.zeros(2, 2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="openness"):
        gaze_loss(torch.zeros(2, 2, 2), torch.zeros(2, 2, 2), openness=torch.ones(2))


# ---- openings


@pytest.mark.parametrize("roll_deg", [0.0, 40.0])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_opening_value(roll_deg, scale):
    points = _moved(EYE_POINTS, roll_deg, scale, -3.0)
    assert opening(points, EYE).item() == pytest.approx(0.25, rel=1e-12)


def test_opening_of_crossed_lids_is_negative():
    crossed = EYE_POINTS[:, [0, 1, 4, 5, 2, 3]]
    assert opening(crossed, EYE).item() == pytest.approx(-0.25)


def test_opening_loss_value():
    closed = EYE_POINTS.clone()
    closed[:, [2, 3, 4, 5], 1] = 20.0
    # |0 - 0.25| - beta / 2
    assert opening_loss(closed, EYE_POINTS, [EYE]).item() == pytest.approx(0.24)
    assert opening_loss(_moved(EYE_POINTS, 30, 2, 5), EYE_POINTS, [EYE]).item() == pytest.approx(0, abs=1e-20)
    twice = opening_loss(closed, EYE_POINTS, [EYE, Opening((2,), (4,), (0, 1))])
    assert twice.item() == pytest.approx(0.5 * (0.24 + 0.19))


def test_opening_gradient_opens_a_closed_eye():
    closed = EYE_POINTS.clone()
    closed[:, [2, 3, 4, 5], 1] = 20.0
    closed.requires_grad_()
    opening_loss(closed, EYE_POINTS, [EYE]).backward()
    assert closed.grad is not None
    # descending the gradient moves upper points up (smaller y) and lower points down, by 1 / (2 * 20 px) each
    assert closed.grad[0, :, 1].tolist()[2:] == pytest.approx([0.025, 0.025, -0.025, -0.025])


def test_opening_gradcheck():
    points, target = _random(8, B, 6, 3).requires_grad_(), _random(9, B, 6, 3)
    assert gradcheck(lambda p: opening_loss(p, target, [EYE]), (points,))


def test_opening_exception():
    points = _random(10, B, 6, 2)
    with pytest.raises(ValueError, match="the same number"):
        opening(points, Opening((2, 3), (4,), (0, 1)))
    with pytest.raises(ValueError, match="at least one opening"):
        opening_loss(points, points, [])
    with pytest.raises(ValueError, match="one shape"):
        opening_loss(points, points[:, :5], [EYE])


# ---- the shape of a group


def test_group_shape_value():
    ours, theirs = _random(13, B, 8, 3), 10 * _random(14, B, 8, 3)
    group = [1, 4, 6]
    r, t = ours.numpy()[..., :2], theirs.numpy()[..., :2]
    size = np.sqrt(np.square(t - t.mean(axis=1, keepdims=True)).sum(axis=2).mean(axis=1))[:, None, None]
    r, t = r[:, group] / size, t[:, group] / size
    difference = (r - r.mean(axis=1, keepdims=True)) - (t - t.mean(axis=1, keepdims=True))
    expected = _smooth(difference, 0.01).mean()
    assert group_shape_loss(ours, theirs, group).item() == pytest.approx(expected, rel=1e-10)


def test_group_shape_ignores_where_the_group_lies_but_not_its_form():
    theirs = _random(15, B, 8, 2)
    moved = theirs.clone()
    moved[:, [1, 4, 6]] += torch.tensor([3.0, -2.0], dtype=torch.float64)
    assert group_shape_loss(moved, theirs, [1, 4, 6]).item() == pytest.approx(0.0, abs=1e-20)
    moved[:, 4] += 1.0
    assert group_shape_loss(moved, theirs, [1, 4, 6]).item() > 0.05


def test_group_shape_gradient():
    ours, theirs = _random(16, B, 5, 2).requires_grad_(), _random(17, B, 5, 2).requires_grad_()
    assert gradcheck(lambda r: group_shape_loss(r, theirs.detach(), [0, 2, 3]), (ours,))
    group_shape_loss(ours, theirs, [0, 2, 3]).backward()
    assert theirs.grad is None
    assert ours.grad is not None
    assert torch.count_nonzero(ours.grad[:, [1, 4]]) == 0


def test_group_shape_exception():
    points = _random(18, B, 5, 2)
    with pytest.raises(ValueError, match="empty"):
        group_shape_loss(points, points, [])


# ---- colour


def _pictures(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.random((B, 3, 16, 16))), torch.from_numpy(rng.random((B, 3, 16, 16)))


def test_colour_value():
    result, target = _pictures(19)
    r, t = (x.numpy().reshape(B, 3, 2, 8, 2, 8).mean(axis=(3, 5)) for x in (result, target))
    assert colour_loss(result, target, block=8).item() == pytest.approx(np.abs(r - t).mean(), rel=1e-10)


def test_colour_value_with_padding():
    result, target = _pictures(20)
    valid = torch.ones(B, 1, 16, 16, dtype=torch.float64)
    valid[..., :12] = 0.0  # the left blocks are empty, the right ones half valid
    right = [x.numpy()[..., 12:].reshape(B, 3, 2, 8, 4).mean(axis=(3, 4)) for x in (result, target)]
    loss = colour_loss(result, target, block=8, valid=valid)
    assert loss.item() == pytest.approx(np.abs(right[0] - right[1]).mean(), rel=1e-10)
    assert colour_loss(result, target, block=8, valid=torch.zeros_like(valid)).item() == 0.0


def test_colour_ignores_detail_within_a_block():
    _, target = _pictures(21)
    shuffled = target.reshape(B, 3, 2, 8, 16)[:, :, :, torch.randperm(8)].reshape(B, 3, 16, 16)
    assert colour_loss(shuffled, target, block=8).item() == pytest.approx(0.0, abs=1e-15)
    assert colour_loss(target + 0.1, target, block=8).item() == pytest.approx(0.1)


def test_colour_gradient():
    result, target = _pictures(22)
    result.requires_grad_()
    valid = torch.ones(B, 1, 16, 16, dtype=torch.float64)
    valid[..., :4] = 0.0
    assert gradcheck(lambda r: colour_loss(r, target, block=8, valid=valid), (result,), fast_mode=True)
    colour_loss(result, target, block=8, valid=valid).backward()
    assert result.grad is not None
    assert torch.count_nonzero(result.grad[..., :4]) == 0
    assert torch.count_nonzero(result.grad[..., 4:]) == B * 3 * 16 * 12


def test_colour_exception():
    result, target = _pictures(23)
    with pytest.raises(ValueError, match="does not divide"):
        colour_loss(result, target, block=7)
    with pytest.raises(ValueError, match="one shape"):
        colour_loss(result, target[..., :8], block=8)
