"""ArcFace's IResNet: depths, preprocessing, loading. The 100-layer numbers are checked in test_published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from hififace.errors import WeightsError
from hififace.models.pretrained.arcface import BLOCKS, ArcFace, load_arcface
from tests.support.published_doubles import small_arcface


@pytest.mark.parametrize(("num_layers", "num_convolutions"), [(18, 17), (34, 33), (50, 49), (100, 99)])
def test_depths_count_as_their_names_say(num_layers: int, num_convolutions: int) -> None:
    """Convolutions on the main path, and the one linear layer, make the number in the name."""
    with torch.device("meta"):
        network = ArcFace(num_layers)
    main = [name for name in network.state_dict() if "conv" in name and name.endswith("weight")]
    assert len(main) == num_convolutions


def test_another_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="IResNet-42; choose among 18, 34, 50, 100"):
        ArcFace(42)
    assert set(BLOCKS) == {18, 34, 50, 100}


def test_a_larger_crop_is_resized_as_the_reference_does() -> None:
    network = small_arcface().eval()
    crop = torch.rand(2, 3, 256, 256)
    resized = F.interpolate((crop - 0.5) / 0.5, size=(112, 112), mode="bicubic", align_corners=False)
    with torch.no_grad():
        assert torch.allclose(network(crop), network(resized / 2 + 0.5), atol=1e-5)


def test_identity_vectors_have_unit_length_and_carry_gradients() -> None:
    network = small_arcface().eval()
    faces = torch.rand(2, 3, 112, 112, requires_grad=True)
    vectors = network.identity(faces)
    assert vectors.shape == (2, 512)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2))
    vectors[:, 0].sum().backward()
    assert faces.grad is not None
    assert faces.grad.abs().sum() > 0


def test_a_file_of_another_depth_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hififace.models.pretrained.arcface.WIDTHS", (2, 4, 4, 4))
    small = small_arcface()
    torch.save(small.state_dict(), tmp_path / "backbone.pth")
    with pytest.raises(WeightsError, match=r"weights of ArcFace IResNet-34; .* missing \(layer"):
        load_arcface(tmp_path / "backbone.pth", num_layers=34)
