"""The run on one device, from end to end with made-up networks: minutes, resume, going back, what it leaves."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hififace.data.resident import ResidentSet
from hififace.errors import DataError, TrainingError, WeightsError
from hififace.models.params import projected_discriminator
from hififace.models.pretrained.efficientnet_lite import EfficientNetLite
from hififace.training import device_loop, device_photos, device_setup, held_out
from hififace.training.checkpoint import read_state
from hififace.training.compact_checkpoint import newest_compact, restore_compact
from hififace.training.config import parse_config, with_overrides
from hififace.training.device_config import DEVICE_PRESETS, BandConfig, DeviceConfig, PhotosConfig
from hififace.training.device_loop import SLOWEST, rates, train_on_device
from hififace.training.device_photos import ResidentPhotos, real_resolution
from hififace.training.device_settings import StepSettings
from hififace.training.device_step import DeviceStep
from hififace.training.going_back import Watch
from hififace.training.loop import RunOptions
from hififace.training.recognisers import Recogniser
from tests.support.device_doubles import (
    CODES,
    NATIVE,
    SIDE,
    MadeUpLossNetworks,
    SlotSampler,
    made_up_set,
    made_up_step,
    rows_of,
    tiny_device_config,
)


@pytest.fixture
def training(monkeypatch):
    """Trains on the made-up set with made-up loss networks; a real set and real networks have tests of their own."""
    photos = ResidentPhotos(
        made_up_set(),
        MadeUpLossNetworks().card,
        SlotSampler(CODES, NATIVE, sharp_px=200, clear_px=90, seed=0),
    )
    monkeypatch.setattr(device_loop, "load_photos", lambda sets, config, device: photos)
    monkeypatch.setattr(device_loop, "check_set", lambda config, card: None)
    monkeypatch.setattr(device_loop, "check_parts", lambda card, files: None)

    def run(folder, config=None, **options):
        options = {"device": "cpu", "device_loss_networks": MadeUpLossNetworks(), **options}
        return train_on_device(config or tiny_device_config(), [], folder, RunOptions(**options))

    return run


def logged(run):
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


def test_a_run_leaves_what_it_promises(training, tmp_path):
    reports = []
    progress = training(tmp_path, report=lambda progress, values: reports.append(dict(values)))
    assert (progress.images, progress.steps) == (24, 3)
    assert [line["images"] for line in logged(tmp_path)] == [8, 16, 24]
    assert {"cosine_0", "coarse_accuracy", "speed/images_per_s", "run/share", "run/seconds_left"} <= reports[
        0
    ].keys()
    assert [round(values["run/share"], 3) for values in reports] == [0.333, 0.667, 1.0]
    assert sorted(p.name for p in (tmp_path / "previews").iterdir()) == ["000000000.png", "000000024.png"]
    checkpoint = tmp_path / "checkpoints/000000024"
    assert sorted(p.name for p in checkpoint.iterdir()) == [
        "average.safetensors",
        "discriminators.safetensors",
        "generator.safetensors",
        "moments.safetensors",
        "state.json",
    ]
    assert load_file(checkpoint / "generator.safetensors")["encoder.stem.bias"].dtype == torch.float16
    assert load_file(checkpoint / "moments.safetensors")["encoder.stem.bias"].dtype == torch.bfloat16
    saved = parse_config(json.loads((tmp_path / "config.json").read_text()), DeviceConfig)
    assert saved == tiny_device_config()


@pytest.mark.gpu
def test_a_run_on_a_gpu_captures_trains_and_resumes(training, tmp_path, monkeypatch):
    photos = made_up_set()
    moved = ResidentSet(**{name: value.cuda() for name, value in vars(photos).items()})
    card, sampler = MadeUpLossNetworks().card, SlotSampler(CODES, NATIVE, sharp_px=200, clear_px=90, seed=0)
    resident = ResidentPhotos(moved, card, sampler)
    monkeypatch.setattr(device_loop, "load_photos", lambda sets, config, device: resident)
    networks = MadeUpLossNetworks().cuda()
    networks.kernel = networks.kernel.cuda()
    options = {"device": "cuda", "device_loss_networks": networks}
    assert (
        training(tmp_path, tiny_device_config(total_images=80), stop_after_images=40, **options).images == 40
    )
    assert training(tmp_path, tiny_device_config(total_images=80), **options).images == 80
    values = logged(tmp_path)[-1]
    assert values["skipped"] == 0
    assert values["run/memory_gib"] > 0


def test_the_same_command_goes_on_from_the_checkpoint(training, tmp_path):
    assert training(tmp_path, stop_after_images=8).images == 8
    assert training(tmp_path).images == 24
    assert [line["images"] for line in logged(tmp_path)] == [8, 16, 24]
    assert newest_compact(tmp_path).name == "000000024"
    assert training(tmp_path).images == 24  # finished: nothing is done


def test_a_restored_step_is_the_saved_one_within_rounding(training, tmp_path):
    training(tmp_path, stop_after_images=16)
    saved = newest_compact(tmp_path)
    step = made_up_step(seed=9)
    assert restore_compact(saved, step).images == 16
    for name, value in load_file(saved / "generator.safetensors").items():
        assert torch.equal(step.networks.generator.state_dict()[name], value.float())
    moments = load_file(saved / "moments.safetensors")
    for name, parameter in step.networks.generator.named_parameters():
        assert torch.equal(step.generator_adam.state[parameter]["exp_avg_sq"], moments[name].float())
    step.set_rates(1e-3, 1e-3, 1.0)
    step.run(rows_of(step), 1)
    assert np.isfinite(step.read_stats()["reconstruction"])


def test_minutes_end_a_run_and_its_schedule(training, tmp_path):
    reports = []
    progress = training(
        tmp_path,
        tiny_device_config(total_images=10**9),
        stop_after_minutes=0.02,
        report=lambda progress, values: reports.append(dict(values)),
    )
    assert 8 <= progress.images < 10**6
    assert reports[-1]["run/share"] == 1.0


def test_a_run_of_another_network_is_not_gone_on_with(training, tmp_path):
    training(tmp_path, stop_after_images=8)
    with pytest.raises(TrainingError, match=r"started with generator\.num_fusion_blocks=1, now it is 2"):
        training(tmp_path, with_overrides(tiny_device_config(), ["generator.num_fusion_blocks=2"]))


def test_a_damaged_checkpoint_is_a_sentence(training, tmp_path):
    training(tmp_path, stop_after_images=8)
    (newest_compact(tmp_path) / "average.safetensors").write_bytes(b"gone")
    with pytest.raises(TrainingError, match="does not fit this run"):
        training(tmp_path)


def test_projected_discriminators_learn_without_a_penalty_and_resume(training, tmp_path, monkeypatch):
    torch.manual_seed(0)
    seen = EfficientNetLite(variant="lite1").requires_grad_(False).eval()
    monkeypatch.setattr(device_setup, "load_efficientnet_lite", lambda path, **_: seen)
    monkeypatch.setattr(device_setup, "locate_in", lambda files, card: card.filename)
    seen.stages = (2, 3, 4, 5)
    config = tiny_device_config(
        fine=projected_discriminator(96, 4),
        coarse=projected_discriminator(SIDE, 4),
        step=StepSettings(window_px=96, r1_every=1, r1_gamma=(0.0, 0.0)),
    )
    training(tmp_path, config, stop_after_images=16)
    training(tmp_path, config)
    last = logged(tmp_path)[-1]
    assert last["images"] == 24
    assert {"fine_accuracy", "coarse_accuracy", "adversarial"} <= set(last)
    assert not [name for name in last if name.endswith("_r1")]
    kept = load_file(tmp_path / "checkpoints/000000024/discriminators.safetensors")
    assert kept
    assert not [name for name in kept if "_blocks" in name or "_frozen" in name]


def test_what_projected_discriminators_see_with_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
    config = tiny_device_config(coarse=projected_discriminator(SIDE, 4))
    options = RunOptions(loss_network_files=tmp_path)
    with pytest.raises(WeightsError, match=r"efficientnet-lite1.*hififace weights fetch training"):
        device_setup._discriminator_features(config, torch.device("cpu"), options)
    assert device_setup._discriminator_features(tiny_device_config(), torch.device("cpu"), options) is None


def test_only_the_last_checkpoints_stay(training, tmp_path):
    training(tmp_path, tiny_device_config(checkpoint_every_s=0.0, keep_last_checkpoints=2))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["000000016", "000000024"]
    assert read_state(newest_compact(tmp_path))["progress"]["steps"] == 3


def test_a_new_run_starts_from_given_weights(training, tmp_path, monkeypatch):
    training(tmp_path / "first", stop_after_images=8)
    taken = load_file(newest_compact(tmp_path / "first") / "average.safetensors")
    made = []
    real = device_setup.DeviceStep
    monkeypatch.setattr(device_setup, "DeviceStep", lambda *args: made.append(real(*args)) or made[-1])
    config = tiny_device_config(step={"window_px": 96, "learning_rate": 0.0})
    training(tmp_path / "second", config, stop_after_images=8, init_from=tmp_path / "first")
    for name, value in made[0].networks.generator.state_dict().items():
        assert torch.equal(value, taken[name].float()), name


def test_discriminators_that_are_known_are_taken_along_and_need_no_warm_up(training, tmp_path, monkeypatch):
    training(tmp_path / "first", stop_after_images=8)
    saved = load_file(newest_compact(tmp_path / "first") / "discriminators.safetensors")
    made, warmed = [], []
    real = device_setup.DeviceStep
    monkeypatch.setattr(device_setup, "DeviceStep", lambda *args: made.append(real(*args)) or made[-1])
    monkeypatch.setattr(real, "warm_up", lambda self, row, step: warmed.append(step))
    still = tiny_device_config(step={"window_px": 96, "learning_rate": 0.0, "discriminator_rate": 0.0})
    for name, options in {
        "from the run": {"init_from": tmp_path / "first"},
        "from a file": {"discriminators": newest_compact(tmp_path / "first") / "discriminators.safetensors"},
    }.items():
        training(tmp_path / name, still, stop_after_images=8, **options)
        for key, value in made[-1].networks.fine.state_dict().items():
            assert torch.equal(value, saved[f"fine.{key}"].float()), key
    assert warmed == []
    training(tmp_path / "anew", still, stop_after_images=8)
    assert warmed == [0, 1]


def test_held_out_figures_are_reported_and_the_best_checkpoint_stays(training, tmp_path, monkeypatch):
    scores = iter([0.5, 0.7, 0.6])
    protocol = SimpleNamespace(
        measure=lambda generator: {"sface": next(scores), "pose_deg": 0.0, "gaze_deg": 0.0, "sharpness": 0.0}
    )
    monkeypatch.setattr(held_out.HeldOutProtocol, "load", lambda *args: protocol)
    training(tmp_path, tiny_device_config(held_out={"every_s": 0.0}), held_out=(tmp_path,))
    assert [line["held_out/sface"] for line in logged(tmp_path)] == [0.5, 0.7, 0.6]
    state = read_state(tmp_path / "best")
    assert (state["progress"]["images"], state["figures"]["sface"]) == (16, 0.7)
    assert newest_compact(tmp_path).name == "000000024"
    assert restore_compact(tmp_path / "best", made_up_step(seed=5)).images == 16


def test_a_run_goes_back_by_itself_when_it_leaves_the_band(training, tmp_path, monkeypatch):
    """The third report finds a likeness below the band: the rate is halved and the run goes on to its end."""
    real, found = DeviceStep.read_stats, iter([0.6, 0.6, 0.1, 0.6, 0.6])

    def read(step):
        stats = real(step)
        return {**stats, "cosine_0": next(found)} if "cosine_0" in stats else stats

    monkeypatch.setattr(DeviceStep, "read_stats", read)
    config = tiny_device_config(
        total_images=40, warm_up_steps=0, rise=0, flat_until=0.99,
        band={"identity": (0.3, 0.9), "accuracy": (0.0, 1.0), "patience": 1, "slow_down": 0.5},
    )  # fmt: skip
    progress = training(tmp_path, config)
    rates_seen = [line["run/learning_rate"] for line in logged(tmp_path)]
    assert progress.images == 40
    assert rates_seen[3] == pytest.approx(rates_seen[2] / 2)


def test_checkpoints_are_cut_on_request_and_gone_on_from(training, tmp_path):
    config = tiny_device_config(checkpoint_part_mb=0.1)
    training(tmp_path, config, stop_after_images=8)
    files = list(newest_compact(tmp_path).iterdir())
    assert len(files) > 5
    assert all(path.stat().st_size <= 100_000 for path in files if path.suffix == ".safetensors")
    assert training(tmp_path, config).images == 24


@pytest.mark.parametrize("name", DEVICE_PRESETS)
def test_a_preset_is_a_recipe_whose_last_knot_is_its_end(name):
    """Learning rate: four knots, in shares of the run. It rises to full, stays, and falls to its least at the end."""
    config = DEVICE_PRESETS[name]()
    knots = (0.0, config.rise, config.flat_until, 1.0)
    assert list(knots) == sorted(set(knots))
    full = config.step.learning_rate
    start, risen, flat, end = (rates(share, config)[0] for share in knots)
    assert start < full
    assert risen == flat == full
    assert end == pytest.approx(SLOWEST * full)


def test_rates_rise_stay_and_fall():
    config = tiny_device_config(rise=0.02, flat_until=0.6, adversarial_full_at=0.1)
    settings = config.step
    start, middle, end = (rates(share, config) for share in (0.0, 0.4, 1.0))
    assert start[0] == pytest.approx(settings.learning_rate * 0.05)
    assert start[2] == 0.0
    assert middle == pytest.approx((settings.learning_rate, settings.discriminator_rate, 1.0))
    assert end[:2] == pytest.approx((settings.learning_rate * 0.03, settings.discriminator_rate * 0.3))
    assert rates(0.4, config, 0.5)[:2] == pytest.approx((middle[0] / 2, middle[1] / 2))


# ---- Going back.


@pytest.fixture
def step():
    made = made_up_step()
    made.set_rates(1e-3, 1e-3, 1.0)
    made.run(rows_of(made), 1)
    return made


GOOD = {"cosine_0": 0.6, "coarse_accuracy": 0.7}


def weights_of(step):
    return [p.detach().clone() for network in step.networks for p in network.parameters()]


def test_a_run_that_leaves_the_band_goes_back_and_on_more_slowly(step, caplog):
    watch = Watch(step, BandConfig(identity=(0.3, 0.8), accuracy=(0.5, 0.9), patience=2, slow_down=0.5))
    assert watch.look(GOOD) is None
    good = weights_of(step)
    addresses = [p.data_ptr() for p in step.networks.generator.parameters()]
    step.run(rows_of(step), 1)
    assert watch.look({**GOOD, "cosine_0": 0.1}) is None  # once is chance
    with caplog.at_level(logging.WARNING):
        assert "identity of 0.100 is outside 0.3 to 0.8" in watch.look({**GOOD, "cosine_0": 0.1})
    assert "back to the last good state" in caplog.text
    assert all(torch.equal(a, b) for a, b in zip(good, weights_of(step), strict=True))
    assert addresses == [
        p.data_ptr() for p in step.networks.generator.parameters()
    ]  # graphs know these places
    assert watch.slowness == 0.5


def test_what_is_not_finite_is_gone_back_from_at_once(step):
    watch = Watch(step, BandConfig(patience=5))
    watch.look(GOOD)
    assert "not finite" in watch.look({**GOOD, "reconstruction": float("nan")})


def test_a_run_that_keeps_leaving_stops_with_advice(step):
    watch = Watch(step, BandConfig(identity=(0.3, 0.8), patience=1, times=1))
    watch.look(GOOD)
    watch.look({**GOOD, "cosine_0": 0.9})
    with pytest.raises(TrainingError, match=r"already rolled back 1 times\. Lower step\.learning_rate"):
        watch.look({**GOOD, "cosine_0": 0.9})


# ---- Configuration and photos.


@pytest.mark.parametrize("name", sorted(DEVICE_PRESETS))
def test_a_preset_survives_its_own_file(name):
    config = DEVICE_PRESETS[name]()
    assert parse_config(json.loads(json.dumps(config.model_dump(mode="json"))), DeviceConfig) == config


def test_settings_of_the_step_can_be_set_by_name():
    config = with_overrides(tiny_device_config(), ["step.gaze=2", 'photos.sharp_inputs=["portraits"]'])
    assert config.step.gaze == 2
    assert config.photos.sharp_inputs == ("portraits",)


def test_inputs_that_are_known_to_be_sharp_or_blurred_count_so():
    found = real_resolution(
        np.array([50, 60, 70], np.float32),
        np.array(["lfw/a", "portraits-0/b", "other/c"], object),
        PhotosConfig(sharp_inputs=("portraits",), blurred_inputs=("lfw",)),
    )
    assert found.tolist() == [0.0, np.inf, 70.0]


def test_a_set_without_real_resolutions_is_refused(tmp_path):
    from tests.support.training_doubles import write_tiny_set

    folder = write_tiny_set(tmp_path / "set")
    with pytest.raises(DataError, match="does not say how many pixels"):
        train_on_device(tiny_device_config(), [folder], tmp_path / "run", RunOptions(device="cpu"))


def test_favoured_inputs_are_found_by_the_beginning_of_their_name():
    names = np.array(["me", "others-0", "me-too", None], object)
    assert device_photos._favoured(names, PhotosConfig(favoured_inputs=("me",))).tolist() == [0, 2]
    assert device_photos._favoured(names, PhotosConfig()).tolist() == []
    with pytest.raises(
        DataError, match=r"begins with 'mine'.*The inputs begin with: None, me, me-too, others-0"
    ):
        device_photos._favoured(names, PhotosConfig(favoured_inputs=("mine",)))


def test_what_a_recogniser_says_of_a_set_is_asked_once(tmp_path):
    step, asked = made_up_step(), []

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.level = torch.nn.Parameter(torch.ones(()))

        def forward(self, faces):
            asked.append(len(faces))
            return faces.mean(dim=(2, 3))

    network, view = Network(), step.recognisers[0].to_arcface

    def remembered(to_arcface=view):
        recogniser = Recogniser("made-up", network, to_arcface, 112, SIDE)
        return device_setup._remembered(tmp_path, recogniser, step.data, half_precision=False)

    first = remembered()
    count = len(asked)
    assert first.shape == (len(step.data), 3)
    assert torch.equal(remembered(), first)
    assert len(asked) == count
    network.level.data.fill_(2.0)  # another network
    remembered()
    assert len(asked) == 2 * count
    remembered(view * 1.01)
    assert len(asked) == 3 * count
