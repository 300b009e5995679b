"""VGG-16 and the LPIPS heads: two files under their published names, one list of features."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hififace.errors import WeightsError
from hififace.models.pretrained import vgg_lpips
from hififace.models.pretrained.vgg_lpips import VggFeatures, load_vgg_lpips

WIDTH = 2
CHANNELS = [2, 4, 8, 16, 16]


def _small(**options: bool) -> VggFeatures:
    torch.manual_seed(0)
    return VggFeatures(width=WIDTH, **options).eval()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setattr(vgg_lpips, "VggFeatures", lambda **options: VggFeatures(width=WIDTH, **options))
    vgg, heads = tmp_path / "vgg16.pth", tmp_path / "vgg.pth"
    torch.save({**_small().state_dict(), "classifier.0.weight": torch.zeros(2, 2)}, vgg)
    torch.save(
        {f"lin{i}.model.1.weight": torch.full((1, c, 1, 1), i + 1.0) for i, c in enumerate(CHANNELS)}, heads
    )
    return vgg, heads


def test_names_are_torchvisions() -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in VggFeatures().state_dict().items()}
    layers = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    assert list(shapes) == [f"features.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    assert shapes["features.0.weight"] == (64, 3, 3, 3)
    assert shapes["features.28.weight"] == (512, 512, 3, 3)


def test_features_are_taken_after_the_last_activation_of_each_stage() -> None:
    features = _small()(torch.rand(1, 3, 32, 32))
    assert [tuple(f.shape[1:]) for f in features] == [(c, 32 >> i, 32 >> i) for i, c in enumerate(CHANNELS)]
    assert all(f.min() == 0 for f in features), "a ReLU comes last"


def test_the_reference_hands_in_pictures_without_changing_their_range() -> None:
    images = torch.rand(1, 3, 32, 32)
    proper, quirk = _small(), _small(like_reference=True)
    for ours, theirs in zip(proper(images), quirk(2 * images - 1), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_both_files_are_loaded(files: tuple[Path, Path]) -> None:
    network = load_vgg_lpips(*files)
    assert [head.unique().tolist() for head in network.heads] == [[1.0], [2.0], [3.0], [4.0], [5.0]]
    expected = _small()(torch.ones(1, 3, 32, 32))
    for ours, theirs in zip(network(torch.ones(1, 3, 32, 32)), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_files_given_the_wrong_way_round_are_refused(files: tuple[Path, Path]) -> None:
    vgg, heads = files
    with pytest.raises(WeightsError, match=r"vgg\.pth does not hold the weights of VGG-16"):
        load_vgg_lpips(heads, vgg)
    with pytest.raises(WeightsError, match="LPIPS's linear heads"):
        load_vgg_lpips(vgg, vgg)
