import pytest
import torch

from hififace.training.degrade import (
    CHIN,
    LEFT_EYE,
    LEFT_JAW,
    RIGHT_EYE,
    RIGHT_JAW,
    dim,
    draw_occluders,
    warp_outline,
)

SIDE = 64


@pytest.fixture
def points():
    found = torch.full((2, 468, 2), 32.0)
    for point, place in {
        LEFT_EYE: (20, 24), RIGHT_EYE: (44, 24), CHIN: (32, 60), LEFT_JAW: (16, 50), RIGHT_JAW: (48, 50),
    }.items():  # fmt: skip
        found[:, point] = torch.tensor(place, dtype=torch.float32)
    return found


def ramp(axis):
    steps = torch.arange(SIDE, dtype=torch.float32) / SIDE
    shape = (1, 1, 1, SIDE) if axis == "x" else (1, 1, SIDE, 1)
    return steps.view(shape).expand(2, 3, SIDE, SIDE).contiguous()


def test_an_outline_that_is_not_changed_is_the_image_itself(points):
    image = torch.rand(2, 3, SIDE, SIDE)
    torch.testing.assert_close(
        warp_outline(image, points, torch.zeros(2), torch.zeros(2)), image, atol=1e-5, rtol=0
    )


def test_a_narrower_jaw_shows_at_its_angle_what_lay_a_tenth_further_out(points):
    image = ramp("x")
    changed = warp_outline(image, points, torch.tensor([0.1, -0.1]), torch.zeros(2))
    moved = (changed - image)[:, 0] * SIDE
    # At the jaw's angle u = 1 and v = 0.72: 0.1 of half a width of 16 px.
    assert moved[0, 50, 48].item() == pytest.approx(1.6, abs=0.05)
    assert moved[1, 50, 48].item() == pytest.approx(-1.6, abs=0.05)
    assert moved[0, 50, 16].item() == pytest.approx(-1.6, abs=0.05)


def test_eyes_nose_and_mouth_stay(points):
    image = torch.rand(2, 3, SIDE, SIDE)
    changed = warp_outline(image, points, torch.full((2,), 0.1), torch.full((2,), 0.05))
    torch.testing.assert_close(changed[:, :, :27], image[:, :, :27], atol=1e-4, rtol=0)  # eyes and above
    torch.testing.assert_close(changed[:, :, :49, 27:38], image[:, :, :49, 27:38], atol=1e-4, rtol=0)


def test_a_longer_chin_shows_at_its_end_what_lay_above(points):
    image = ramp("y")
    changed = warp_outline(image, points, torch.zeros(2), torch.tensor([-0.05, 0.05]))
    moved = (changed - image)[:, 0, 60, 32] * SIDE
    assert moved.tolist() == pytest.approx([-1.8, 1.8], abs=0.05)  # 5 % of 36 px


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_so_many_pictures_get_an_occluder(share):
    torch.manual_seed(2)
    things = draw_occluders(torch.rand(16, 3, SIDE, SIDE), share)
    assert things.cover.shape == (16, 1, SIDE, SIDE)
    assert things.look.shape == (16, 3, SIDE, SIDE)
    most = things.cover.amax(dim=(1, 2, 3))
    assert (most > 0.5).float().mean().item() == pytest.approx(share, abs=0.2)
    assert 0 <= float(things.cover.min()) <= float(things.cover.max()) <= 1
    if not share:
        assert float(most.max()) == 0
    else:
        assert float(things.cover.mean()) < 0.4  # no occluder hides the whole face


def test_light_is_a_factor_between_the_darkest_and_one():
    torch.manual_seed(2)
    light = dim(torch.ones(200, 1, 4, 4), 0.5, 0.4)
    factors = light[:, 0, 0, 0]
    assert torch.equal(light, factors.view(-1, 1, 1, 1).expand_as(light))
    assert (factors < 1).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert 0.4 <= float(factors.min()) < 0.5
    assert torch.equal(dim(torch.ones(8, 1, 4, 4), 0.0, 0.4), torch.ones(8, 1, 4, 4))
