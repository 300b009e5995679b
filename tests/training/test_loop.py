import json
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from hififace.errors import DataError, InterruptedByUserError, OptionError, TrainingError
from hififace.training import held_out
from hififace.training.checkpoint import CheckpointFolder, read_state
from hififace.training.config import parse_config, with_overrides
from hififace.training.loop import RunOptions, train
from hififace.training.starting_weights import read_generator_weights
from tests.support.training_doubles import FakeLossNetworks, tiny_config, write_tiny_set

ROOT = Path(__file__).parents[2]

SOURCES = os.pathsep.join((str(ROOT / "src"), str(ROOT)))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_tiny_set(tmp_path_factory.mktemp("set"))


def run_training(config, photos, run, **options):
    return train(config, photos, run, RunOptions(device="cpu", loss_networks=FakeLossNetworks(), **options))


def weights_of(run, images):
    folder = run / "checkpoints" / f"{images:09d}"
    return {
        name: load_file(folder / f"{name}.safetensors") for name in ("generator", "average", "discriminator")
    }


def assert_same_bits(first, second):
    for name, tensors in first.items():
        for key, value in tensors.items():
            assert torch.equal(value, second[name][key]), f"{name}.{key} differs"


def logged(run):
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


def test_three_steps_a_stop_and_three_steps_equal_six_steps_bit_for_bit(photos, tmp_path):
    config = tiny_config()
    run_training(config, photos, tmp_path / "whole")
    run_training(config, photos, tmp_path / "parts", stop_after_images=12)
    assert (
        CheckpointFolder(tmp_path / "parts", keep_last=3, keep_every_images=None).newest().name == "000000012"
    )
    progress = run_training(config, photos, tmp_path / "parts")
    assert (progress.images, progress.steps) == (24, 6)
    assert_same_bits(weights_of(tmp_path / "whole", 24), weights_of(tmp_path / "parts", 24))
    whole, parts = (
        torch.load(tmp_path / n / "checkpoints/000000024/optimisers.pt") for n in ("whole", "parts")
    )
    for name in whole:
        for key, state in whole[name]["state"].items():
            assert all(torch.equal(v, parts[name]["state"][key][k]) for k, v in state.items())


def assert_same_numbers(first, second):
    """Losses, accuracies and gradient norms of two runs agree; weights need not: a bias in front of an instance norm
    has no gradient but rounding, which Adam scales up to a whole step."""
    assert [line["images"] for line in first] == [line["images"] for line in second]
    for a, b in zip(first, second, strict=True):
        for name in a:
            if name.startswith(("loss/", "mask/", "discriminator/", "gradient/")):
                assert b[name] == pytest.approx(a[name], rel=2e-3, abs=1e-5), name


def test_accumulation_gives_the_steps_of_the_whole_batch(photos, tmp_path):
    for name, rounds in (("one", 1), ("two", 2)):
        config = tiny_config(total_images=12, log_every_images=4, accumulation=rounds)
        run_training(config, photos, tmp_path / name)
    assert_same_numbers(logged(tmp_path / "one"), logged(tmp_path / "two"))


def test_the_log_names_every_term_once_for_each_report(photos, tmp_path):
    config = tiny_config()
    run_training(config, photos, tmp_path)
    lines = logged(tmp_path)
    assert [line["images"] for line in lines] == [8, 16, 24]
    for term in config.loss.weights:
        assert all(f"loss/{term}" in line for line in lines), term
    assert {"mask/inside", "discriminator/accuracy", "speed/images_per_s"} <= set(lines[-1])


def test_a_resumed_run_drops_the_lines_after_its_checkpoint(photos, tmp_path):
    run_training(tiny_config(), photos, tmp_path, stop_after_images=16)
    with (tmp_path / "stats.jsonl").open("a") as file:
        file.write('{"images": 20, "loss/identity": 9}\n{"images": 2')  # a torn line, as a kill leaves it
    run_training(tiny_config(), photos, tmp_path)
    assert [line["images"] for line in logged(tmp_path)] == [8, 16, 24]


