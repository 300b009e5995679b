"""EfficientNet-lite0 and -lite1: stages, TensorFlow's padding, stopping early, loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from hififace.errors import WeightsError
from hififace.models.pretrained.efficientnet_lite import (
    STAGE_CHANNELS,
    STAGE_REDUCTIONS,
    EfficientNetLite,
    SameConv2d,
    fold_normalisations,
    load_efficientnet_lite,
)


@pytest.fixture(scope="module")
def network() -> EfficientNetLite:
    torch.manual_seed(0)
    return EfficientNetLite().eval()


def test_every_stage_has_its_channels_and_size(network: EfficientNetLite) -> None:
    with torch.no_grad():
        features = network(torch.rand(1, 3, 64, 64), stages=range(6))
    assert [tuple(f.shape[1:]) for f in features] == [
        (channels, 64 // reduction, 64 // reduction)
        for channels, reduction in zip(STAGE_CHANNELS, STAGE_REDUCTIONS, strict=True)
    ]
    assert STAGE_CHANNELS == (32, 16, 24, 40, 112, 320)


@pytest.mark.parametrize(("stages", "num_blocks"), [((0,), 0), ((0, 2), 3), ((3,), 5), ((0, 5), 16)])
def test_nothing_beyond_the_last_stage_is_computed(
    network: EfficientNetLite, stages: tuple[int, ...], num_blocks: int
) -> None:
    ran: list[int] = []
    hooks = [
        block.register_forward_hook(lambda *_, index=index: ran.append(index))
        for index, block in enumerate(network._blocks)
    ]
    with torch.no_grad():
        assert len(network(torch.rand(1, 3, 32, 32), stages)) == len(stages)
    for hook in hooks:
        hook.remove()
    assert ran == list(range(num_blocks))


@pytest.mark.parametrize("stages", [(), (2, 0), (0, 0), (6,), (-1,)])
def test_stages_that_do_not_exist_or_do_not_rise_are_refused(stages: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="stages"):
        EfficientNetLite(stages)


@pytest.mark.parametrize(
    ("kernel", "side", "padding"), [(3, 8, (0, 1)), (5, 8, (1, 2)), (3, 9, (1, 1)), (5, 7, (2, 2))]
)
def test_strided_padding_is_tensorflows(kernel: int, side: int, padding: tuple[int, int]) -> None:
    convolution = SameConv2d(2, 3, kernel, 2, bias=False)
    x = torch.rand(1, 2, side, side)
    padded = F.pad(x, (*padding, *padding))
    assert torch.allclose(convolution(x), F.conv2d(padded, convolution.weight, stride=2), atol=1e-6)


def test_lite1_is_deeper_and_gives_maps_of_the_same_sizes(tmp_path: Path) -> None:
    network = EfficientNetLite(variant="lite1").eval()
    with torch.no_grad():
        sizes = [tuple(f.shape[1:]) for f in network(torch.rand(1, 3, 64, 64), stages=range(6))]
        same = [
            tuple(f.shape[1:]) for f in EfficientNetLite().eval()(torch.rand(1, 3, 64, 64), stages=range(6))
        ]
    assert sizes == same
    assert len(network._blocks) == 21
    torch.save(network.state_dict(), tmp_path / "lite1.pth")
    with pytest.raises(WeightsError, match="EfficientNet-lite0"):
        load_efficientnet_lite(tmp_path / "lite1.pth")
    assert load_efficientnet_lite(tmp_path / "lite1.pth", variant="lite1").stages == (0, 2, 3)


def test_gradients_reach_the_picture(network: EfficientNetLite) -> None:
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    sum(f.square().mean() for f in network(images)).backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_the_package_file_is_loaded_without_its_classifier(tmp_path: Path, network: EfficientNetLite) -> None:
    state = dict(network.state_dict())
    assert len(state) == 48 * 6, "48 convolutions, each with a normalisation of five entries"
    rest = {"_conv_head.weight": torch.zeros(2), "_bn1.weight": torch.zeros(2), "_fc.bias": torch.zeros(2)}
    torch.save({**state, **rest}, tmp_path / "lite0.pth")
    loaded = load_efficientnet_lite(tmp_path / "lite0.pth", stages=(0, 2))
    assert loaded.stages == (0, 2)
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())
    torch.save({**state, "_extra.weight": torch.zeros(2)}, tmp_path / "lite0.pth")
    with pytest.raises(WeightsError, match="_extra"):
        load_efficientnet_lite(tmp_path / "lite0.pth")


def test_folded_normalisations_give_the_same_maps() -> None:
    torch.manual_seed(3)
    network = EfficientNetLite()
    network.train()
    with torch.no_grad():  # statistics that are not those of a new network
        for _ in range(3):
            network(torch.rand(2, 3, 64, 64), stages=range(6))
        for norm in (m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.3, 0.3)
        network.eval()
        images = torch.rand(2, 3, 64, 64)
        before = network(images, stages=range(6))
        folded = fold_normalisations(network)
        after = folded(images, stages=range(6))
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-4)
