from __future__ import annotations

import pytest

from hififace.cli.main import main


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["app", *words])
    return int(left.value.code or 0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "0.0.0.0"], "Add --auth USER:PASSWORD"),
        (["--auth", "anna"], "USER:PASSWORD was expected"),
        (["--keep-minutes", "0"], "The limit minutes is 0"),
        (["--bundles", "nowhere"], "no bundle is there"),
    ],
)
def test_wrong_options_are_sentences(words: list[str], told: str, capsys: pytest.CaptureFixture[str]):
    assert run(*words) == 2
    assert told in capsys.readouterr().err


def test_help_names_the_limits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for flag in ("--max-upload-mb", "--max-megapixels", "--queue", "--requests-per-minute", "--keep-minutes"):
        assert flag in shown
