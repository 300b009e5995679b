"""A run's checkpoint into a bundle: which checkpoint, which weights, and what is said when something
lacks.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hififace.cli.main import main
from hififace.errors import OptionError, TrainingError, WeightsError
from hififace.export.trained import export_trained, find_checkpoint, load_trained_generator
from hififace.models.create import create_generator
from hififace.models.params import tiny, to_json
from hififace.training.checkpoint import SCHEMA_VERSION
from hififace.weights.bundle import load_bundle
from hififace.weights.graphs import read_initializers


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two checkpoints, as training writes them; trained and averaged weights differ."""
    for images in (100, 200):
        folder = tmp_path / "run" / "checkpoints" / f"{images:09d}"
        folder.mkdir(parents=True)
        for number, name in enumerate(("generator", "average")):
            torch.manual_seed(images + number)
            save_file(create_generator(tiny()).state_dict(), folder / f"{name}.safetensors")
        state = {
            "schema_version": SCHEMA_VERSION,
            "progress": {"images": images},
            "config": {"family": "mesh", "generator": to_json(tiny())},
        }
        (folder / "state.json").write_text(json.dumps(state))
    return tmp_path / "run"


def test_the_newest_checkpoint_of_a_run_is_taken_or_the_one_given(run: Path) -> None:
    assert find_checkpoint(run).name == "000000200"
    assert find_checkpoint(run / "checkpoints" / "000000100").name == "000000100"
    with pytest.raises(TrainingError, match="neither a run with checkpoints"):
        find_checkpoint(run / "checkpoints")


def test_the_command_exports_the_average(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = tmp_path / "metrics.json"
    metrics.write_text('{"identity": 0.5}')
    output = tmp_path / "bundle"
    with pytest.raises(SystemExit) as caught:
        main(["export", str(run), "-o", str(output), "--licence", "MIT", "--metrics", str(metrics)])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("generator: largest difference from PyTorch ")
    bundle = load_bundle(output)
    assert (bundle.name, bundle.version, bundle.family, bundle.template) == (
        "bundle",
        "200",
        "mesh",
        "mini_128",
    )
    assert (bundle.identity.part, bundle.identity.size, bundle.shape.part) == ("sface", 8, "mesh")
    assert bundle.metrics == {"identity": 0.5}
    exported = read_initializers(bundle.path("generator"))["generator.encoder.stem.weight"]
    averaged = load_trained_generator(find_checkpoint(run)).encoder.stem.weight
    np.testing.assert_array_equal(exported, averaged.numpy())


@pytest.mark.parametrize(
    ("trained", "given", "expected"),
    [
        ({}, None, 0.0),
        ({"loss": {"feedback": 0.7}}, None, 0.4),
        ({"step": {"feedback": 0.7}}, None, 0.4),
        ({}, 0.3, 0.3),
    ],
)
def test_a_network_trained_to_be_asked_twice_is_asked_twice(
    run: Path, tmp_path: Path, trained: dict, given: float | None, expected: float
) -> None:
    path = run / "checkpoints" / "000000200" / "state.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "config": {**state["config"], **trained}}))
    report = export_trained(run, tmp_path / "bundle", {"licence": "MIT"}, feedback=given)
    assert report.bundle.feedback == expected


def test_trained_and_averaged_weights_are_told_apart(run: Path) -> None:
    average, trained = (
        load_trained_generator(find_checkpoint(run), name) for name in ("average", "generator")
    )
    assert not torch.equal(average.encoder.stem.weight, trained.encoder.stem.weight)


def test_what_is_missing_is_a_sentence(run: Path, tmp_path: Path) -> None:
    checkpoint = find_checkpoint(run)
    (checkpoint / "average.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"average\.safetensors"):
        export_trained(run, tmp_path / "bundle", {"licence": "MIT"})
    state = json.loads((checkpoint / "state.json").read_text())
    (checkpoint / "state.json").write_text(json.dumps({**state, "config": {"family": "mesh"}}))
    with pytest.raises(TrainingError, match="describes no generator"):
        export_trained(run, tmp_path / "bundle", {"licence": "MIT"})


def test_the_basel_family_asks_for_its_networks(run: Path, tmp_path: Path) -> None:
    checkpoint = find_checkpoint(run)
    state = json.loads((checkpoint / "state.json").read_text())
    state["config"]["family"] = "basel"
    (checkpoint / "state.json").write_text(json.dumps(state))
    with pytest.raises(OptionError, match="--arcface and --deep3d"):
        export_trained(run, tmp_path / "bundle", {"licence": "research"})


def test_a_lone_file_that_says_what_it_is_becomes_a_bundle(tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = {name: value.half() for name, value in create_generator(tiny()).state_dict().items()}
    path = tmp_path / "average.safetensors"
    notes = {"generator": "tiny", "images": "512", "template": "mini_128"}
    save_file(state, path, metadata=notes)
    bundle = export_trained(path, tmp_path / "bundle", {"licence": "MIT"}).bundle
    assert (bundle.version, bundle.family, bundle.template) == ("512", "mesh", "mini_128")
    weights = read_initializers(bundle.path("generator"))
    np.testing.assert_array_equal(
        weights["generator.encoder.stem.weight"], state["encoder.stem.weight"].float().numpy()
    )


def test_a_file_that_does_not_say_what_it_is_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="does not say which generator it is"):
        export_trained(tmp_path / "w.safetensors", tmp_path / "bundle", {"licence": "MIT"})
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="cannot be read as a safetensors file"):
        export_trained(tmp_path / "w.safetensors", tmp_path / "bundle", {"licence": "MIT"})
