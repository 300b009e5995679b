"""Down-sampling is the reference's, pixel for pixel; padding never leaks into a low-resolution pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hififace.losses.resampling import downsample, downsample_valid, fill_invalid


def _pictures(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def test_downsample_by_four_is_the_mean_of_the_central_pixels():
    images = _pictures(0, 2, 3, 16, 24)
    x = images.numpy()
    central = 0.25 * (x[..., 1::4, 1::4] + x[..., 1::4, 2::4] + x[..., 2::4, 1::4] + x[..., 2::4, 2::4])
    low = downsample(images, (4, 6)).numpy()
    np.testing.assert_allclose(low, central, atol=1e-12)
    # neither the network's own nearest pixel nor an antialiased mean
    assert np.abs(low - x[..., ::4, ::4]).max() > 0.1
    assert np.abs(low - x.reshape(2, 3, 4, 4, 6, 4).mean(axis=(3, 5))).max() > 0.1


def test_downsample_to_the_same_size_changes_nothing():
    images = _pictures(1, 1, 3, 8, 8)
    assert downsample(images, (8, 8)) is images
    valid = images[:, :1]
    assert downsample_valid(valid, (8, 8)) is valid


def test_downsample_valid_is_the_minimum_of_each_block():
    valid = torch.ones(1, 1, 8, 8)
    valid[0, 0, 0, 3] = 0.0  # an edge pixel, which bilinear down-sampling would not even look at
    valid[0, 0, 6, 6] = 0.5
    assert downsample_valid(valid, (2, 2)).tolist() == [[[[0.0, 1.0], [1.0, 0.5]]]]


@pytest.mark.parametrize("channels", [1, 3])
def test_fill_invalid_value_and_gradient(channels):
    result = _pictures(2, 2, channels, 4, 4).requires_grad_()
    target = _pictures(3, 2, channels, 4, 4)
    valid = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    valid[..., :2] = 1.0
    filled = fill_invalid(result, target, valid)
    assert torch.equal(filled[..., :2], result[..., :2])
    assert torch.equal(filled[..., 2:], target[..., 2:])
    filled.sum().backward()
    assert result.grad is not None
    assert torch.equal(result.grad, valid.expand_as(result))


def test_gradient():
    assert gradcheck(lambda x: downsample(x, (2, 2)), (_pictures(4, 1, 2, 8, 8).requires_grad_(),))