def test_previews_are_drawn_and_differ_over_time(photos, tmp_path):
    import cv2

    run_training(tiny_config(), photos, tmp_path)
    early, late = (cv2.imread(str(tmp_path / "previews" / f"{n:09d}.png")) for n in (16, 24))
    assert early.shape == (2 * 32, 5 * 32, 3)
    assert (early != late).any()


def test_a_changed_learning_rate_is_allowed_and_said(photos, tmp_path, caplog):
    run_training(tiny_config(), photos, tmp_path, stop_after_images=8)
    changed = with_overrides(tiny_config(), ["generator_optimiser.learning_rate=0.0005"])
    with caplog.at_level(logging.WARNING):
        run_training(changed, photos, tmp_path)
    assert "generator_optimiser.learning_rate was 0.001, is 0.0005" in caplog.text


def test_another_architecture_in_the_same_run_is_refused(photos, tmp_path):
    run_training(tiny_config(), photos, tmp_path, stop_after_images=4)
    changed = with_overrides(tiny_config(), ["generator.num_fusion_blocks=2"])
    with pytest.raises(TrainingError, match=r"generator\.num_fusion_blocks=1, now it is 2"):
        run_training(changed, photos, tmp_path)


def test_a_set_of_another_size_is_refused(tmp_path):
    other = write_tiny_set(tmp_path / "set", size=48)
    with pytest.raises(DataError, match="48 px, the results of the generator 'tiny' 32 px"):
        run_training(tiny_config(), other, tmp_path / "run")


def test_an_uneven_batch_is_refused(photos, tmp_path):
    with pytest.raises(OptionError, match="batch_size=4 does not divide"):
        run_training(tiny_config(accumulation=3), photos, tmp_path)


def test_a_gradient_that_is_not_finite_ends_the_run_before_anything_is_saved(photos, tmp_path):
    class Broken(FakeLossNetworks):
        def perceptual(self, result, target, valid):
            return (result - result).abs().sqrt().flatten(1).mean(1)  # finite value, infinite gradient

    with pytest.raises(TrainingError, match=r"between images 0 and 8: gradient/generator\. Nothing"):
        train(tiny_config(), photos, tmp_path, RunOptions(device="cpu", loss_networks=Broken()))
    assert not (tmp_path / "checkpoints").exists()
    assert logged(tmp_path) == []


def test_a_term_that_is_not_finite_once_is_named_at_the_next_report(photos, tmp_path):
    class BrokenOnce(FakeLossNetworks):
        def perceptual(self, result, target, valid):
            distance = super().perceptual(result, target, valid)
            self.calls["perceptual"] = self.calls.get("perceptual", 0) + 1
            return distance * torch.nan if self.calls["perceptual"] == 4 else distance

    with pytest.raises(TrainingError, match="between images 8 and 16: loss/perceptual, gradient/generator"):
        train(tiny_config(), photos, tmp_path, RunOptions(device="cpu", loss_networks=BrokenOnce()))
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["000000008"]
    assert [line["images"] for line in logged(tmp_path)] == [8]


def test_an_empty_mask_is_noticed_and_ends_the_run(photos, tmp_path, caplog):
    # Nothing but a pull towards the target: the mask has no reason to stay, as in other people's collapsed runs.
    from hififace.training import loop

    config = tiny_config(
        empty_mask_patience=2,
        total_images=400,
        loss={"weights": {"reconstruction": 50.0}},
        data={"same_rate": 1.0, "workers": 0},
    )
    config = with_overrides(config, ["generator_optimiser.learning_rate=0.02", "log_every_images=40"])
    threshold, loop.EMPTY_MASK = loop.EMPTY_MASK, 0.55
    try:
        with (
            caplog.at_level(logging.WARNING),
            pytest.raises(TrainingError, match="mask stayed empty for 2 reports"),
        ):
            run_training(config, photos, tmp_path)
    finally:
        loop.EMPTY_MASK = threshold
    assert "the result is the target" in caplog.text


