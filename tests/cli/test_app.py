from __future__ import annotations

import re
from pathlib import Path

import pytest

from hififace.app.limits import Limits
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


GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "web-app.md"


def test_help_and_guide_name_the_same_limits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "200")
    assert run("--help") == 0
    shown = capsys.readouterr().out
    limits = re.findall(r"\| `(--[\w-]+)` \| (\d+) \|", GUIDE.read_text(encoding="utf-8"))
    assert len(limits) == len(Limits.__dataclass_fields__)
    for flag, default in limits:
        assert re.search(rf"{flag} .*\[default: {default}(\.0)?\]", shown), flag
