"""Reconstruction and cycle: the reference's numbers; nothing from different people or from the padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hififace.losses.reconstruction import cycle_loss, reconstruction_loss

B, S = 3, 16


def _batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    result, low, target = (rng.normal(size=(B, 3, s, s)) for s in (S, S // 4, S))
    same = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    return torch.from_numpy(result), torch.from_numpy(low), torch.from_numpy(target), same


def _central(x: np.ndarray) -> np.ndarray:
    return 0.25 * (x[..., 1::4, 1::4] + x[..., 1::4, 2::4] + x[..., 2::4, 1::4] + x[..., 2::4, 2::4])


def test_smoke():
    result, low, target, same = _batch()
    assert reconstruction_loss(result, low, target, same).shape == ()
    assert reconstruction_loss(target, None, target, same).item() == 0.0


def test_exception():
    result, low, target, same = _batch()
    with pytest.raises(ValueError, match="one shape"):
        reconstruction_loss(result[:, :1], low, target, same)
    with pytest.raises(ValueError, match="per-sample weight"):
        reconstruction_loss(result, low, target, same[:, None])
    with pytest.raises(ValueError, match="valid must be"):
        reconstruction_loss(result, low, target, same, valid=torch.ones(B, 3, S, S))


def test_value_is_the_references_masked_product():
    result, low, target, same = _batch()
    r, i, t, s = (x.numpy() for x in (result, low, target, same))
    s = s.reshape(B, 1, 1, 1)
    expected = np.abs(r * s - t * s).mean() + np.abs(i * s - _central(t) * s).mean()
    assert reconstruction_loss(result, low, target, same).item() == pytest.approx(expected, rel=1e-12)


def test_value_normalised_is_the_mean_over_pairs_of_one_person():
    result, low, target, same = _batch()
    r, i, t = (x.numpy()[[0, 2]] for x in (result, low, target))
    expected = np.abs(r - t).mean() + np.abs(i - _central(t)).mean()
    loss = reconstruction_loss(result, low, target, same, normalise=True)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_value_without_pairs_of_one_person_is_zero():
    result, low, target, _ = _batch()
    nobody = torch.zeros(B, dtype=torch.float64)
    assert reconstruction_loss(result, low, target, nobody).item() == 0.0
    assert reconstruction_loss(result, low, target, nobody, normalise=True).item() == 0.0


def test_value_with_padding():
    result, low, target, same = _batch()
    valid = torch.ones(B, 1, S, S, dtype=torch.float64)
    valid[0, :, :6] = 0.0  # six rows: the low-resolution rows 0 and 1 hold padding
    r, i, t = (x.numpy() for x in (result, low, target))
    first = np.abs(r - t)[0, :, 6:].mean() + np.abs(i - _central(t))[0, :, 2:].mean()
    third = np.abs(r - t)[2].mean() + np.abs(i - _central(t))[2].mean()
    loss = reconstruction_loss(result, low, target, same, valid=valid)
    assert loss.item() == pytest.approx((first + third) / B, rel=1e-12)


def test_gradient():
    result, low, target, same = _batch()
    result.requires_grad_()
    low.requires_grad_()
    valid = torch.ones(B, 1, S, S, dtype=torch.float64)
    valid[0, :, :6] = 0.0
    # L1 has corners only where result and target are equal, which random numbers are not
    assert gradcheck(
        lambda r, i: reconstruction_loss(r, i, target, same, valid=valid), (result, low), fast_mode=True
    )


def test_gradient_is_zero_for_other_people_and_in_the_padding():
    result, low, target, same = _batch()
    result.requires_grad_()
    low.requires_grad_()
    valid = torch.ones(B, 1, S, S, dtype=torch.float64)
    valid[0, :, :6] = 0.0
    reconstruction_loss(result, low, target, same, valid=valid).backward()
    assert result.grad is not None
    assert low.grad is not None
    for gradient in (result.grad, low.grad):
        assert torch.count_nonzero(gradient[1]) == 0
        assert torch.count_nonzero(gradient[2]) == gradient[2].numel()
    assert torch.count_nonzero(result.grad[0, :, :6]) == 0
    assert torch.count_nonzero(result.grad[0, :, 6:]) == 3 * 10 * S
    assert torch.count_nonzero(low.grad[0, :, :2]) == 0


def test_cycle_value():
    cycled, _, target, same = _batch(1)
    expected = np.abs(target.numpy() - cycled.numpy()).mean()
    assert cycle_loss(target, cycled).item() == pytest.approx(expected, rel=1e-12)
    per_sample = np.abs(target.numpy() - cycled.numpy()).mean(axis=(1, 2, 3))
    assert cycle_loss(target, cycled, weight=same).item() == pytest.approx(
        (per_sample[0] + per_sample[2]) / 3, rel=1e-12
    )


def test_cycle_gradient_reaches_the_first_pass_and_skips_the_padding():
    first, _, target, _ = _batch(2)
    first.requires_grad_()
    valid = torch.ones(B, 1, S, S, dtype=torch.float64)
    valid[..., :4] = 0.0
    # the second pass, standing for G(source = I_t, target = I_r)
    cycle_loss(target, 0.5 * first, valid=valid).backward()
    assert first.grad is not None
    assert torch.count_nonzero(first.grad[..., :4]) == 0
    assert torch.count_nonzero(first.grad[..., 4:]) == B * 3 * S * (S - 4)


def test_cycle_exception():
    with pytest.raises(ValueError, match="one shape"):
        cycle_loss(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 4, 4))
