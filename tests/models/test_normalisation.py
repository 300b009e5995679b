from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hififace.models import normalisation
from hififace.models.normalisation import normalise_activate

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture
def features() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(3, 5, 6, 8) * torch.rand(3, 5, 1, 1) * 4 + torch.randn(3, 5, 1, 1)


def by_hand(x: Tensor, scale: Tensor | float = 1.0, shift: Tensor | float = 0.0) -> Tensor:
    """The formula: biased variance, eps 1e-5 under the root, slope 0.2."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=(2, 3), keepdim=True)
    y = scale * (x - mean) / (variance + 1e-5).sqrt() + shift
    return torch.where(y > 0, y, 0.2 * y)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel", ["answering", "training", "exporting"])
def test_every_kernel_is_the_formula(features, layout, kernel: str, monkeypatch) -> None:
    """A network must not answer differently from how it was trained."""
    monkeypatch.setattr(normalisation, "is_exporting", lambda: kernel == "exporting")
    scale, shift = torch.randn(2, 3, 5)
    with torch.set_grad_enabled(kernel != "answering"):
        plain = normalise_activate(features.to(memory_format=layout))
        adaptive = normalise_activate(features.to(memory_format=layout), scale, shift)
    torch.testing.assert_close(plain, by_hand(features))
    torch.testing.assert_close(adaptive, by_hand(features, scale[..., None, None], shift[..., None, None]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_those_of_the_formula(layout) -> None:
    torch.manual_seed(2)
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    scale, shift = torch.randn(2, 2, 3, dtype=torch.float64).unbind()
    assert torch.autograd.gradcheck(normalise_activate, (x,))
    assert torch.autograd.gradcheck(normalise_activate, (x, scale.requires_grad_(), shift.requires_grad_()))


def test_bfloat16_loses_no_more_than_its_own_digits() -> None:
    """Statistics in bfloat16 would be off by a hundredth where the mean is large; they are not taken in it."""
    torch.manual_seed(3)
    exact = (torch.randn(2, 4, 32, 32) + 8.0).bfloat16()
    outputs, gradients = [], []
    for kind in (torch.float32, torch.bfloat16):
        x = exact.to(kind).contiguous(memory_format=torch.channels_last).requires_grad_()
        y = normalise_activate(x)
        (y.float() * torch.linspace(-1, 1, 32)).sum().backward()
        outputs.append(y.detach().float())
        gradients.append(x.grad.float())
    assert outputs[1].dtype == torch.float32
    torch.testing.assert_close(outputs[1], outputs[0], atol=0.02, rtol=0.01)
    torch.testing.assert_close(gradients[1], gradients[0], atol=0.03, rtol=0.03)
