from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hififace.cli.main import build_app
from hififace.errors import DataError
from hififace.preparation.pack import PackOptions
from hififace.preparation.pack_parts import PackReport


def run(*arguments):
    words = ["pack", *map(str, arguments)]
    return CliRunner().invoke(build_app(words), words)


def test_options_reach_the_packing_and_files_are_named_with_their_sizes(monkeypatch):
    calls = []

    def pack_set(folder, output, options, **rest):
        calls.append((folder, output, options, rest["workers"]))
        rest["progress"](7, 7)
        figures = {
            "image_bytes": 2600.0, "fact_bytes": 650.0, "image_db_median": 42.3, "image_db_p05": 40.1,
            "landmark_rms_px": 0.0161, "landmark_max_px": 0.155,
        }  # fmt: skip
        return PackReport((Path("a-000.hfpack"), Path("a-001.hfpack")), (24_000_000, 1_500_000), 7, figures)

    monkeypatch.setattr(import_module("hififace.cli.pack"), "pack_set", pack_set)
    result = run("sets/a", "-o", "a.hfpack", "--part-mb", 24, "--quality", 80, "--workers", 2)
    assert result.exit_code == 0, result.output
    assert calls == [(Path("sets/a"), Path("a.hfpack"), PackOptions(quality=80, part_mb=24.0), 2)]
    assert "7 of 7 photos packed" in result.output
    assert "a-000.hfpack: 24.00 MB\na-001.hfpack: 1.50 MB" in result.output
    assert "2600 bytes of image and 650 of facts each" in result.output
    assert "42.3 dB to the crops (5 % below 40.1)" in result.output


def test_no_set_is_a_sentence(tmp_path):
    result = run(tmp_path / "nowhere", "-o", tmp_path / "a.hfpack")
    assert isinstance(result.exception, DataError)


@pytest.mark.parametrize("word", ["--part-mb", "NAME-000.hfpack"])
def test_help_names_parts(word):
    assert word in run("--help").output
