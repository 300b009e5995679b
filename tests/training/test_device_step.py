"""The step that never waits: every term's value, no look at a number on the host, fixed shapes."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional as F

from hififace.losses.adversarial import discriminator_loss
from hififace.losses.averaging import batch_mean
from hififace.losses.identity import cosine
from hififace.losses.perceptual import feature_l1_distance
from hififace.models.generator import GeneratorOutput
from hififace.training import device_step
from hififace.training.device_config import BandConfig
from hififace.training.going_back import Watch
from tests.support.device_doubles import EMBEDDING, SIDE, made_up_step, rows_of
from tests.support.waiting import NoWaiting

NAMES = ("sface", "mobilefacenet")


@pytest.fixture
def step():
    made = made_up_step()
    made.set_rates(1e-3, 1e-3, 1.0)
    return made


def test_the_dispatch_mode_sees_what_it_forbids():
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NoWaiting():
        float(torch.ones(()) * 2)
    some = torch.ones(3) > 0
    with pytest.raises(AssertionError, match="nonzero"), NoWaiting():
        some.nonzero()
    with pytest.raises(AssertionError, match="lift_fresh"), NoWaiting():
        torch.tensor([1, 2])
    with pytest.raises(AssertionError, match="a mask"), NoWaiting():
        torch.ones(3)[some]


def test_no_step_waits_and_all_have_the_same_shapes(step):
    for phase in (step.run, step.warm_up):
        phase(rows_of(step, 0), 0)
    shapes = []
    for number in (2, 4):
        rows = rows_of(step, number)
        with NoWaiting() as mode:
            step.run(rows, number)
            step.warm_up(rows, number)
        shapes.append(mode.shapes)
    assert len(shapes[0]) > 1000
    assert shapes[0] == shapes[1]


def test_a_step_changes_every_network_and_moves_the_average_by_its_share(step):
    before = copy.deepcopy(step.networks)
    average = copy.deepcopy(step.average)
    step.run(rows_of(step), 1)
    for old, new in zip(before, step.networks, strict=True):
        changed = [not torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True)]
        assert sum(changed) > 0.9 * len(changed)
    share = 1 - 0.5 ** (1 / step.settings.average_half_life)
    for old, now, new in zip(
        average.parameters(), step.average.parameters(), step.networks.generator.parameters(), strict=True
    ):
        torch.testing.assert_close(now, torch.lerp(old, new, share))


def test_gradients_of_both_sides_are_those_of_two_separate_passes():
    """The discriminators look once a step: each side's gradient is what a pass of its own would give it."""
    step = made_up_step()
    step.set_rates(0.0, 0.0, 0.5)
    torch.manual_seed(9)
    step.run(rows_of(step), 1)
    shared = [[p.grad.clone() for p in network.parameters()] for network in step.networks]

    torch.manual_seed(9)
    crops, seen, vector = step._batch()
    output = step.networks.generator(seen, vector)
    region = step.gain(crops.landmarks[:4])
    terms = step._pixel_terms(output, crops)
    terms |= step._identity_terms(output.image[:4], region)
    terms |= step._landmark_terms(output.image[:4], region, crops)
    place = torch.get_rng_state()
    against = step._adversarial_terms(step._score(output.image, crops))
    total = step._weighted(terms) + 0.5 * step._weighted(against)
    generator = list(step.networks.generator.parameters())
    separate = [torch.autograd.grad(total, generator)]
    torch.set_rng_state(place)
    views = step._score(output.image.detach(), crops)
    total = sum(discriminator_loss(v.on_real.logits, v.on_fake.logits).total for v in views)
    for network in (step.networks.fine, step.networks.coarse):
        separate.append(torch.autograd.grad(total, list(network.parameters()), retain_graph=True))
    for ours, theirs in zip(shared, separate, strict=True):
        size = torch.cat([g.flatten() for g in theirs]).norm()
        assert float(size) > 0
        difference = torch.cat([(a - b).flatten() for a, b in zip(ours, theirs, strict=True)]).norm()
        assert float(difference / size) < 1e-4


def test_the_penalty_looks_at_the_photos_of_the_batch():
    step = made_up_step(occluded=0.0, dimmed=0.0)
    step.rows.copy_(rows_of(step, 3))
    crops, _, _ = step._batch()
    torch.testing.assert_close(step._photos(), crops.image)


def test_rates_of_zero_change_nothing(step):
    before = copy.deepcopy(step.networks)
    step.set_rates(0.0, 0.0, 0.0)
    step.run(rows_of(step), 0)
    for old, new in zip(before, step.networks, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))


