"""The recipe of the embedded model, from photographs through its first steps, as a stranger would run it."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from skimage import data as images


def run(*words):
    done = subprocess.run(
        [sys.executable, "-m", "hififace", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_first_steps_of_mini_128(tmp_path):
    """All terms but `perceptual`, whose network has to be fetched."""
    portrait = cv2.resize(images.astronaut()[0:260, 90:350, ::-1], (520, 520), interpolation=cv2.INTER_CUBIC)
    wide = cv2.resize(portrait, (600, 520))[:, 40:560]
    for name, image in (("first", portrait), ("second", np.ascontiguousarray(wide[:, ::-1] // 2 + 60))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "photos" / name / "0.png"), image)
    run("prepare", tmp_path / "photos", "-o", tmp_path / "set")
    recipe = ["--preset", "mini_128", "--set", "loss.weights.perceptual=0", "--set", "log_every_images=8"]
    told = run(
        "train", *recipe, "--data", tmp_path / "set", "--run", tmp_path / "run", "--device", "cpu",
        "--stop-after", 16,
    )  # fmt: skip
    assert "16 images in 2 steps" in told
    lines = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [8, 16]
    losses = {name: value for name, value in lines[-1].items() if name.startswith("loss/")}
    assert {"loss/identity", "loss/reconstruction", "loss/segmentation", "loss/shape"} <= losses.keys()
    assert all(np.isfinite(list(losses.values())))
