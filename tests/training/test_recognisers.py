"""The recognisers of a step: who is asked, and where each looks."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hififace.errors import WeightsError
from hififace.faces.templates import TEMPLATES
from hififace.models.pretrained.resampling import apply_affine
from hififace.training import recognisers
from hififace.training.recognisers import arcface_map, make_recognisers

CARD = SimpleNamespace(resolution=256, template="mini_128")


class Seen(nn.Module):
    """Keeps what it is shown; answers with its mean."""

    def forward(self, faces):
        self.faces = faces
        return faces.mean((2, 3))


def test_the_five_points_come_to_lie_near_arcfaces_from_either_side():
    points = TEMPLATES["mini_128"].scaled(256).points
    whole = apply_affine(arcface_map(CARD, 256), torch.tensor(points)[None])[0]
    halved = apply_affine(arcface_map(CARD, 128), torch.tensor((points + 0.5) / 2 - 0.5)[None])[0]
    torch.testing.assert_close(whole, halved, atol=1e-3, rtol=0)
    apart = (whole - torch.tensor(TEMPLATES["arcface_112"].points)).norm(dim=1)
    assert float(apart.max()) < 2.0  # the two templates are no similar figures


def test_each_recogniser_looks_at_the_side_it_needs(monkeypatch):
    monkeypatch.setattr(recognisers, "locate_in", lambda files, card: card.filename)
    monkeypatch.setattr(recognisers, "load_mobilefacenet", lambda path: Seen())
    monkeypatch.setattr(recognisers, "load_faceres", lambda weights, layout: Seen())
    found = make_recognisers(Seen(), ("mobilefacenet", "faceres"), CARD, torch.device("cpu"), None)
    assert [one.name for one in found] == ["sface", "mobilefacenet", "faceres"]
    # A bright right half: every network has the same share of it, on an image of its own side.
    crops = torch.zeros(1, 3, 256, 256)
    crops[..., 128:] = 1.0
    shares = [float(one.embed(crops).mean()) for one in found]
    assert [one.network.faces.shape[-1] for one in found] == [112, 112, 224]
    assert shares == pytest.approx([shares[0]] * 3, abs=0.01)
    assert 0.45 < shares[0] < 0.55
    torch.manual_seed(0)
    moved = found[2].embed_views(crops.expand(4, -1, -1, -1), 1.0)
    assert moved.std() > 0.001


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"faceres-deep\.bin|faceres"):
        make_recognisers(Seen(), ("faceres",), CARD, torch.device("cpu"), tmp_path / "none")
