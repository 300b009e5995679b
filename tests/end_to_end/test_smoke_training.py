"""From photographs to a network that has learnt them: `prepare`, then `train --preset smoke`, as a user would."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from skimage import data as images


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two made-up people with a photo each: the astronaut (public domain), and the same relit and stretched."""
    folder = tmp_path_factory.mktemp("photos")
    portrait = cv2.resize(images.astronaut()[0:260, 90:350, ::-1], (520, 520), interpolation=cv2.INTER_CUBIC)
    wide = cv2.resize(portrait, (600, 520))[:, 40:560]
    for name, image in (("first", portrait), ("second", np.ascontiguousarray(wide[:, ::-1] // 2 + 60))):
        (folder / name).mkdir()
        cv2.imwrite(str(folder / name / "0.png"), image)
    return folder


def run(*words):
    done = subprocess.run(
        [sys.executable, "-m", "hififace", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_smoke_over_fits_two_pairs(photos, tmp_path):
    run("prepare", photos, "-o", tmp_path / "set", "--workers", 1)
    run(
        "train", "--preset", "smoke", "--data", tmp_path / "set", "--run", tmp_path / "run", "--device", "cpu"
    )

    lines = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    first, last = lines[0], lines[-1]
    assert last["images"] == 3000
    # The mask covers the face and leaves the rest alone; the image is learnt, not just its average colour.
    assert last["mask/inside"] > 0.9
    assert last["mask/outside"] < 0.2
    assert last["loss/reconstruction"] < 0.5 * first["loss/reconstruction"]
    assert last["loss/reconstruction"] < 0.06  # the sum of two L1 errors: 3 % of the range each
    preview = cv2.imread(str(tmp_path / "run" / "previews" / "000003000.png"))
    assert preview.shape == (4 * 128, 5 * 128, 3)
