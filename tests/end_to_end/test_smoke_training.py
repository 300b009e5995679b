"""From photographs to a network that has learnt them: `prepare`, then `train --preset smoke`, as a user would."""

import json

import cv2
import pytest
from tests.support.as_a_user import run, two_people


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return two_people(tmp_path_factory.mktemp("photos"))


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