def test_self_pairs_are_asked_for_their_photo_and_shown_something_else(step):
    step.rows.copy_(rows_of(step))
    crops, seen, vector = step._batch()
    rows, flips = step.rows[8:16].long(), step.rows[-18:][8:16].bool()
    photos = step.data.crops(rows, flips).image
    quiet = made_up_step(occluded=0.0, dimmed=0.0)
    quiet.rows.copy_(rows_of(quiet))
    crops, seen, vector = quiet._batch()
    torch.testing.assert_close(crops.image, photos)
    torch.testing.assert_close(seen[:4], photos[:4])  # two people: the target as it is
    assert all(not torch.allclose(seen[slot], photos[slot], atol=1e-2) for slot in quiet.slots.strangers)
    assert vector.shape == (8, 4 + 3 + 3 + EMBEDDING)
    torch.testing.assert_close(vector[:, -EMBEDDING:], quiet.data.identity[quiet.rows[:8].long()])


def test_vectors_ask_again_for_a_part_of_what_first_results_lack():
    plain, again = made_up_step(), made_up_step(feedback=0.7)
    found = []
    for one in (plain, again):
        one.rows.copy_(rows_of(one))
        torch.manual_seed(5)
        found.append(one._batch()[1:])
    (seen, vector), (same, asked) = found
    torch.testing.assert_close(same, seen, rtol=0, atol=0)
    torch.testing.assert_close(asked[:, :-EMBEDDING], vector[:, :-EMBEDDING], rtol=0, atol=0)
    first = plain.average(seen, vector).image.clamp(0.0, 1.0)
    lack = vector[:, -EMBEDDING:] - F.normalize(plain.recognisers[0].embed(first), dim=1)
    moved = (asked - vector)[:, -EMBEDDING:]
    share = (moved * lack).sum(1) / (lack * lack).sum(1)
    torch.testing.assert_close(moved, share[:, None] * lack, rtol=1e-3, atol=1e-4)
    assert 0.0 <= float(share.min()) < float(share.max()) <= 0.7


def test_asking_again_does_not_wait_either():
    step = made_up_step(feedback=0.7)
    step.set_rates(1e-3, 1e-3, 1.0)
    step.run(rows_of(step, 0), 0)
    rows = rows_of(step, 2)
    with NoWaiting():
        step.run(rows, 2)


@pytest.fixture
def shown(step):
    """A batch, and an output that is the target, a little brighter, under a mask of one half."""
    step.rows.copy_(rows_of(step))
    crops, _, _ = step._batch()
    image = (crops.image + 0.1).requires_grad_(True)
    low = F.avg_pool2d(image, 4)
    half = torch.full((8, 1, SIDE, SIDE), 0.5)
    return crops, GeneratorOutput(image, low, half, F.avg_pool2d(half, 4))


def test_the_pixel_terms_have_their_values(step, shown):
    crops, output = shown
    terms = step._pixel_terms(output, crops)
    dilated = F.max_pool2d(crops.mask, 11, 1, 5)
    terms = {name: value.detach() for name, value in terms.items()}
    assert float(terms["segmentation"]) == pytest.approx(float((0.5 - dilated).abs().mean()), abs=0.02)
    # Half of (0.1 at full size + 0.1 at low size): pairs of two people count as zeros.
    assert float(terms["reconstruction"]) == pytest.approx(0.1, abs=1e-3)
    own = step.slots.self_pairs
    ours, theirs = (
        step.loss_networks.feature_maps(output.image[own]),
        step.loss_networks.feature_maps(crops.image[own]),
    )
    expected = 0.5 * batch_mean(feature_l1_distance(ours, theirs))
    torch.testing.assert_close(terms["perceptual"], expected.detach())
    assert 0 < float(terms["colour"]) <= 0.11


def test_identity_is_silent_once_it_is_enough_and_leak_below_its_margin(step, shown):
    crops, output = shown
    terms = step._identity_terms(output.image[:4], step.gain(crops.landmarks[:4]))
    found = {name: float(value) for name, value in step.stats.items()}
    assert all(-1 <= found[f"{kind}_{number}"] <= 1 for kind in ("cosine", "left") for number in (0, 1))
    free = made_up_step(enough=dict.fromkeys(NAMES, -1.0), leak_margin=dict.fromkeys(NAMES, 1.0))
    free.source_rows, free.target_rows = step.source_rows, step.target_rows
    silent = free._identity_terms(output.image[:4], free.gain(crops.landmarks[:4]))
    assert float(terms["identity"]) > 0
    assert float(silent["identity"]) == float(silent["leak"]) == 0


