"""Segmentation: dilation as scipy does it, both masks, and no demand beyond the photo."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.autograd import gradcheck

from hififace.losses.segmentation import dilate, segmentation_loss

B, S = 2, 32


def _masks(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    mask, low = (torch.from_numpy(rng.random((B, 1, s, s))) for s in (S, S // 4))
    yy, xx = np.mgrid[:S, :S]
    discs = np.stack([(yy - 15) ** 2 + (xx - 14) ** 2 < radius**2 for radius in (8, 17)])
    return mask, low, torch.from_numpy(discs[:, None].astype(np.float64))


def _expected(mask, low, face, size: int) -> float:
    grown = np.stack([ndimage.maximum_filter(m[0], size=size, mode="constant", cval=0.0) for m in face])
    grown_low = 0.25 * (
        grown[:, 1::4, 1::4] + grown[:, 1::4, 2::4] + grown[:, 2::4, 1::4] + grown[:, 2::4, 2::4]
    )
    return float(np.abs(grown_low - low[:, 0]).mean() + np.abs(grown - mask[:, 0]).mean())


@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_dilate_value(size):
    rng = np.random.default_rng(1)
    mask = rng.random((1, 1, 12, 17))
    expected = ndimage.maximum_filter(mask[0, 0], size=size, mode="constant", cval=0.0)
    np.testing.assert_array_equal(dilate(torch.from_numpy(mask), size)[0, 0].numpy(), expected)


@pytest.mark.parametrize("size", [0, -3, 4])
def test_dilate_exception(size):
    with pytest.raises(ValueError, match="odd number"):
        dilate(torch.zeros(1, 1, 8, 8), size)


def test_dilate_grows_a_pixel_by_two_at_the_references_size():
    mask = torch.zeros(1, 1, 9, 9)
    mask[0, 0, 4, 4] = 1.0
    assert dilate(mask).sum().item() == 25.0


def test_smoke():
    mask, low, face = _masks()
    assert segmentation_loss(mask, low, face).shape == ()
    assert segmentation_loss(dilate(face), None, face).item() == 0.0


@pytest.mark.parametrize("size", [3, 5])
def test_value(size):
    mask, low, face = _masks()
    loss = segmentation_loss(mask, low, face, dilation=size)
    assert loss.item() == pytest.approx(_expected(mask.numpy(), low.numpy(), face.numpy(), size), rel=1e-12)


def test_value_with_padding_and_weight():
    mask, low, face = _masks()
    valid = torch.ones(B, 1, S, S, dtype=torch.float64)
    valid[1, ..., 24:] = 0.0
    weight = torch.tensor([0.0, 1.0], dtype=torch.float64)
    inside = [x.numpy()[1:, :, :, :24] for x in (mask, dilate(face))]
    low_inside, grown = low.numpy()[1:, :, :, :6], inside[1]
    central = 0.25 * sum(grown[..., i::4, j::4] for i in (1, 2) for j in (1, 2))
    expected = (np.abs(inside[0] - grown).mean() + np.abs(low_inside - central).mean()) / B
    loss = segmentation_loss(mask, low, face, valid=valid, weight=weight)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_exception():
    mask, low, face = _masks()
    with pytest.raises(ValueError, match="one shape"):
        segmentation_loss(mask.expand(-1, 3, -1, -1), low, face)
    with pytest.raises(ValueError, match="odd number"):
        segmentation_loss(mask, low, face, dilation=2)


def test_gradient():
    mask, low, face = _masks()
    mask.requires_grad_()
    low.requires_grad_()
    assert gradcheck(lambda m, n: segmentation_loss(m, n, face), (mask, low), fast_mode=True)


def test_gradient_pulls_an_empty_mask_open():
    # the failure that this term exists for: a mask of nothing must be raised inside the face, and only there
    mask = torch.full((1, 1, S, S), 0.01, dtype=torch.float64, requires_grad=True)
    face = _masks()[2][:1]
    segmentation_loss(mask, None, face).backward()
    assert mask.grad is not None
    assert torch.equal(mask.grad < 0, dilate(face) == 1)


def test_gradient_is_zero_in_the_padding():
    mask, low, face = _masks()
    mask.requires_grad_()
    valid = torch.ones(B, 1, S, S, dtype=torch.float64)
    valid[..., :8] = 0.0
    segmentation_loss(mask, low, face, valid=valid).backward()
    assert mask.grad is not None
    assert torch.count_nonzero(mask.grad[..., :8]) == 0
    assert torch.count_nonzero(mask.grad[..., 8:]) == B * S * (S - 8)
