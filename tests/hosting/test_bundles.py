from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hififace import BundleError, HififaceError, OptionError
from hififace.hosting.bundles import Bundles
from hififace.weights.bundle import available_models


@pytest.fixture(scope="module")
def bundles(mesh_bundle: Path) -> Bundles:
    return Bundles([mesh_bundle], threads=1)


def test_a_broken_bundle_is_a_sentence_beside_the_good_ones(mesh_bundle: Path, tmp_path: Path):
    shutil.copytree(mesh_bundle, tmp_path / "good")
    shutil.copytree(mesh_bundle, tmp_path / "torn")
    (tmp_path / "torn" / "generator.onnx").write_bytes(b"altered")
    found = Bundles([tmp_path])
    assert set(found.names) == {"double", "torn", *available_models()}
    assert found.names[-1] == "torn"
    assert "cannot be used" in found.card("torn")
    assert "was altered: torn/generator.onnx" in found.card("torn")
    assert str(tmp_path) not in found.card("torn")
    assert "Licence: none" in found.card("double")
    with pytest.raises(BundleError, match="was altered") as told:
        found.swapper("torn")
    assert str(tmp_path) not in str(told.value)


def test_a_model_is_opened_once(bundles: Bundles):
    assert bundles.swapper("double") is bundles.swapper("double")


def test_models_are_opened_in_the_precision_asked_for(mesh_bundle: Path):
    bundles = Bundles([mesh_bundle], threads=1, precision="int8")
    with pytest.raises(HififaceError, match="int8"):
        bundles.swapper("double")
    assert Bundles([mesh_bundle], threads=1).swapper("double").engine.precision == "float32"


def test_two_of_one_name_are_told_apart(mesh_bundle: Path, tmp_path: Path):
    shutil.copytree(mesh_bundle, tmp_path / "first")
    shutil.copytree(mesh_bundle, tmp_path / "second")
    assert {"double", "double (second)"} <= set(Bundles([tmp_path]).names)


def test_a_folder_without_bundles_is_a_sentence(tmp_path: Path):
    with pytest.raises(OptionError, match="no bundle is there"):
        Bundles([tmp_path])


def test_an_unknown_model_is_a_sentence(bundles: Bundles):
    with pytest.raises(OptionError, match=r"no model 'other' here\. Choose one of: "):
        bundles.swapper("other")


def test_no_model_at_all_is_a_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hififace.hosting.bundles.available_models", list)
    empty = Bundles()
    assert empty.names == []
    assert empty.card(None).startswith("No model was found.")
    with pytest.raises(OptionError, match="No model was found"):
        empty.swapper(None)
