"""The paper's loss networks: small ones for what they say, whole ones for that they can be used."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from typer.testing import CliRunner

from hififace.cli.main import build_app
from hififace.data.loader import CropBatch, PairBatch
from hififace.errors import WeightsError
from hififace.losses.attributes import EYE_CHANNELS, MOUTH_CHANNELS
from hififace.models.create import create_discriminator, create_generator
from hififace.models.generator import GeneratorOutput
from hififace.models.params import DiscriminatorParams
from hififace.models.pretrained.deep3d import FaceCoefficients
from hififace.training.basel_loss_networks import BaselLossNetworks
from hififace.training.checkpoint import Progress, TrainedParts
from hififace.training.distributed import World
from hififace.training.families import load_loss_networks
from hififace.training.presets import paper_256, paper_512, reference_256
from hififace.training.stats import StageClock
from hififace.training.step import TrainingStep, create_optimiser
from hififace.weights.registry import find_card
from hififace.weights.store import embedded_path
from tests.support.basel_doubles import CARD, small_loss_networks, write_published_files
from tests.support.published_doubles import SMALL
from tests.support.training_doubles import tiny_card, write_tiny_set

CPU = torch.device("cpu")
SIZE = 32


def make_batch(size: int = SIZE, count: int = 2) -> PairBatch:
    """Smooth patterns; the first pair shows one person twice."""
    generator = torch.Generator().manual_seed(8)

    def crops() -> CropBatch:
        coarse = torch.rand(count, 3, 5, 5, generator=generator)
        mask = torch.zeros(count, 1, size, size)
        mask[..., size // 4 : -size // 4, size // 4 : -size // 4] = 1
        return CropBatch(
            F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1),
            mask,
            torch.ones(count, 1, size, size),
            F.normalize(torch.randn(count, 512, generator=generator), dim=1),
            torch.randn(count, 257, generator=generator) * 0.3,
            torch.rand(count, 468, 3, generator=generator) * size,
        )

    return PairBatch(crops(), crops(), torch.tensor([1.0, 0.0])[:count])


@pytest.fixture
def batch():
    return make_batch()


@pytest.fixture
def output():
    """Results as leaves, so that it can be asked what reaches them."""
    generator = torch.Generator().manual_seed(9)
    return GeneratorOutput(
        torch.rand(2, 3, SIZE, SIZE, generator=generator).requires_grad_(),
        torch.rand(2, 3, SIZE // 4, SIZE // 4, generator=generator).requires_grad_(),
        torch.rand(2, 1, SIZE, SIZE, generator=generator),
        torch.rand(2, 1, SIZE // 4, SIZE // 4, generator=generator),
    )


def test_the_vector_is_the_sources_shape_and_identity_and_the_rest_of_the_target(batch):
    vector = small_loss_networks().identity_vector(batch)
    expected = [batch.source.coefficients[:, :80], batch.target.coefficients[:, 80:], batch.source.identity]
    assert torch.equal(vector, torch.cat(expected, dim=1))


def test_the_cycle_reads_the_result_and_gives_the_target_its_own_identity_back(batch, output):
    loss_networks = small_loss_networks()
    vector = loss_networks.cycle_vector(batch, output)
    of_result = loss_networks.deep3d(at_size(output.image, 256)).flat()
    expected = [batch.target.coefficients[:, :80], of_result[:, 80:], batch.target.identity]
    assert torch.equal(vector, torch.cat(expected, dim=1))
    vector[:, 80:257].sum().backward()
    assert output.image.grad.abs().sum() > 0


def at_size(images, size):
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)


@pytest.mark.parametrize("like_reference", [False, True])
def test_shape_is_the_distance_of_68_landmarks_to_the_fused_ones(batch, output, like_reference):
    loss_networks = small_loss_networks(like_reference=like_reference)
    size = 224 if like_reference else 256
    if like_reference:  # q_fuse from pictures of 224 px, not from what preparation stored
        source, target = (loss_networks.deep3d(at_size(c.image, size)) for c in (batch.source, batch.target))
    else:
        source, target = (FaceCoefficients.from_flat(c.coefficients) for c in (batch.source, batch.target))
    fused = loss_networks.bfm(target._replace(identity=source.identity))
    expected = sum(
        (fused - loss_networks.bfm(loss_networks.deep3d(at_size(picture, size)))).abs().mean()
        for picture in (output.image, output.image_low)
    )
    term = loss_networks.attribute_terms(batch, output, {"shape"})["shape"]
    assert term.item() == pytest.approx(expected.item(), rel=1e-5)
    term.backward()
    assert output.image.grad.abs().sum() > 0
    assert output.image_low.grad.abs().sum() > 0


def test_the_references_clamp_stops_value_and_gradient(batch, output):
    free = small_loss_networks().attribute_terms(batch, output, {"shape"})["shape"].item()
    clamped = small_loss_networks(shape_clamp=free / 2).attribute_terms(batch, output, {"shape"})["shape"]
    clamped.backward()
    assert clamped.item() == pytest.approx(free / 2)
    assert output.image.grad.abs().sum() == 0


def test_heat_map_terms_compare_pupils_and_lips(batch, output):
    loss_networks = small_loss_networks()
    terms = loss_networks.attribute_terms(batch, output, {"eye_heatmap", "mouth_heatmap"})
    difference = (loss_networks.hrnet(output.image) - loss_networks.hrnet(batch.target.image)).square()
    assert terms["eye_heatmap"].item() == pytest.approx(difference[:, EYE_CHANNELS].mean().item(), rel=1e-4)
    assert terms["mouth_heatmap"].item() == pytest.approx(
        difference[:, MOUTH_CHANNELS].mean().item(), rel=1e-4
    )
    assert set(loss_networks.attribute_terms(batch, output, {"mouth_heatmap"})) == {"mouth_heatmap"}
    (terms["eye_heatmap"] + terms["mouth_heatmap"]).backward()
    assert output.image.grad.abs().sum() > 0


def test_the_perceptual_distance_leaves_padding_out_unless_it_repeats_the_reference(batch, output):
    target, valid = batch.target.image, torch.ones(2, 1, SIZE, SIZE)
    valid[..., SIZE // 2 :] = 0
    result = torch.where(valid > 0, target, output.image.detach())  # differs in the padding only
    assert small_loss_networks().perceptual(result, target, valid).abs().max() < 1e-6
    assert (small_loss_networks(like_reference=True).perceptual(result, target, valid) > 1e-5).all()
    assert (small_loss_networks().perceptual(output.image, target, valid) > 1e-5).all()


def test_identities_of_photos_come_with_the_batch_and_of_results_from_arcface(batch, output):
    loss_networks = small_loss_networks()
    (known,) = loss_networks.known_embeddings(batch.source)
    assert known is batch.source.identity
    (embedder,) = loss_networks.embedders
    embedder(output.image_low).sum().backward()
    assert output.image_low.grad.abs().sum() > 0


def test_a_term_without_its_network_is_refused(batch, output):
    bare = BaselLossNetworks(small_loss_networks().arcface, small_loss_networks().deep3d)
    with pytest.raises(ValueError, match="shape term was not configured"):
        bare.attribute_terms(batch, output, {"shape"})
    with pytest.raises(ValueError, match="no heat-map term"):
        bare.attribute_terms(batch, output, {"eye_heatmap"})
    with pytest.raises(ValueError, match="perceptual term"):
        bare.perceptual(output.image, batch.target.image, batch.target.valid)


def small_config(preset):
    """The preset with small networks for those that are trained."""
    judge = DiscriminatorParams("small", "residual", SIZE, 4, (6, 8, 8), num_logits=2)
    return preset.model_copy(update={"generator": SMALL, "discriminator": judge, "batch_size": 2})


def take_step(config, loss_networks, batch):
    """One step; what it reports, and the parameters that it left as they were."""
    torch.manual_seed(0)
    networks = {
        "generator": create_generator(config.generator),
        "discriminator": create_discriminator(config.discriminator),
    }
    optimisers = {
        name: create_optimiser(getattr(config, f"{name}_optimiser"), network)
        for name, network in networks.items()
    }
    before = {
        f"{kind}.{name}": value.clone()
        for kind, network in networks.items()
        for name, value in network.named_parameters()
    }
    step = TrainingStep(config, TrainedParts(networks, optimisers), loss_networks, World(0, 1, CPU))
    stats = step(batch, Progress(), StageClock(CPU))
    after = {
        f"{kind}.{name}": value
        for kind, network in networks.items()
        for name, value in network.named_parameters()
    }
    return stats, [name for name, value in before.items() if torch.equal(value, after[name])]


def assert_moved(unmoved):
    """Only biases next to the discriminator's verdict may stand still: at the start it says the same of photo and
    result, and in bfloat16 the two pulls cancel to nought."""
    assert [name for name in unmoved if name.startswith("generator") or name.endswith("weight")] == []


@pytest.mark.parametrize("preset", [paper_256(), reference_256()], ids=lambda preset: preset.preset)
def test_a_step_of_each_preset_computes_every_term_and_moves_every_weight(preset, batch):
    config = small_config(preset)
    loss_networks = small_loss_networks(like_reference=config.loss.like_reference)
    stats, unmoved = take_step(config, loss_networks, batch)
    assert_moved(unmoved)
    wanted = {f"loss/{name}" for name in config.loss.weights}
    assert wanted <= set(stats)
    assert all(stats[name].isfinite() and stats[name] > 0 for name in wanted)
    assert ("discriminator/r1" in stats) == (config.adversarial.r1_gamma > 0)


def test_a_step_of_the_512_model_is_given_half_the_size_of_what_it_is_asked_for():
    generator = replace(SMALL, upsampler=(4, 4))
    judge = DiscriminatorParams("small", "residual", 2 * SIZE, 4, (6, 8, 8, 8), num_logits=2)
    config = paper_512().model_copy(
        update={"generator": generator, "discriminator": judge, "batch_size": 2, "accumulation": 2}
    )
    stats, unmoved = take_step(config, small_loss_networks(), make_batch(2 * SIZE))
    assert_moved(unmoved)
    assert all(stats[f"loss/{name}"].isfinite() for name in config.loss.weights)


def test_a_file_of_the_given_folder_is_taken_and_a_missing_one_said(tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path / "home"))
    card = tiny_card(**CARD, resolution=256)
    with pytest.raises(WeightsError, match=r"ms1mv3_arcface_r100_fp16_backbone\.pth.*not on this machine"):
        load_loss_networks(paper_256(), card, CPU, tmp_path)
    (tmp_path / find_card("arcface_r100").filename).write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"ms1mv3_arcface_r100_fp16_backbone\.pth was refused"):
        load_loss_networks(paper_256(), card, CPU, tmp_path)


# ---- The real architectures, with generated weights in files of the published names.


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = write_published_files(tmp_path_factory.mktemp("files"))
    yield folder
    shutil.rmtree(folder)  # half a gigabyte


@pytest.mark.slow
def test_paper_256_takes_a_whole_step_with_the_real_architectures(files):
    config = paper_256().model_copy(update={"batch_size": 1})
    loss_networks = load_loss_networks(config, tiny_card(**CARD, resolution=256), CPU, files)
    assert loss_networks.hrnet is None, "no term of the paper needs it"
    stats, unmoved = take_step(config, loss_networks, make_batch(256, 1))
    assert_moved(unmoved)
    assert all(stats[f"loss/{name}"].isfinite() for name in config.loss.weights)
    assert stats["discriminator/r1"].isfinite()


@pytest.mark.slow
def test_reference_256_trains_by_command_with_files_that_the_user_brings(files, tmp_path):
    photos = write_tiny_set(tmp_path / "set", num_people=2, size=256, **CARD)
    run = tmp_path / "run"
    settings = ("batch_size=1", "total_images=1", "preview_pairs=1", "data.same_rate=1.0")
    command = ["train", "--preset", "reference_256", "--data", str(photos), "--run", str(run)]
    command += ["--loss-networks", str(files), "--device", "cpu"]
    command += [part for setting in settings for part in ("--set", setting)]
    done = CliRunner().invoke(build_app(command), command)
    assert done.exit_code == 0, done.output
    assert "Done: 1 images in 1 steps" in done.output
    line = (run / "stats.jsonl").read_text()
    for name in reference_256().loss.weights:
        assert f'"loss/{name}"' in line
    weights = load_file(run / "checkpoints" / "000000001" / "generator.safetensors")
    assert sum(value.numel() for value in weights.values()) == 61_896_584
    assert (run / "previews" / "000000001.png").stat().st_size > 10_000
    shutil.rmtree(run)  # a gigabyte of optimiser state


def face_like(batch, side):
    """The batch with a mesh whose eyes and mouth lie in the middle of the crop."""
    groups = json.loads(embedded_path("face_mesh.json").read_text())["groups"]
    points = torch.full_like(batch.target.landmarks, 0.9 * side)
    for name, middle in (
        ("image_left_eye", (0.3, 0.4)),
        ("image_right_eye", (0.7, 0.4)),
        ("lips_outer", (0.5, 0.7)),
    ):
        for place, index in enumerate(sorted(groups[name])):
            points[:, index, 0] = side * (middle[0] + 0.05 * (place % 3 - 1))
            points[:, index, 1] = side * (middle[1] + 0.03 * (place % 2))
    return batch._replace(target=batch.target._replace(landmarks=points))


def limited(preset, **changes):
    config = small_config(preset)
    return config.model_copy(update={"loss": config.loss.model_copy(update=changes)})


def image_gradient(config, batch, *names):
    """Of terms on the pixels of the result."""
    loss_networks = small_loss_networks(like_reference=config.loss.like_reference)
    parts = TrainedParts({"generator": torch.nn.Identity(), "discriminator": torch.nn.Identity()}, {})
    terms = TrainingStep(config, parts, loss_networks, World(0, 1, CPU)).terms
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(2, 3, SIZE, SIZE, generator=generator).requires_grad_(True)
    low = torch.rand(2, 3, SIZE // 4, SIZE // 4, generator=generator)
    mask = torch.ones(2, 1, SIZE, SIZE)
    output = GeneratorOutput(
        image=image, mask=mask, image_low=low, mask_low=mask[..., : SIZE // 4, : SIZE // 4]
    )
    found = terms(batch, output, dict.fromkeys(names, 1.0))
    assert set(found) == set(names)
    (gradient,) = torch.autograd.grad(sum(found.values()), image)
    return gradient.abs().sum(dim=1, keepdim=True), found


def test_heatmaps_reach_the_pixels_of_eyes_and_mouth_alone_where_that_is_asked_for(batch):
    batch = face_like(batch, SIZE)
    names = ("eye_heatmap", "mouth_heatmap")
    everywhere, values = image_gradient(limited(reference_256()), batch, *names)
    inside, same_values = image_gradient(limited(reference_256(), eyes_and_mouth_only=True), batch, *names)
    assert {n: v.item() for n, v in values.items()} == {n: v.item() for n, v in same_values.items()}
    assert everywhere[..., 0, :].sum() > 0
    assert inside[..., 0, :].sum() == 0
    middle = (slice(None), 0, int(0.4 * SIZE), int(0.3 * SIZE))
    assert torch.allclose(inside[middle], everywhere[middle])
    # The shape of the face is asked everywhere still.
    shape, _ = image_gradient(limited(reference_256(), eyes_and_mouth_only=True), batch, "shape")
    assert shape[..., 0, :].sum() > 0


def test_identity_is_damped_in_eyes_and_mouth(batch):
    batch = face_like(batch, SIZE)
    whole, _ = image_gradient(limited(paper_256()), batch, "identity")
    damped, _ = image_gradient(limited(paper_256(), identity_in_eyes_and_mouth=0.25), batch, "identity")
    middle = (slice(None), 0, int(0.4 * SIZE), int(0.3 * SIZE))
    assert torch.allclose(damped[middle], 0.25 * whole[middle], rtol=1e-4)
    assert torch.allclose(damped[..., 0, :], whole[..., 0, :])


def untrained_step(config, loss_networks):
    """A step, and its networks by name."""
    torch.manual_seed(0)
    networks = {
        "generator": create_generator(config.generator),
        "discriminator": create_discriminator(config.discriminator),
        "average": create_generator(config.generator).requires_grad_(False),
    }
    return TrainingStep(config, TrainedParts(networks, {}), loss_networks, World(0, 1, CPU)), networks


def test_triplets_show_a_strangers_face_and_ask_for_the_photo(batch):
    config = limited(paper_256(), triplet_share=1.0)
    loss_networks = small_loss_networks()
    step, networks = untrained_step(config, loss_networks)
    shown = step._shown(batch)  # of the two pairs the first is of one person
    assert torch.equal(shown[1], batch.target.image[1])
    assert not torch.allclose(shown[0], batch.target.image[0])
    stranger = PairBatch(
        CropBatch(*(part[1:] for part in batch.source)),
        CropBatch(*(part[:1] for part in batch.target)),
        torch.zeros(1),
    )
    with torch.no_grad():
        expected = networks["average"](batch.target.image[:1], loss_networks.identity_vector(stranger)).image
    assert torch.allclose(shown[:1], expected.clamp(0, 1), atol=1e-6)
    none = TrainingStep(limited(paper_256()), TrainedParts(networks, {}), loss_networks, World(0, 1, CPU))
    assert none._shown(batch) is batch.target.image


def test_vectors_ask_again_for_a_part_of_what_first_results_lack(batch):
    config = limited(paper_256(), feedback=0.8)
    loss_networks = small_loss_networks()
    step, networks = untrained_step(config, loss_networks)
    vector, target = loss_networks.identity_vector(batch), batch.target.image
    again = step._asking_again(target, vector)
    assert torch.equal(again[:, :-512], vector[:, :-512])
    with torch.no_grad():
        found = F.normalize(
            loss_networks.arcface(networks["average"](target, vector).image.clamp(0, 1)), dim=1
        )
    lack = vector[:, -512:] - found
    moved = (again - vector)[:, -512:]
    share = (moved * lack).sum(1) / (lack * lack).sum(1)
    assert torch.allclose(moved, share[:, None] * lack, atol=1e-5)
    assert 0 <= float(share.min()) < float(share.max()) <= 0.8


def test_a_step_with_all_of_them_moves_every_weight(batch):
    changes = {
        "eyes_and_mouth_only": True,
        "identity_in_eyes_and_mouth": 0.4,
        "triplet_share": 0.5,
        "feedback": 0.5,
    }
    stats, unmoved = take_step(
        limited(reference_256(), **changes), small_loss_networks(like_reference=True), face_like(batch, SIZE)
    )
    assert_moved(unmoved)
    assert all(stats[f"loss/{name}"].isfinite() for name in reference_256().loss.weights)
