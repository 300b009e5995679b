"""Crops of the literature's networks, and which of them are used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hififace.errors import WeightsError
from hififace.evaluation.papers import networks as module
from hififace.evaluation.papers.networks import Networks, aligned_112_by_96, deca_box, head_box
from hififace.faces.templates import TEMPLATES
from hififace.types import Detection
from tests.support.literature_doubles import write_small_networks


def place_image(side: int = 300) -> np.ndarray:
    """Red is x, green is y."""
    y, x = np.mgrid[:side, :side]
    return np.stack([x * 0.8, y * 0.8, np.zeros((side, side))], axis=2).astype(np.uint8)


def at(box: tuple[float, ...]) -> Detection:
    return Detection(np.array(box, np.float32), 1.0, np.zeros((5, 2), np.float32))


def edges(crop: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a crop of `place_image`, in pixels of the image."""
    x, y = crop[..., 0] / 0.8, crop[..., 1] / 0.8
    per_pixel = (x[100, 200] - x[100, 20]) / 180
    left, top = x[100, 20] - 20.5 * per_pixel, y[20, 100] - 20.5 * per_pixel
    return left, top, left + 224 * per_pixel, top + 224 * per_pixel


def test_pose_sees_the_middle_square_of_a_box_a_fifth_wider():
    """Box 100 x 120 at (100, 90): widened to 148 x 160, so a square of 148 around (150, 150)."""
    crop = head_box(place_image(), at((100, 90, 200, 210)))
    assert crop.shape == (224, 224, 3)
    assert edges(crop) == pytest.approx((76 - 0.5, 76 - 0.5, 224 - 0.5, 224 - 0.5), abs=2.5)


def test_deca_sees_a_square_a_little_below_the_middle():
    """Box 100 x 120: mean side 110, so 137.5 px around (150, 150 + 13.2)."""
    crop = deca_box(place_image(), at((100, 90, 200, 210)))
    assert edges(crop) == pytest.approx((80.75, 93.95, 218.25, 231.45), abs=2.5)


def test_cosface_sees_sphereface_alignment():
    """A face that lies as ArcFace's template asks is cut to the middle 96 columns."""
    image = np.random.default_rng(0).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    face = Detection(np.zeros(4, np.float32), 1.0, TEMPLATES["arcface_112"].points)
    assert np.array_equal(aligned_112_by_96(image, face), image[:, 8:104])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
    return tmp_path


def test_networks_that_are_here_are_used_and_the_others_named(home, monkeypatch):
    write_small_networks(home, monkeypatch, leave_out=("deca", "sixdrepnet"))
    found = Networks(whole_images=False)
    assert [one.name for one in found.adapters] == ["cosface", "ir_se50", "arcface_r100", "hopenet", "deep3d"]
    assert found.missing == ("sixdrepnet", "deca", "fid_inception")
    assert found.facts[-2:] == ("shape.deep3d", "expression.deep3d")
    assert set(found.hashes) == {"cosface", "arcface_ir_se50", "arcface_r100", "hopenet", "deep3d_recon"}


def test_without_a_recogniser_it_is_said_what_to_do(home, monkeypatch):
    write_small_networks(home, monkeypatch, leave_out=("cosface", "arcface_ir_se50", "arcface_r100"))
    with pytest.raises(WeightsError, match="hififace weights fetch literature"):
        Networks(whole_images=False)


def test_each_row_is_its_own_face_whatever_stands_beside_it(home, monkeypatch):
    write_small_networks(home, monkeypatch)
    found = Networks(whole_images=True)
    random = np.random.default_rng(1)
    images = [random.integers(0, 255, (side, side, 3), dtype=np.uint8) for side in (120, 120, 150)]
    face = Detection(np.array([20, 20, 100, 110], np.float32), 1.0, TEMPLATES["arcface_112"].points)
    together = found.describe(images, [face] * 3)
    alone = found.describe(images[2:], [face])
    assert {name: rows.shape[0] for name, rows in together.items()} == dict.fromkeys(found.facts, 3)
    for name, rows in together.items():
        assert np.allclose(rows[2], alone[name][0], atol=1e-4), name
        assert not np.allclose(rows[0], rows[1], atol=1e-4), name
    assert np.allclose(np.linalg.norm(together["identity.cosface"], axis=1), 1, atol=1e-5)


def test_neighbours_of_one_size_go_together_in_order():
    crops = [np.zeros((side, 4, 3), np.uint8) for side in (5, 5, 6, 5)]
    assert [len(batch) for batch in module._equal_sizes(crops)] == [2, 1, 1]
    assert [len(batch) for batch in module._equal_sizes(crops[:1] * 23)] == [10, 10, 3]
