"""Bundles side by side: pairs from files and folders, the same faces for all, what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hififace.cli.main import build_app
from hififace.errors import DataError, OptionError
from hififace.evaluation.compare import Comparison, PhotoPair, compare, read_pairs, sheet, to_markdown
from hififace.media.image import read_image
from hififace.provenance.verify import check_file
from tests.support.bundle_doubles import write_mesh_bundle
from tests.support.evaluation_doubles import portrait


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    for name, image in {
        "me.png": portrait(),
        "you.png": portrait(0.7, mirrored=True),
        "wall.png": np.full((120, 120, 3), 90, np.uint8),
    }.items():
        Image.fromarray(image).save(folder / name)
    write_mesh_bundle(folder / "one")
    write_mesh_bundle(folder / "two", version="2", enlarge=2)
    return folder


@pytest.fixture(scope="module")
def found(place: Path) -> Comparison:
    pairs = [
        PhotoPair(place / "me.png", place / "you.png"),
        PhotoPair(place / "me.png", place / "wall.png"),
        PhotoPair(place / "you.png", place / "me.png"),
    ]
    return compare([str(place / "one"), str(place / "two")], pairs, threads=1)


def test_each_pair_is_swapped_by_each_bundle(found):
    assert found.names == ("double 1", "double 2")
    assert found.values["likeness"].shape == (3, 2)
    assert np.isnan(found.values["likeness"][1]).all()
    assert np.isfinite(found.values["likeness"][[0, 2]]).all()
    assert (found.values["leak"][[0, 2]] < 0.999).all()
    assert (found.values["ms"][[0, 2]] > 0).all()
    (refused,) = found.refusals.items()
    assert refused[0].endswith("wall.png")
    assert refused[1] == "no face was found"


def test_the_sheet_has_a_row_for_each_swapped_pair(found):
    image = sheet(found)
    assert image.shape == (2 * 320, 4 * 320, 3)
    target, first = image[:320, 320:640].astype(int), image[:320, 640:960].astype(int)
    assert abs(first - target)[120:200, 120:200].mean() > 5
    assert abs(first - target)[:10].mean() < 1


def test_the_table_means_over_pairs_that_all_swapped(found):
    lines = to_markdown(found).splitlines()
    assert lines[0] == "2 of 3 pairs, swapped by every bundle."
    assert "| measure | double 1 | double 2 |" in lines
    mean = found.values["likeness"][[0, 2], 0].mean()
    assert any(line.startswith(f"| SFace cosine to the source | {mean:.3f} |") for line in lines)
    assert any("wall.png: no face was found" in line for line in lines)


def test_a_bundle_twice_is_told_apart_and_equal(place):
    pairs = [PhotoPair(place / "me.png", place / "you.png")]
    twice = compare([str(place / "one")] * 2, pairs, threads=1)
    assert twice.names == ("double 1 (1)", "double 1 (2)")
    for name, values in twice.values.items():
        if name != "ms":
            assert math.isclose(*values[0]), name


def test_pairs_of_files_are_relative_to_them(place):
    listed = place / "pairs.csv"
    listed.write_text("source,target\nme.png, you.png\n# a remark\n\nyou.png\tme.png\nme.png me.png\n")
    assert read_pairs(listed) == [
        PhotoPair(place / "me.png", place / "you.png"),
        PhotoPair(place / "you.png", place / "me.png"),
        PhotoPair(place / "me.png", place / "me.png"),
    ]


def test_folders_are_paired_in_the_order_of_names(tmp_path):
    for name in ("sources/a.png", "sources/b.png", "targets/1.png", "targets/2.png", "targets/3.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert [(a.name, b.name) for a, b in read_pairs(tmp_path)] == [
        ("a.png", "1.png"),
        ("b.png", "2.png"),
        ("a.png", "3.png"),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("me.png\n", r"Line 1 of .* is 'me\.png'; a source and a target"),
        ("me.png nobody.png\n", r"There is no photo .*nobody\.png"),
        ("\n", "names no pair"),
    ],
)
def test_lists_of_another_form_are_refused(place, text, sentence):
    listed = place / "wrong.txt"
    listed.write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_pairs(listed)


def test_empty_folders_and_lists_are_refused(place, tmp_path):
    with pytest.raises(DataError, match="0 photos in sources/"):
        read_pairs(tmp_path)
    with pytest.raises(OptionError, match="0 pairs were given"):
        compare([str(place / "one")], [])
    nothing = compare([str(place / "one")], [PhotoPair(place / "wall.png", place / "me.png")], threads=1)
    with pytest.raises(DataError, match="No pair was swapped"):
        sheet(nothing)


def test_one_command_writes_sheet_table_and_numbers(place, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path / "home"))
    (place / "list.txt").write_text("me.png you.png\n")
    output = tmp_path / "out"
    command = ["compare", str(place / "one"), str(place / "two"), "--pairs", str(place / "list.txt")]
    build_app(command)(args=[*command, "-o", str(output), "--quiet"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "| measure | double 1 | double 2 |" in printed
    assert read_image(output / "compare.jpg").pixels.shape == (320, 1280, 3)
    claim = check_file(output / "compare.jpg").claim
    assert claim is not None
    assert claim.model == "double 1 + double 2"
    content = json.loads((output / "compare.json").read_text())
    assert content["bundles"] == ["double 1", "double 2"]
    assert len(content["pairs"][0]["likeness"]) == 2
