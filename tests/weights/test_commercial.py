"""`--commercial` everywhere: the model that ships is refused by name, and so is every part whose licence forbids it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.bundle_doubles import write_mesh_bundle

from hififace import FaceSwapper, WeightsError
from hififace.cli import main as cli
from hififace.hosting.bundles import Bundles
from hififace.weights.bundle import MANIFEST_NAME, load_bundle


def declare(folder: Path, **fields: object) -> Path:
    manifest = folder / MANIFEST_NAME
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **fields}))
    return folder


def test_mini_is_for_research():
    load_bundle("mini")
    for load in (load_bundle, FaceSwapper.load):
        with pytest.raises(WeightsError, match="'mini' may not be used commercially"):
            load("mini", commercial=True)


def test_a_bundle_must_say_that_it_may(tmp_path: Path):
    folder = write_mesh_bundle(tmp_path / "double").folder
    with pytest.raises(WeightsError, match="may not be used commercially"):
        load_bundle(folder, commercial=True)


def test_a_bundle_that_may_is_refused_for_a_part_that_may_not(tmp_path: Path):
    folder = declare(write_mesh_bundle(tmp_path / "double").folder, commercial=True)
    with pytest.raises(WeightsError, match="mesh_shape may not be used commercially"):
        load_bundle(folder, commercial=True)
    with pytest.raises(WeightsError, match="scrfd_10g may not"):
        load_bundle(declare(folder, detector="scrfd"), commercial=True)


def test_the_page_shows_why(tmp_path: Path):
    bundles = Bundles(commercial=True)
    assert "may not be used commercially" in bundles.card("mini")
    with pytest.raises(WeightsError, match="may not be used commercially"):
        bundles.swapper("mini")


@pytest.mark.parametrize(
    "words",
    [
        ["swap", "me.jpg", "you.jpg", "-o", "out.jpg", "--commercial"],
        ["evaluate", "mini", "--data", ".", "--commercial"],
    ],
    ids=["swap", "evaluate"],
)
def test_commands_refuse(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 1
    assert "may not be used commercially" in capsys.readouterr().err


def test_app_has_the_option():
    import inspect

    from hififace.cli.app import app

    assert "commercial" in inspect.signature(app).parameters
