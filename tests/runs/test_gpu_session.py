"""The session for a machine with a GPU, from end to end on the CPU: packed, checked, two steps, small files back."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from hififace.data.packed import PackedSet
from hififace.models.params import patch_discriminator, tiny
from hififace.training.device_config import DeviceConfig
from hififace.training.device_settings import StepSettings

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "runs" / "gpu_session.py"

pytestmark = pytest.mark.slow


def run(*words: object, fails: bool = False) -> str:
    """A command's output; its exit code is checked."""
    place = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, words)], env=place, capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == fails, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed set of two people, two photos each: the examples and their mirror images, at 128 px."""
    folder = tmp_path_factory.mktemp("session")
    for name in ("astronaut", "officer"):
        (folder / "photos" / name).mkdir(parents=True)
        with Image.open(ROOT / "examples" / f"{name}.jpg") as photo:
            photo.save(folder / "photos" / name / "one.png")
            ImageOps.mirror(photo).save(folder / "photos" / name / "two.png")
    run("-m", "hififace", "prepare", folder / "photos", "-o", folder / "set", "--resolution", 128)
    run("-m", "hififace", "pack", folder / "set", "-o", folder / "set.hfpack")
    return folder / "set.hfpack"


@pytest.fixture(scope="module")
def carry(pack: Path) -> Path:
    """What is carried: tiny networks, the frozen networks that ship, no perceptual term."""
    native = PackedSet.open(pack).native_px
    sharp = float(np.max(native))
    config = DeviceConfig(
        preset="tiny",
        generator=tiny(128, identity_size=24, expression_size=24, embedding_size=128),
        fine=patch_discriminator(96, 4, (6, 8)),
        coarse=patch_discriminator(128, 4, (6, 8)),
        total_images=800,
        batch_size=8,
        step=StepSettings(window_px=96, perceptual=0.0),
        recognisers=(),
        photos={"sharp_px": sharp, "clear_px": 0.0},
        band={"identity": (-1.0, 1.0), "accuracy": (0.0, 1.0)},
        held_out={"pairs": 2},
        warm_up_steps=1,
        precision="float32",
    )
    file = pack.with_name("tiny.json")
    file.write_text(config.model_dump_json())
    wheels = pack.with_name("wheels")
    wheels.mkdir()
    carry = pack.with_name("carry")
    said = run(
        SCRIPT,
        "pack",
        carry,
        pack,
        "--held-out",
        pack,
        "--config",
        file,
        "--wheels",
        wheels,
        "--set",
        "seed=3",
    )
    assert "There: python3 carry/gpu_session.py go" in said
    return carry


def test_two_steps_leave_everything_that_is_carried_back(carry: Path, tmp_path: Path):
    out = tmp_path / "out"
    run(
        carry / "gpu_session.py",
        "go",
        "--minutes",
        5,
        "--out",
        out,
        "--device",
        "cpu",
        "--steps",
        2,
        "--installed",
    )
    session = json.loads((out / "session.json").read_text())
    assert (session["card"], session["steps"], session["images"]) == ("CPU", 2, 16)
    assert session["pairs_per_s_at_check"] > 0
    kept = out / "run/checkpoints/000000016"
    assert (kept / "moments.safetensors").is_file()
    assert (out / "run/best/average.safetensors").is_file()
    assert all(path.stat().st_size <= 15e6 for path in out.rglob("*") if path.is_file())
    (line,) = (out / "run/stats.jsonl").read_text().splitlines()[-1:]
    assert {"held_out/sface", "held_out/score", "cosine_0", "run/share"} <= json.loads(line).keys()
    assert json.loads((out / "run/config.json").read_text())["seed"] == 3
    run("-m", "hififace", "train", "--preset", "mini_256", "--init-from", kept, "--dry-run")


def test_minutes_end_the_training_a_minute_before_the_machine_is_gone(carry: Path, tmp_path: Path):
    said = run(
        carry / "gpu_session.py", "go", "--minutes", 0.9, "--out", tmp_path / "out", "--device", "cpu", "--installed",
        fails=True,
    )  # fmt: skip
    assert "There is no time left to train" in said


def test_what_was_damaged_on_the_way_is_named(carry: Path, tmp_path: Path):
    damaged = tmp_path / "carry"
    shutil.copytree(carry, damaged)
    with (damaged / "sets" / "set.hfpack").open("r+b") as file:
        file.seek(5000)
        file.write(b"gone")
    said = run(
        damaged / "gpu_session.py", "go", "--minutes", 5, "--out", tmp_path / "out", "--installed", fails=True
    )
    assert "Not as they were packed: sets/set.hfpack" in said


def test_losses_of_another_machine_stop_it(carry: Path, tmp_path: Path):
    wrong = tmp_path / "carry"
    shutil.copytree(carry, wrong)
    expected = json.loads((wrong / "expected.json").read_text())
    expected["reconstruction"] *= 1.5
    (wrong / "expected.json").write_text(json.dumps(expected))
    hashes = json.loads((wrong / "SHA256.json").read_text())
    del hashes["expected.json"]
    (wrong / "SHA256.json").write_text(json.dumps(hashes))
    said = run(
        wrong / "gpu_session.py", "go", "--minutes", 5, "--out", tmp_path / "out", "--device", "cpu", "--installed",
        fails=True,
    )  # fmt: skip
    assert "'reconstruction' is" in said
    assert "nothing is trained" in said
