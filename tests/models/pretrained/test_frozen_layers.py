from __future__ import annotations

import pytest
import torch
from torch import nn

from hififace.models.pretrained.frozen_layers import DepthwiseConv2d, FrozenPReLU


def test_frozen_prelu_has_the_values_and_gradients_of_prelu() -> None:
    torch.manual_seed(0)
    plain, frozen = nn.PReLU(3), FrozenPReLU(3)
    for layer in (plain, frozen):
        layer.weight.data = torch.tensor([0.1, -0.5, 1.5])
    frozen.requires_grad_(False)
    inputs = [torch.randn(2, 3, 4, 4).requires_grad_() for _ in range(2)]
    inputs[1].data.copy_(inputs[0].data)
    outputs = [layer(x) for layer, x in zip((plain, frozen), inputs, strict=True)]
    for y in outputs:
        (y * torch.arange(4.0)).sum().backward()
    assert torch.equal(*outputs)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)


def test_prelu_that_is_not_frozen_still_learns() -> None:
    layer = FrozenPReLU(2)
    layer(torch.full((1, 2, 1, 1), -3.0)).sum().backward()
    assert layer.weight.grad.tolist() == [-3.0, -3.0]


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution_is_the_plain_one(stride: int) -> None:
    torch.manual_seed(0)
    ours = DepthwiseConv2d(4, stride)
    plain = nn.Conv2d(4, 4, 3, stride, 1, groups=4)
    plain.load_state_dict(ours.state_dict())
    inputs = [torch.randn(2, 4, 8, 8).requires_grad_() for _ in range(2)]
    inputs[1].data.copy_(inputs[0].data)
    outputs = [layer(x) for layer, x in zip((plain, ours), inputs, strict=True)]
    for y in outputs:
        (y * y).sum().backward()
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