def test_identity_of_a_photo_with_itself_is_its_cosine(step, shown):
    """Both recognisers know the photo exactly where they look at the same pixels as when it was described."""
    crops, output = shown
    still = made_up_step(identity_jitter=0.0, enough=dict.fromkeys(NAMES, 1.0))
    still.rows.copy_(step.rows)
    still._batch()
    torch.manual_seed(5)
    still._identity_terms(output.image[:4], still.gain(crops.landmarks[:4]))
    from hififace.models.pretrained.resampling import resample_affine
    from hififace.training.mesh_loss_networks import random_views

    torch.manual_seed(5)
    view = random_views(still.recognisers[0].to_arcface, 4, 0.0)
    vectors = still.loss_networks.sface(resample_affine(output.image[:4] - 0.5, view, 112) + 0.5)
    expected = cosine(still.known[0][still.source_rows[:4]], vectors).mean()
    torch.testing.assert_close(still.stats["cosine_0"], expected.detach())


def test_identity_reaches_eyes_and_mouth_with_its_share_only(shown):
    crops, _ = shown
    gradients = []
    for share in (1.0, 0.4):
        made = made_up_step(identity_jitter=0.0, identity_in_eyes_and_mouth=share)
        made.rows.copy_(rows_of(made))
        made._batch()
        image = crops.image[:4].clone().requires_grad_(True)
        torch.manual_seed(1)
        terms = made._identity_terms(image, made.gain(crops.landmarks[:4]))
        (terms["identity"] + terms["leak"]).backward()
        gradients.append(image.grad)
    region = made.gain(crops.landmarks[:4])
    torch.testing.assert_close(gradients[1], gradients[0] * (1 - 0.6 * region))
    assert 0.02 < float(region.mean()) < 0.5


def test_attributes_move_only_pixels_of_eyes_and_mouth_and_the_outline_all(step, shown):
    crops, output = shown
    image = output.image[:4].detach().clone().requires_grad_(True)
    terms = step._landmark_terms(image, step.gain(crops.landmarks[:4]), crops)
    assert set(terms) == {"outline", "inside", "eyelids", "lips", "gaze"}
    inner = sum(terms[name] for name in ("eyelids", "lips", "gaze"))
    (gradient,) = torch.autograd.grad(inner, image, retain_graph=True)
    outside = step.gain(crops.landmarks[:4]).expand_as(image) == 0
    assert float(gradient[outside].abs().max()) == 0
    assert float(gradient[~outside].abs().max()) > 0
    (gradient,) = torch.autograd.grad(terms["outline"], image)
    assert float(gradient[outside].abs().max()) > 0


def test_the_points_asked_for_are_the_targets_moved_by_the_sources_shape(step, shown):
    crops, _ = shown
    wanted = step._wanted_points(crops.coefficients[:4], crops.landmarks[:4])
    moved = wanted - crops.landmarks[:4]
    expected = step.source_coefficients[:4, :2] - crops.coefficients[:4, :2]
    torch.testing.assert_close(moved[:, 7, :2], expected)
    same = step._wanted_points(step.source_coefficients[:4], crops.landmarks[:4])
    torch.testing.assert_close(same, crops.landmarks[:4])


def test_the_fine_discriminator_sees_sharp_targets_and_the_coarse_one_clear_ones(step):
    step.rows.copy_(rows_of(step))
    assert step.fine_slots.tolist() == [0, 1, 4, 5]
    assert step.coarse_slots.tolist() == list(range(7))
    (fine_name, _, fine), (coarse_name, _, coarse) = step._views(torch.zeros(8, 3, SIDE, SIDE))
    assert (fine_name, coarse_name) == ("fine", "coarse")
    assert fine[0].shape == (4, 3, 96, 96)
    assert coarse[0].shape == (7, 3, SIDE, SIDE)


def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted(step):
    step.run(rows_of(step), 1)
    step.read_stats()
    before = [p.detach().clone() for p in step.networks.generator.parameters()]
    generator = step.networks.generator
    for parameter in generator.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    step.set_rates(1e-3, 1e-3, 1.0)
    norm = step._update(step.generator_adam, generator)
    assert float(norm) == 0
    assert step.read_stats()["skipped"] == 1
    for old, new in zip(before, generator.parameters(), strict=True):
        assert torch.isfinite(new).all()
        assert float((old - new.detach()).abs().max()) < 0.01  # momentum alone


def test_gradients_are_clipped_to_their_norm():
    step = made_up_step(gradient_clip=1.0)
    generator = step.networks.generator
    for parameter in generator.parameters():
        parameter.grad = torch.ones_like(parameter)
    count = sum(p.numel() for p in generator.parameters())
    norm = step._update(step.generator_adam, generator)
    assert float(norm) == pytest.approx(count**0.5, rel=1e-4)
    clipped = torch.cat([p.grad.flatten() for p in generator.parameters()])
    assert float(clipped.norm()) == pytest.approx(1.0, rel=1e-4)


