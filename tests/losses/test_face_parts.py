"""Eyes and mouth as a map, and gradients through it."""

from __future__ import annotations

import json

import pytest
import torch

from hififace.losses.face_parts import EyesAndMouth, damped_within, found_twice, only_within
from hififace.weights.store import embedded_path

GROUPS = json.loads(embedded_path("face_mesh.json").read_text(encoding="utf-8"))["groups"]


def face(side: int = 64) -> torch.Tensor:
    """(1, 468, 3) all at the chin but eyes of 12 x 4 px at (20, 24), (44, 24) and a mouth of 16 x 6 at (32, 46)."""
    points = torch.full((1, 468, 3), side * 0.9)
    for name, (x, y, wide, high) in {
        "image_left_eye": (20, 24, 12, 4),
        "image_right_eye": (44, 24, 12, 4),
        "lips_outer": (32, 46, 16, 6),
    }.items():
        indices = sorted(GROUPS[name])
        turn = torch.linspace(0, 2 * torch.pi, len(indices) + 1)[:-1]
        ring = torch.stack([turn.cos(), turn.sin()], dim=1)
        ring = ring / ring.abs().amax(dim=0)
        points[0, indices, :2] = torch.tensor([x, y]) + ring * torch.tensor([wide / 2, high / 2])
    return points


def test_the_map_is_one_on_eyes_and_mouth_and_nought_elsewhere():
    region = EyesAndMouth(GROUPS, 64)(face())
    assert region.shape == (1, 1, 64, 64)
    assert [float(region[0, 0, y, x]) for x, y in ((20, 24), (44, 24), (32, 46))] == [1.0, 1.0, 1.0]
    # Forehead, nose, cheek, chin, corner.
    assert [float(region[0, 0, y, x]) for x, y in ((32, 6), (32, 34), (8, 46), (32, 60), (0, 0))] == [0.0] * 5
    # Soft: some pixels lie between, and none beyond.
    assert ((region > 0) & (region < 1)).any()
    assert region.min() == 0
    assert region.max() == 1


def test_an_eye_is_widened_by_its_margins():
    """12 px wide and 35 % more in all: 8.1 px on each side of the middle, 1 up to there, 0 from 10.1 on."""
    row = EyesAndMouth(GROUPS, 64)(face())[0, 0, 24]
    assert row[28] == 1  # 8 px from the middle
    assert 0 < row[29] < 1
    assert row[31] == 0


def test_gradients_pass_where_they_should():
    region = EyesAndMouth(GROUPS, 64)(face())
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    limited = only_within(images, region)
    assert torch.equal(limited, images)
    (gradient,) = torch.autograd.grad(limited.sum(), images)
    assert torch.allclose(gradient, region.expand_as(images))
    damped = damped_within(images, region, 0.3)
    assert torch.allclose(damped, images)
    (gradient,) = torch.autograd.grad(damped.sum(), images)
    assert gradient[0, 0, 24, 20] == pytest.approx(0.3)
    assert gradient[0, 0, 6, 32] == 1


def test_one_pass_gives_the_answers_and_gradients_of_two():
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Flatten())
    network.requires_grad_(False)
    region = EyesAndMouth(GROUPS, 64)(face())
    weights = torch.randn(2, 4 * 62 * 62)
    gradients, answers, passes = [], [], []
    network.register_forward_hook(lambda *_: passes.append(1))
    for once in (False, True):
        images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)).requires_grad_(True)
        if once:
            passes.clear()
            found = found_twice(network, images, region)
        else:
            found = network(images), network(only_within(images, region))
        answers.append([part.detach() for part in found])
        (found[0] * weights[0] + found[1].square() * weights[1]).sum().backward()
        gradients.append(images.grad)
    assert len(passes) == 1
    for one, two in zip(*answers, strict=True):
        torch.testing.assert_close(one, two)
    torch.testing.assert_close(gradients[1], gradients[0])
    assert (
        float((gradients[0] - images.grad * region).abs().max()) > 0.01
    )  # the first answer reaches all pixels
