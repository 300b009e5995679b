"""Bundles: what is written is read back, and every way to damage one has its own sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hififace.errors import BundleError
from hififace.weights import bundle as bundle_module
from hififace.weights.bundle import Bundle, available_models, load_bundle, write_bundle

DESCRIPTION: dict[str, Any] = {
    "name": "small",
    "version": "1",
    "family": "mesh",
    "resolution": 128,
    "template": "mini_128",
    "identity": {"part": "sface", "size": 128},
    "shape": {"part": "mesh"},
    "vector": [
        {"name": "source_shape", "size": 10, "owner": "source"},
        {"name": "target_pose", "size": 3, "gain": 2.0, "owner": "target"},
    ],
    "graphs": {"generator": "generator.onnx"},
    "licence": "MIT",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "small", DESCRIPTION, {"generator.onnx": b"numbers"})
    return tmp_path / "small"


def _edit(folder: Path, **changes: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_bundle_is_read_back_as_it_was_described(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.path("generator") == folder / "generator.onnx"
    assert bundle.vector_size == 13
    assert [entry.feature for entry in bundle.vector] == ["shape", "pose"]
    assert bundle.vector[1].gain == 2.0
    assert sorted(path.name for path in folder.parent.iterdir()) == ["small"], "staging was left behind"


def test_a_shipped_bundle_is_found_by_the_name_of_its_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_module, "EMBEDDED_BUNDLES", folder.parent)
    assert available_models() == ["small"]
    assert load_bundle("small").folder == folder


def test_a_path_wins_nothing_over_a_name_and_an_unknown_name_is_a_sentence() -> None:
    with pytest.raises(BundleError, match=r"No bundle 'no-such-model'.*neither a folder"):
        load_bundle("no-such-model")


def test_an_altered_graph_is_refused(folder: Path) -> None:
    (folder / "generator.onnx").write_bytes(b"Numbers")
    with pytest.raises(BundleError, match=r"altered: .*generator\.onnx"):
        load_bundle(folder)


def test_a_missing_graph_is_named(folder: Path) -> None:
    (folder / "generator.onnx").unlink()
    with pytest.raises(BundleError, match=r"generator\.onnx is missing"):
        load_bundle(folder)


def test_a_missing_or_broken_description_is_a_sentence(folder: Path) -> None:
    (folder / "model.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        load_bundle(folder)
    (folder / "model.json").unlink()
    with pytest.raises(BundleError, match="not a bundle"):
        load_bundle(folder)


@pytest.mark.parametrize("version", [2, None, "1"])
def test_an_unknown_schema_asks_for_an_update(folder: Path, version: object) -> None:
    _edit(folder, schema_version=version)
    with pytest.raises(BundleError, match="Update hififace"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "name", ["../generator.onnx", "/etc/passwd", "a/b.onnx", "..", ".hidden", "a\\b", "model.json"]
)
def test_file_names_cannot_reach_out_of_the_folder(folder: Path, name: str) -> None:
    _edit(folder, graphs={"generator": name}, files={name: "0" * 64})
    with pytest.raises(BundleError, match="plain file name"):
        load_bundle(folder)
    with pytest.raises(BundleError, match="plain file name"):
        write_bundle(folder.parent / "other", DESCRIPTION, {name: b"numbers"})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"licence_": "MIT"}, "licence_: Extra inputs"),
        ({"resolution": 0}, "resolution"),
        ({"family": "other"}, "family"),
        ({"files": {}}, r"no SHA-256 for the graph generator\.onnx"),
        ({"vector": [DESCRIPTION["vector"][0]] * 2}, "names a part twice"),
        ({"vector": []}, "vector"),
        (
            {"vector": [{"name": "source_shape", "size": 10, "owner": "source", "feedback": 0.3}]},
            "only source_identity can have it",
        ),
    ],
)
def test_each_wrong_field_is_named(folder: Path, changes: dict[str, Any], sentence: str) -> None:
    _edit(folder, **changes)
    with pytest.raises(BundleError, match=sentence):
        load_bundle(folder)


def test_a_failed_write_keeps_the_older_bundle(folder: Path) -> None:
    with pytest.raises(BundleError, match="resolution"):
        write_bundle(folder, {**DESCRIPTION, "resolution": -1}, {"generator.onnx": b"new"})
    with pytest.raises(BundleError, match="Nothing was left behind"):
        write_bundle(folder, DESCRIPTION, {"generator.onnx": folder / "no-such-file"})
    assert (load_bundle(folder).path("generator")).read_bytes() == b"numbers"
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


def test_a_newer_bundle_replaces_an_older_one_but_nothing_else(folder: Path, tmp_path: Path) -> None:
    write_bundle(folder, {**DESCRIPTION, "version": "2"}, {"generator.onnx": b"new"})
    assert load_bundle(folder).version == "2"
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "me.jpg").write_bytes(b"keep")
    with pytest.raises(BundleError, match="not a bundle"):
        write_bundle(photos, DESCRIPTION, {"generator.onnx": b"new"})
    assert (photos / "me.jpg").read_bytes() == b"keep"


def test_a_bundle_made_in_memory_has_no_folder() -> None:
    made = Bundle.model_validate({**DESCRIPTION, "files": {"generator.onnx": "0" * 64}})
    with pytest.raises(BundleError, match="not loaded"):
        _ = made.folder