def test_signal_saves_and_the_same_command_goes_on(photos, tmp_path):
    script = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from tests.support.training_doubles import FakeLossNetworks, tiny_config
        from hififace.errors import HififaceError
        from hififace.training.loop import RunOptions, train
        try:
            train(tiny_config(total_images=100_000, log_every_images=4), Path({str(photos)!r}), Path({str(tmp_path)!r}),
                  RunOptions(device="cpu", loss_networks=FakeLossNetworks(),
                             report=lambda p, v: print("step", flush=True)))
        except HififaceError as error:
            print(error); sys.exit(error.exit_code)
        """
    )
    environment = {
        **os.environ,
        "PYTHONPATH": SOURCES,
        "OMP_NUM_THREADS": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as child:
        assert child.stdout.readline().startswith("step")
        child.send_signal(signal.SIGTERM)
        output, _ = child.communicate(timeout=120)
    assert child.returncode == InterruptedByUserError.exit_code
    assert "The same command resumes it" in output
    newest = CheckpointFolder(tmp_path, keep_last=3, keep_every_images=None).newest()
    saved = int(newest.name)
    config = tiny_config(total_images=saved + 4)
    assert run_training(config, photos, tmp_path).images == saved + 4


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_a_kill_at_any_moment_leaves_a_loadable_checkpoint(photos, tmp_path):
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from tests.support.training_doubles import FakeLossNetworks, tiny_config
        from hififace.training.loop import RunOptions, train
        train(tiny_config(total_images=100_000, checkpoint_every_images=4), Path({str(photos)!r}),
              Path({str(tmp_path)!r}), RunOptions(device="cpu", loss_networks=FakeLossNetworks()))
        """
    )
    # Bits depend on how sums are split over threads: the killed process must have as many as this one.
    environment = {
        **os.environ,
        "PYTHONPATH": SOURCES,
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    child = subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=ROOT)
    while not list((tmp_path / "checkpoints").glob("*[0-9]")):
        assert child.poll() is None
        time.sleep(0.05)
    time.sleep(0.7)  # somewhere between or in the middle of two saves
    child.kill()
    child.wait()
    saved = int(CheckpointFolder(tmp_path, keep_last=3, keep_every_images=None).newest().name)
    # What was killed goes on exactly as an unbroken run of the same length.
    config = tiny_config(total_images=saved + 4, checkpoint_every_images=4)
    run_training(config, photos, tmp_path)
    run_training(config, photos, tmp_path.parent / "unbroken")
    assert_same_bits(weights_of(tmp_path, saved + 4), weights_of(tmp_path.parent / "unbroken", saved + 4))


