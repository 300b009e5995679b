from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hififace.models.fusion import SemanticFusion, Upsampler
from hififace.models.generator import Generator
from hififace.models.normalisation import leaky
from hififace.models.params import tiny

PARAMS = tiny()
CHANNELS = PARAMS.decoder[-1].channels


@pytest.fixture
def fusion() -> SemanticFusion:
    torch.manual_seed(0)
    return SemanticFusion(PARAMS, PARAMS.encoder[0].channels, CHANNELS)


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    z_enc = torch.randn(2, PARAMS.encoder[0].channels, 8, 8)
    return torch.rand(2, 3, 32, 32), z_enc, torch.randn(2, CHANNELS, 8, 8), torch.randn(2, PARAMS.vector_size)


def test_shapes(fusion, inputs) -> None:
    fused = fusion(*inputs)
    assert fused.features.shape == (2, CHANNELS, 8, 8)
    assert fused.image_low.shape == (2, 3, 8, 8)
    assert fused.mask_low.shape == (2, 1, 8, 8)


def test_a_closed_mask_shows_the_reduced_target_and_ignores_the_decoder(fusion, inputs) -> None:
    target, z_enc, z_dec, vector = inputs
    with torch.no_grad():
        fusion.mask_head.weight.zero_()
        fusion.mask_head.bias.fill_(-100.0)
        closed = fusion(target, z_enc, z_dec, vector)
        other = fusion(target, z_enc, torch.randn_like(z_dec), vector)
    torch.testing.assert_close(closed.image_low, fusion.reduce(target))
    torch.testing.assert_close(closed.features, other.features)


def test_an_open_mask_ignores_encoder_and_target(fusion, inputs) -> None:
    target, z_enc, z_dec, vector = inputs
    with torch.no_grad():
        fusion.mask_head.weight.zero_()
        fusion.mask_head.bias.fill_(100.0)
        opened = fusion(target, z_enc, z_dec, vector)
        other = fusion(torch.rand_like(target), torch.randn_like(z_enc), z_dec, vector)
    torch.testing.assert_close(opened.image_low, other.image_low)
    torch.testing.assert_close(opened.features, other.features)


def test_the_mask_is_made_from_raw_decoder_features(fusion, inputs) -> None:
    target, z_enc, z_dec, vector = inputs
    expected = torch.sigmoid(fusion.mask_head(z_dec))
    torch.testing.assert_close(fusion(target, z_enc, z_dec, vector).mask_low, expected)


def test_features_leave_activated(fusion, inputs) -> None:
    """F_up of the reference starts from what the low head's in-place activation left behind."""
    captured = []
    fusion.blocks[-1].register_forward_hook(lambda module, args, out: captured.append(out.clone()))
    features = fusion(*inputs).features
    torch.testing.assert_close(features, leaky(captured[0]))


@pytest.mark.parametrize(("how", "offset"), [("nearest", 0), ("bilinear", 1)])
def test_reduced_target_is_one_pixel_or_the_central_four(how: str, offset: int) -> None:
    fusion = SemanticFusion(replace(PARAMS, low_target=how), 4, 4)
    target = torch.rand(1, 3, 32, 32)
    if how == "nearest":
        expected = target[:, :, ::4, ::4]
    else:
        expected = sum(target[:, :, 1 + dy :: 4, 1 + dx :: 4] for dy in (0, 1) for dx in (0, 1)) / 4
    torch.testing.assert_close(fusion.reduce(target), expected)


def test_joint_heads_equal_separate_ones() -> None:
    torch.manual_seed(0)
    upsampler = Upsampler(replace(PARAMS, pixel_shuffle=1, shuffle_channels=0, upsampler=()), CHANNELS)
    features = torch.randn(2, CHANNELS, 8, 8)
    nothing = torch.empty(0)  # stem, target and vector are for the gates, which this one has not
    image, mask = upsampler(features, nothing, nothing, nothing)
    torch.testing.assert_close(image, upsampler.image_head(leaky(features)))
    torch.testing.assert_close(mask, torch.sigmoid(upsampler.mask_head(leaky(features))))


def test_pixel_shuffle_starts_without_a_checkerboard() -> None:
    torch.manual_seed(0)
    subpixel = Generator(PARAMS).upsampler.subpixel
    out = torch.nn.functional.pixel_shuffle(subpixel(torch.randn(1, subpixel.in_channels, 8, 8)), 2)
    doubled = out[:, :, ::2, ::2].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(out, doubled)
