from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hififace import __version__
from hififace.cli import doctor as examined
from hififace.cli.main import main
from hififace.weights import store
from hififace.weights.registry import CARDS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HIFIFACE_PROVIDERS", raising=False)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(["doctor", *arguments])
    return int(leaving.value.code or 0)


def findings(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_a_healthy_installation(capsys, tmp_path: Path):
    assert run("--json") == 0
    found = findings(capsys)
    assert found["problems"] == []
    assert found["versions"]["hififace"] == __version__
    assert found["runtime"]["in_use"] in found["runtime"]["offered"]
    assert found["codecs"]["h264"]["decode"] == ["h264"]
    assert set(found["codecs"]) == {"h264", "hevc", "vp9", "av1"}
    shipped = {card.filename for card in CARDS if card.kind == "embedded"}
    assert shipped <= set(found["parts"])
    assert set(found["parts"].values()) == {"intact"}
    assert found["places"]["your files"] == str(tmp_path / "home")
    assert not (tmp_path / "home").exists(), "looking must not make anything"


def test_the_same_for_people(capsys):
    assert run() == 0
    shown = capsys.readouterr().out
    for words in ("Networks run on", "CPUExecutionProvider", "yunet.onnx", "intact", "libx264", "works"):
        assert words in shown


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_provider_that_was_asked_for_and_not_obtained_is_a_loud_warning(capsys, monkeypatch, way: str):
    """The silent fall-back to the CPU is the commonest trouble people have with ONNX Runtime."""
    if way == "variable":
        monkeypatch.setenv("HIFIFACE_PROVIDERS", "migraphx, cpu")
    assert run(*(["--providers", "migraphx,cpu"] if way == "option" else [])) == 1
    captured = capsys.readouterr()
    told = " ".join(captured.err.split())
    assert "WARNING MIGraphXExecutionProvider was asked for, but CPUExecutionProvider runs." in told


def test_an_unknown_provider_is_a_problem(capsys):
    assert run("--providers", "abacus", "--json") == 1
    assert "abacus" in findings(capsys)["problems"][0]


def test_altered_and_missing_parts_are_problems(capsys, tmp_path: Path, monkeypatch):
    copy = tmp_path / "embedded"
    shutil.copytree(store.EMBEDDED, copy)
    (copy / "yunet.onnx").write_bytes((copy / "yunet.onnx").read_bytes() + b"\0")
    (copy / "iris.onnx").unlink()
    monkeypatch.setattr(store, "EMBEDDED", copy)
    assert run("--json") == 1
    found = findings(capsys)
    assert (found["parts"]["yunet.onnx"], found["parts"]["iris.onnx"]) == ("altered", "missing")
    assert sum("Install the package again" in problem for problem in found["problems"]) == 2


def test_two_runtimes_at_once_are_a_problem(capsys, monkeypatch):
    versions = {"onnxruntime": "1", "onnxruntime-gpu": "1"}
    monkeypatch.setattr(examined, "_versions", lambda: versions)
    assert run("--json") == 1
    assert "overwrite each other" in findings(capsys)["problems"][0]


def test_a_missing_extra_is_told_but_is_no_problem(capsys, monkeypatch):
    monkeypatch.setitem(examined._EXTRAS, "app", ("a_module_that_is_not_there",))
    assert run("--json") == 0
    assert findings(capsys)["extras"]["app"] == "not installed (a_module_that_is_not_there missing)"
