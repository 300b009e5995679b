"""Held-out figures by the real networks on made-up images, and which checkpoint is kept."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from hififace.errors import DataError, OptionError
from hififace.models.generator import GeneratorOutput
from hififace.models.params import tiny
from hififace.training import held_out, recognisers
from hififace.training.checkpoint import Progress, save_folder
from hififace.training.config import HeldOutConfig
from hififace.training.device_photos import ReadPhotos
from hififace.training.distributed import World
from hififace.training.held_out import (
    HeldOut,
    HeldOutProtocol,
    choose_pairs,
    gaze_directions,
    rotation_angle_deg,
    score_of,
    sharpness,
)
from hififace.training.run_options import RunOptions
from tests.support.device_doubles import CODES, EMBEDDING, LAYOUT, NATIVE, POINTS, SIDE, made_up_set
from tests.support.training_doubles import tiny_card

CARD = tiny_card(resolution=SIDE, coefficients=LAYOUT, landmark_mirror=tuple(range(POINTS)))
CONFIG = HeldOutConfig(pairs=6)
CPU = torch.device("cpu")


class Answer(nn.Module):
    """A generator that answers with a function of its target."""

    def __init__(self, change=lambda image: image):
        super().__init__()
        self.params = tiny(SIDE, identity_size=4, expression_size=3, embedding_size=EMBEDDING)
        self.change = change
        self.vectors = []

    def forward(self, image, vector):
        self.vectors.append(vector)
        mask = torch.ones_like(image[:, :1])
        return GeneratorOutput(self.change(image), image, mask, mask)


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Loads the protocol of the made-up set; networks but for MobileFaceNet are those that ship."""

    def read(paths, device, card=CARD):
        return ReadPhotos(made_up_set(), card, CODES, NATIVE, np.array(["here"] * len(CODES)))

    def loaded(card=CARD, other=CARD, config=CONFIG):
        monkeypatch.setattr(held_out, "read_photos", lambda paths, device: read(paths, device, other))
        monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
        return HeldOutProtocol.load([tmp_path], card, config, CPU, None)

    return loaded


def test_a_result_that_is_its_target_keeps_everything_and_is_not_the_source(load):
    protocol = load()
    figures = protocol.measure(Answer())
    assert figures.keys() == {"sface", "pose_deg", "gaze_deg", "sharpness"}
    assert figures["pose_deg"] == pytest.approx(0, abs=0.05)
    assert figures["gaze_deg"] == pytest.approx(0, abs=0.05) or math.isnan(figures["gaze_deg"])
    assert figures["sharpness"] == pytest.approx(1, abs=1e-4)
    assert figures["sface"] < 0.99


def test_a_result_that_is_its_source_is_the_source(load):
    protocol = load()
    n = protocol.count
    sources = protocol.data.crops(torch.arange(n, 2 * n), torch.zeros(n, dtype=torch.bool)).image
    figures = protocol.measure(Answer(lambda image: sources))
    assert figures["sface"] == pytest.approx(1, abs=1e-4)


def test_the_generator_is_asked_with_shape_and_identity_of_the_source_and_the_rest_of_the_target(load):
    protocol, answer = load(), Answer()
    protocol.measure(answer)
    vector, n, data = torch.cat(answer.vectors), protocol.count, protocol.data
    torch.testing.assert_close(vector[:, :4], data.coefficients[n:, :4])
    torch.testing.assert_close(vector[:, 4:10], data.coefficients[:n, 4:10])
    torch.testing.assert_close(vector[:, 10:], data.identity[n:])


def test_the_second_recogniser_is_asked_where_its_file_lies(load, monkeypatch):
    monkeypatch.setattr(recognisers, "locate_in", lambda files, card: files)
    monkeypatch.setattr(
        recognisers, "load_mobilefacenet", lambda path: nn.Sequential(nn.AvgPool2d(28), nn.Flatten())
    )
    figures = load().measure(Answer())
    assert 0.5 < figures["second"] < 1


def test_blur_is_seen():
    torch.manual_seed(0)
    target = torch.rand(2, 3, 32, 32)
    blurred = nn.functional.avg_pool2d(target, 3, 1, 1)
    mask = torch.zeros(2, 1, 32, 32)
    mask[:, :, 8:24, 8:24] = 1
    half = torch.where(mask > 0, blurred, target)
    assert float(sharpness(target, target, mask).mean()) == pytest.approx(1)
    assert float(sharpness(half, target, mask)[0]) < 0.1
    assert float(sharpness(half, target, mask * 0.5)[0]) > float(
        sharpness(half, target, mask)[0]
    )  # whole image
    assert math.isnan(float(sharpness(target, torch.full_like(target, 0.5), mask)[0]))


