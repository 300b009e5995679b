"""`hififace evaluate`: what people type and what comes back."""

from __future__ import annotations

import json

import pytest
from tests.support.bundle_doubles import write_mesh_bundle
from tests.support.evaluation_doubles import write_dlib_weights, write_validation_shards
from typer.testing import CliRunner

from hififace.cli.main import build_app
from hififace.errors import OptionError


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "data").mkdir()
    write_validation_shards(folder / "data")
    write_dlib_weights(folder / "home")
    write_mesh_bundle(folder / "bundle")
    return folder


@pytest.fixture
def run(workplace, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(workplace / "home"))
    app = build_app(["evaluate"])
    return lambda *words: CliRunner().invoke(app, ["evaluate", *map(str, words)])


def test_a_bundle_beside_the_baselines(run, workplace, tmp_path):
    done = run(
        workplace / "bundle",
        "--data",
        workplace / "data",
        "--pairs",
        1,
        "--workers",
        1,
        "-o",
        tmp_path / "report",
        "-q",
    )
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "report" / "report.json") in done.output
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [one["name"] for one in report["methods"]] == ["copy", "paste", "double"]
    assert all("options" not in one for one in report["methods"])


def test_other_options_are_used_and_told(run, workplace, tmp_path):
    words = ["--no-baselines", "--no-match-colour", "--detail", 0.5, "--pairs", 1, "--workers", 1, "-q"]
    done = run(workplace / "bundle", "--data", workplace / "data", *words, "-o", tmp_path / "report")
    assert done.exit_code == 0, done.output
    (one,) = json.loads((tmp_path / "report" / "report.json").read_text())["methods"]
    assert one["options"] == {"match_colour": False, "detail": 0.5}
    assert "match_colour False, detail 0.5" in (tmp_path / "report" / "report.md").read_text()


def test_the_table_is_printed_without_an_output(run, workplace):
    done = run("--data", workplace / "data", "--pairs", 1, "--workers", 1, "-q")
    assert done.exit_code == 0, done.output
    assert "| measure | copy | paste |" in done.output


def test_a_report_does_not_overwrite_a_file(run, workplace, tmp_path):
    (tmp_path / "report").write_text("mine")
    done = run("--data", workplace / "data", "-o", tmp_path / "report")
    assert isinstance(done.exception, OptionError)
    assert (tmp_path / "report").read_text() == "mine"


def test_pairs_below_one_are_refused(run, workplace):
    assert run("--data", workplace / "data", "--pairs", 0).exit_code == 2
