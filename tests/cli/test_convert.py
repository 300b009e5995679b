"""`hififace convert`: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.support.published_doubles import reload_small, small_state

from hififace.cli.main import main
from hififace.export import checkpoint as checkpoint_module
from hififace.weights.bundle import load_bundle


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["convert", *arguments])
    return int(caught.value.code or 0)


@pytest.fixture
def small_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real command on small networks: only the sizes of the three networks are exchanged."""
    path = tmp_path / "generator_320000.pth"
    torch.save(small_state(), path)
    monkeypatch.setattr(checkpoint_module, "load", lambda path: reload_small(torch.load(path), path.name))
    return path


def test_it_prints_the_largest_difference_of_each_graph_and_options_reach_the_bundle(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "standard"
    options = ("--half", "--name", "mine", "--detector", "scrfd")
    assert _run(str(small_checkpoint), "-o", str(output), *options) == 0
    lines = capsys.readouterr().out.splitlines()
    for graph, line in zip(("generator", "identity", "shape"), lines, strict=False):
        assert line.startswith(f"{graph}: largest difference from PyTorch ")
    assert "bundle 'mine' version 320000" in lines[-1]
    bundle = load_bundle(output)
    assert (bundle.name, bundle.detector, bundle.half_weights) == ("mine", "scrfd", True)


def test_a_file_cut_short_is_one_sentence_and_no_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "generator_320000.pth"
    path.write_bytes(b"PK\x03\x04 and then the download stopped")
    assert _run(str(path), "-o", str(tmp_path / "standard")) == 1
    captured = capsys.readouterr()
    assert "generator_320000.pth cannot be read as PyTorch weights" in captured.err
    assert captured.out == ""
    assert not (tmp_path / "standard").exists()


class _Program:
    """Would make a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def test_a_malicious_file_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, trace = tmp_path / "generator_320000.pth", tmp_path / "trace"
    torch.save({**small_state(), "more": _Program(trace)}, path)
    assert _run(str(path), "-o", str(tmp_path / "standard")) == 1
    assert "was refused: it is damaged, or wants to run code" in capsys.readouterr().err
    assert not trace.exists()
    assert not (tmp_path / "standard").exists()


def test_renamed_weights_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "generator_320000.pth"
    torch.save({f"module.{key}": value for key, value in small_state().items()}, path)
    assert _run(str(path), "-o", str(tmp_path / "standard")) == 1
    message = capsys.readouterr().err
    assert "of its 1425 keys are" in message
    assert "unknown (module." in message
    assert not (tmp_path / "standard").exists()