def test_statistics_are_means_since_the_last_reading(step):
    for value in (1.0, 3.0):
        step._note("x", torch.tensor(value))
    assert step.read_stats()["x"] == 2.0
    step._note("x", torch.tensor(5.0))
    assert step.read_stats()["x"] == 5.0


def test_one_recogniser_is_enough():
    step = made_up_step()
    step.recognisers, step.known = step.recognisers[:1], step.known[:1]
    step.set_rates(1e-3, 1e-3, 1.0)
    step.run(rows_of(step), 0)
    values = step.read_stats()
    assert "cosine_0" in values
    assert "cosine_1" not in values


class Rehearsed:
    """A graph as it is on a GPU: recording does nothing, every replay does all. Here it asks the phase again."""

    def __init__(self, phase):
        self.phase, self.replays = phase, 0

    def replay(self):
        self.replays += 1
        self.phase()


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request, monkeypatch):
    """The GPU, where these tests belong; on every other machine their bodies are rehearsed on the CPU."""
    if request.param == "cpu":
        monkeypatch.setattr(device_step, "record_graph", Rehearsed)
        monkeypatch.setattr(device_step, "side_stream", nullcontext)
    return request.param


@pytest.mark.parametrize("every", [1, 2])
def test_graphs_give_the_losses_of_eager_steps(device, every):
    """Three steps each, from equal weights and equal random numbers."""
    found = []
    for graphs in (False, True):
        step = made_up_step(
            device=device,
            occluded=0.0,
            dimmed=0.0,
            warp=(0.0, 0.0),
            identity_jitter=0.0,
            discriminator_every=every,
        )
        step.set_rates(0.0, 0.0, 1.0)
        step.run(rows_of(step, 0), 0)
        if graphs:
            step.capture()
            kinds = {"warm-up", "penalty", "step", *(("generator",) if every > 1 else ())}
            assert step.graphs.keys() == kinds
        step.read_stats()
        for number in range(3):
            step.run(rows_of(step, number), number)
        found.append(step.read_stats())
    for name in (
        "reconstruction",
        "segmentation",
        "perceptual",
        "identity",
        "leak",
        "outline",
        "gaze",
    ):
        assert found[1][name] == pytest.approx(found[0][name], rel=1e-3, abs=1e-5), name


def test_rates_reach_a_captured_graph(device):
    step = made_up_step(device=device)
    step.set_rates(0.0, 0.0, 1.0)
    step.run(rows_of(step, 0), 0)
    step.capture()
    before = [p.detach().clone() for p in step.networks.generator.parameters()]
    step.run(rows_of(step, 1), 1)
    assert all(torch.equal(a, b) for a, b in zip(before, step.networks.generator.parameters(), strict=True))
    step.set_rates(1e-3, 1e-3, 1.0)
    step.run(rows_of(step, 1), 1)
    assert any(
        not torch.equal(a, b) for a, b in zip(before, step.networks.generator.parameters(), strict=True)
    )


def test_a_state_that_is_gone_back_to_is_what_graphs_go_on_from(device):
    """Restored in place: a replay reads the weights where they were when it was recorded."""
    step = made_up_step(device=device)
    step.set_rates(0.0, 0.0, 1.0)
    step.run(rows_of(step, 0), 0)
    step.capture()
    watch = Watch(step, BandConfig(identity=(0.3, 0.8), patience=1))
    assert watch.look({"cosine_0": 0.5}) is None
    good = [p.detach().clone() for p in step.networks.generator.parameters()]
    step.set_rates(1e-3, 1e-3, 1.0)
    step.run(rows_of(step, 1), 1)
    assert watch.look({"cosine_0": 0.1}) is not None
    step.set_rates(0.0, 0.0, 1.0)
    step.run(rows_of(step, 2), 3)
    assert all(torch.equal(a, b) for a, b in zip(good, step.networks.generator.parameters(), strict=True))


def test_bfloat16_gives_nearly_the_losses_of_float32(device):
    found = []
    for half in (False, True):
        step = made_up_step(device=device, occluded=0.0, dimmed=0.0, warp=(0.0, 0.0), identity_jitter=0.0)
        step.half_precision = half
        step.set_rates(0.0, 0.0, 1.0)
        torch.manual_seed(4)
        step.run(rows_of(step, 1), 1)
        found.append(step.read_stats())
    for name in ("reconstruction", "segmentation", "outline", "colour"):
        assert found[1][name] == pytest.approx(found[0][name], rel=0.05, abs=2e-3), name