@pytest.mark.parametrize("nodes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_two_processes_train_as_one_with_the_same_global_batch(photos, tmp_path, nodes):
    """On one machine, and as two machines of one process each that meet at an address: the documented commands."""
    script = tmp_path / "two.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from pathlib import Path
            from tests.support.training_doubles import FakeLossNetworks, tiny_config
            from hififace.training.loop import RunOptions, train
            train(tiny_config(total_images=12, log_every_images=4), Path({str(photos)!r}),
                  Path({str(tmp_path / "two")!r}), RunOptions(device="cpu", loss_networks=FakeLossNetworks()))
            """
        )
    )
    environment = {
        **os.environ,
        "PYTHONPATH": SOURCES,
        "OMP_NUM_THREADS": "1",
    }
    where = ["--standalone", "--nproc-per-node", "2"]
    if nodes == 2:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        where = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d"]
        where += ["--rdzv-endpoint", f"127.0.0.1:{port}", "--local-addr", "127.0.0.1"]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *where, str(script)],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(nodes)
    ]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-2000:]
    run_training(tiny_config(total_images=12, log_every_images=4), photos, tmp_path / "one")
    assert_same_numbers(logged(tmp_path / "one"), logged(tmp_path / "two"))


def test_a_resident_set_trains_to_the_numbers_of_the_loader(photos, tmp_path):
    for resident in ("no", "yes"):
        config = tiny_config(total_images=12, log_every_images=4)
        config = config.model_copy(update={"data": config.data.model_copy(update={"resident": resident})})
        run_training(config, photos, tmp_path / resident)
    assert_same_numbers(logged(tmp_path / "no"), logged(tmp_path / "yes"))


def test_minutes_end_a_run_saved_and_the_report_says_how_far_it_is(photos, tmp_path):
    reports = []
    progress = run_training(
        tiny_config(total_images=10**7, log_every_images=4), photos, tmp_path, stop_after_minutes=0.02,
        report=lambda progress, values: reports.append(dict(values)),
    )  # fmt: skip
    assert 4 <= progress.images < 10**6
    assert (
        CheckpointFolder(tmp_path, keep_last=3, keep_every_images=None).newest().name
        == f"{progress.images:09d}"
    )
    keys = {"run/share", "run/seconds_left", "run/memory_gib", "run/learning_rate", "speed/images_per_s"}
    assert keys <= reports[-1].keys()
    assert reports[-1]["run/seconds_left"] < 2.0
    assert reports[-1]["run/memory_gib"] > 0.05


def test_held_out_figures_and_the_best_checkpoint(photos, tmp_path, monkeypatch):
    scores = iter([0.5, 0.7, 0.6])
    protocol = SimpleNamespace(
        measure=lambda generator: {"sface": next(scores), "pose_deg": 0.0, "gaze_deg": 0.0, "sharpness": 0.0}
    )
    monkeypatch.setattr(held_out.HeldOutProtocol, "load", lambda *args: protocol)
    config = tiny_config(total_images=12, log_every_images=4, held_out={"every_s": 0.0})
    run_training(config, photos, tmp_path, held_out=(tmp_path,))
    assert [line["held_out/sface"] for line in logged(tmp_path)] == [0.5, 0.7, 0.6]
    state = read_state(tmp_path / "best")
    assert (state["progress"]["images"], state["figures"]["score"]) == (8, 0.7)
    assert read_generator_weights(tmp_path / "best")


def test_a_new_run_starts_from_given_weights(photos, tmp_path):
    run_training(tiny_config(total_images=4), photos, tmp_path / "old")
    given = tmp_path / "old" / "checkpoints" / "000000004" / "average.safetensors"
    config = tiny_config(total_images=4, ema_half_life_images=1e12, ema_rampup=0.0)
    run_training(config, photos, tmp_path / "new", init_from=given)
    started = weights_of(tmp_path / "new", 4)["average"]
    for key, value in load_file(
        given
    ).items():  # the average of the new run has hardly moved from where it began
        assert torch.allclose(value, started[key], atol=1e-5), key


def test_weights_of_another_architecture_are_refused(photos, tmp_path):
    from safetensors.torch import save_file

    save_file({"encoder.stem.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(TrainingError, match="a network can only be widened"):
        run_training(tiny_config(), photos, tmp_path / "run", init_from=tmp_path / "other.safetensors")


def test_weights_that_are_not_whole_are_refused(photos, tmp_path):
    from safetensors.torch import save_file

    save_file({"encoder.stem.bias": torch.zeros(8)}, tmp_path / "part.safetensors")
    with pytest.raises(TrainingError, match=r"lack \d+ of those of 'tiny', .*not whole"):
        run_training(tiny_config(), photos, tmp_path / "run", init_from=tmp_path / "part.safetensors")


def test_the_saved_configuration_reads_back_as_the_same(photos, tmp_path):
    config = tiny_config(total_images=4)
    run_training(config, photos, tmp_path)
    assert parse_config(json.loads((tmp_path / "config.json").read_text())) == config
