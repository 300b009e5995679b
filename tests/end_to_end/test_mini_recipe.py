"""The recipe of the embedded model, from photographs through its first steps, as a stranger would run it."""

import json

import numpy as np
import pytest
from tests.support.as_a_user import run, two_people


@pytest.mark.slow
def test_the_first_steps_of_mini_128(tmp_path):
    """All terms but `perceptual`, whose network has to be fetched."""
    run("prepare", two_people(tmp_path / "photos"), "-o", tmp_path / "set")
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