def test_angles_have_their_degrees():
    angle = math.radians(25.0)
    turned = torch.tensor(
        [[[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]]
    )
    assert float(rotation_angle_deg(torch.eye(3)[None], turned)) == pytest.approx(25.0, abs=1e-3)
    assert float(rotation_angle_deg(turned, turned)) == pytest.approx(0.0, abs=1e-3)
    ahead, aside = gaze_directions(torch.tensor([[0.0, 0.0], [math.sin(angle) / 3, 0.0]]))
    assert math.degrees(math.acos(float(ahead @ aside))) == pytest.approx(25.0, abs=1e-2)
    assert torch.isfinite(gaze_directions(torch.tensor([[5.0, 5.0]]))).all()


def test_pairs_are_two_people_and_the_same_every_time():
    codes = np.array([0, 0, 0, 0, 1, -1, -1], np.int32)
    targets, sources = choose_pairs(codes, 100)
    assert len(targets) == len(sources) == 7
    assert (targets != sources).all()
    known = codes[targets] >= 0
    assert (codes[targets][known] != codes[sources][known]).all()
    again = choose_pairs(codes, 100)
    assert (again[0] == targets).all()
    assert (again[1] == sources).all()
    assert len(choose_pairs(codes, 3)[0]) == 3
    with pytest.raises(DataError, match="show one person only"):
        choose_pairs(np.zeros(4, np.int32), 2)


def test_sets_of_other_crops_and_of_another_family_are_refused(load):
    with pytest.raises(DataError, match=r"shows other crops .* differ in resolution"):
        load(other=tiny_card(resolution=256, coefficients=LAYOUT))
    with pytest.raises(OptionError, match="this set is of 'basel'"):
        load(card=tiny_card(family="basel"))


# ---- The best.

FIGURES = {"sface": 0.6, "second": 0.5, "pose_deg": 2.0, "gaze_deg": 6.0, "sharpness": 0.7}


def test_the_score_counts_likeness_pose_gaze_and_sharpness():
    config = HeldOutConfig(pose_price=0.02, gaze_price=0.01, sharpness_worth=0.2)
    assert score_of(FIGURES, config) == pytest.approx(0.55 - 0.04 - 0.06 + 0.14)
    assert score_of({**FIGURES, "sharpness": 3.0}, config) == pytest.approx(0.55 - 0.04 - 0.06 + 0.2)
    assert score_of({**FIGURES, "pose_deg": float("nan")}, config) == -math.inf


@pytest.fixture
def measured():
    """A protocol that finds the likeness that it is given as the generator."""
    return SimpleNamespace(measure=lambda generator: {**FIGURES, "sface": generator})


def test_only_what_is_better_is_kept_also_after_a_resume(measured, tmp_path):
    kept = []

    def keep(figures):
        kept.append(figures["sface"])
        save_folder(tmp_path / "best", {}, Progress(), {}, figures)

    first = HeldOut(measured, HeldOutConfig(every_s=0.0), tmp_path)
    for likeness in (0.6, 0.5, 0.7):
        shown = first.look(likeness, keep, at_once=False)
        assert shown["held_out/sface"] == likeness
        assert "held_out/score" in shown
    second = HeldOut(measured, HeldOutConfig(every_s=0.0), tmp_path)
    second.look(0.65, keep, at_once=False)
    second.look(0.75, keep, at_once=False)
    assert kept == [0.6, 0.7, 0.75]


def test_the_clock_says_when_and_the_end_says_so_too(measured, tmp_path):
    rarely = HeldOut(measured, HeldOutConfig(every_s=1e9), tmp_path)
    assert rarely.look(0.6, lambda figures: None, at_once=False) == {}
    assert rarely.look(0.6, lambda figures: None, at_once=True)["held_out/sface"] == 0.6


def test_nothing_is_measured_without_a_set(tmp_path):
    options = RunOptions(device="cpu")
    held = HeldOut.open(options, CARD, CONFIG, tmp_path, World(0, 1, CPU))
    assert held.look(0.6, lambda figures: None, at_once=True) == {}
    other = HeldOut.open(RunOptions(held_out=(tmp_path,)), CARD, CONFIG, tmp_path, World(1, 2, CPU))
    assert other.look(0.6, lambda figures: None, at_once=True) == {}  # the first process measures
