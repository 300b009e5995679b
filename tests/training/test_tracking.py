"""Reports to a tracking program: what it is told, by a stand-in, and by the real ones without a network."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from hififace.errors import RuntimeUnavailableError
from hififace.training.checkpoint import Progress
from hififace.training.stats import RunLog
from hififace.training.tracking import Tracker

PIXELS = np.zeros((4, 6, 3), np.uint8)


@pytest.fixture
def told(monkeypatch):
    """Everything that a stand-in of both programs was told."""
    calls = []
    module = SimpleNamespace(
        init=lambda **options: calls.append(("init", options)),
        log=lambda values, step: calls.append(("log", step, values)),
        finish=lambda: calls.append(("finish",)),
        Image=lambda pixels: ("image", pixels.shape),
    )
    for name in ("wandb", "trackio"):
        monkeypatch.setitem(sys.modules, name, module)
    return calls


@pytest.mark.parametrize("program", ["wandb", "trackio"])
def test_a_run_is_told_from_its_beginning_to_its_end(told, tmp_path, program):
    (tmp_path / "mine").mkdir()
    log = RunLog(tmp_path / "mine", Progress(), program, {"seed": 3})
    log.write(64, {"loss/identity": 0.5})
    log.image("preview", PIXELS, 64)
    log.close()
    kind, options = told[0]
    assert (kind, options["project"], options["name"], options["config"]) == (
        "init",
        "hififace",
        "mine",
        {"seed": 3},
    )
    assert options["resume"] == "allow"
    assert ("dir" in options) == (program == "wandb")  # Trackio has a folder of its own
    assert told[1:] == [
        ("log", 64, {"loss/identity": 0.5}),
        ("log", 64, {"preview": ("image", (4, 6, 3))}),
        ("finish",),
    ]
    assert json.loads((tmp_path / "mine/stats.jsonl").read_text())["loss/identity"] == 0.5


def test_nothing_is_told_unless_asked(told, tmp_path):
    log = RunLog(tmp_path, Progress())
    log.write(64, {"loss": 0.5})
    log.close()
    assert told == []


def test_a_program_that_is_missing_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(
        RuntimeUnavailableError, match=r"--track wandb needs wandb, which is not installed: pip install wandb"
    ):
        Tracker("wandb", tmp_path, {})


@pytest.mark.slow
def test_weights_and_biases_keeps_an_offline_run_on_this_machine(monkeypatch, tmp_path):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    log = RunLog(tmp_path, Progress(), "wandb", {"seed": 3})
    for images in (64, 128):
        log.write(images, {"loss/identity": 0.5})
    log.image("preview", PIXELS, 128)
    log.close()
    (kept,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert kept.stat().st_size > 1000
