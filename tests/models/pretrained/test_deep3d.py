"""Deep3DFaceRecon: names of the coefficients, and loading its file. Its numbers are checked in test_published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hififace.errors import WeightsError
from hififace.models.pretrained.deep3d import NUM_COEFFICIENTS, Deep3D, FaceCoefficients, load_deep3d
from tests.support.published_doubles import small_deep3d


def test_names_follow_the_published_order() -> None:
    flat = torch.arange(float(NUM_COEFFICIENTS))[None]
    named = FaceCoefficients.from_flat(flat)
    starts = {name: int(getattr(named, name)[0, 0]) for name in named._fields}
    assert starts == {
        "identity": 0,
        "expression": 80,
        "texture": 144,
        "angles": 224,
        "light": 227,
        "translation": 254,
    }
    assert torch.equal(named.flat(), flat)


def test_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="257"):
        FaceCoefficients.from_flat(torch.zeros(1, 256))


def test_fusion_takes_shape_from_the_source_and_all_else_from_the_target() -> None:
    source, target = (FaceCoefficients.from_flat(torch.full((1, 257), value)) for value in (1.0, 2.0))
    fused = target.with_identity_of(source).flat()
    assert fused[:, :80].eq(1.0).all()
    assert fused[:, 80:].eq(2.0).all()


def test_any_size_gives_coefficients_and_lets_gradients_through() -> None:
    network = small_deep3d().eval()
    faces = torch.rand(2, 3, 64, 64, requires_grad=True)
    coefficients = network(faces)
    assert [tuple(part.shape) for part in coefficients] == [(2, n) for n in (80, 64, 80, 3, 27, 3)]
    assert network(torch.rand(1, 3, 96, 96)).flat().shape == (1, 257)
    coefficients.flat().sum().backward()
    assert faces.grad is not None
    assert faces.grad.abs().sum() > 0


def test_the_published_file_keeps_its_weights_one_level_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hififace.models.pretrained.deep3d.Deep3D", small_deep3d)
    state = small_deep3d().state_dict()
    torch.save({"net_recon": state, "opt_00": {"lr": 1e-4}}, tmp_path / "epoch_20.pth")
    network = load_deep3d(tmp_path / "epoch_20.pth")
    assert isinstance(network, Deep3D)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    torch.save(state, tmp_path / "bare.pth")
    with pytest.raises(WeightsError, match="holds no 'net_recon'"):
        load_deep3d(tmp_path / "bare.pth")
