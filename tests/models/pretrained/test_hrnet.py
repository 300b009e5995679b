"""HRNet-W18: the published names, the shapes, and the two ways to feed it."""

from __future__ import annotations

import torch

from hififace.models.pretrained.hrnet import INNER_LIPS, MOUTH, OUTER_LIPS, PUPILS, HRNet
from tests.support.seeded_weights import reference_shapes


def _small(**options: bool) -> HRNet:
    torch.manual_seed(0)
    return HRNet(widths=(2, 3, 4, 5), num_modules=(1, 1, 1), num_blocks=1, **options).eval()


def test_names_and_shapes_are_those_of_the_published_file() -> None:
    with torch.device("meta"):
        state = HRNet().state_dict()
    assert [(key, tuple(value.shape)) for key, value in state.items()] == list(
        reference_shapes("hrnet").items()
    )


def test_maps_are_a_quarter_of_the_crop_and_carry_gradients() -> None:
    faces = torch.rand(1, 3, 64, 64, requires_grad=True)
    maps = _small()(faces)
    assert maps.shape == (1, 98, 16, 16)
    maps[:, PUPILS].sum().backward()
    assert faces.grad is not None
    assert faces.grad.abs().sum() > 0


def test_normalisation_is_the_only_difference_between_the_two_habits() -> None:
    plain, normalising = _small(normalise=False), _small(normalise=True)
    faces = torch.rand(1, 3, 64, 64)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    with torch.no_grad():
        assert torch.allclose(normalising(faces), plain((faces - mean) / std), atol=1e-5)
        assert not torch.allclose(normalising(faces), plain(faces), atol=1e-3)


def test_points_are_the_centres_of_the_brightest_cells() -> None:
    network = _small()
    maps = torch.zeros(1, 98, 64, 64)
    maps[0, :, 10, 20] = 1.0
    network.forward = lambda faces: maps  # type: ignore[method-assign]
    points = network.points(torch.zeros(1, 3, 256, 256))
    assert torch.equal(points, torch.tensor([81.5, 41.5]).expand(1, 98, 2)), "cell 20 covers columns 80 to 83"


def test_groups_of_points_are_those_of_wflw() -> None:
    points = list(range(98))
    assert points[MOUTH] == points[OUTER_LIPS] + points[INNER_LIPS]
    assert points[PUPILS] == [96, 97]
