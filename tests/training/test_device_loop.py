"""The run on one device, from end to end with made-up networks: minutes, resume, going back, what it leaves."""

import json
import logging

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hififace.errors import DataError, TrainingError
from hififace.training import device_loop, device_setup
from hififace.training.checkpoint import read_state
from hififace.training.compact_checkpoint import newest_compact, restore_compact
from hififace.training.config import parse_config, with_overrides
from hififace.training.device_config import DEVICE_PRESETS, BandConfig, DeviceConfig, PhotosConfig
from hififace.training.device_loop import rates, train_on_device
from hififace.training.device_photos import ResidentPhotos, real_resolution
from hififace.training.going_back import Watch
from hififace.training.loop import RunOptions
from tests.support.device_doubles import (
    CODES,
    NATIVE,
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
    with pytest.raises(TrainingError, match=r"went back 1 times already\. Lower step\.learning_rate"):
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


def test_what_a_recogniser_says_of_a_set_is_asked_once(tmp_path):
    step, asked = made_up_step(), []

    class Recogniser(torch.nn.Module):
        def forward(self, faces):
            asked.append(len(faces))
            return faces.mean(dim=(2, 3))

    weights = tmp_path / "weights.onnx"
    weights.write_bytes(b"one")

    def remembered(to_arcface=step.to_arcface):
        return device_setup._remembered(tmp_path, weights, Recogniser(), step.data, to_arcface)

    first = remembered()
    count = len(asked)
    assert first.shape == (len(step.data), 3)
    assert torch.equal(remembered(), first)
    assert len(asked) == count
    weights.write_bytes(b"another network")
    remembered()
    assert len(asked) == 2 * count
    remembered(step.to_arcface * 1.01)
    assert len(asked) == 3 * count
