from __future__ import annotations

import json
from pathlib import Path

import pytest

from hififace.cli.main import main
from hififace.errors import WeightsError
from hififace.weights import store
from hififace.weights.registry import CARDS, cards_for, find_card


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(["weights", *arguments])
    return int(leaving.value.code or 0)


def test_list_names_every_card_and_its_licence(capsys):
    assert run("list") == 0
    listed = capsys.readouterr().out
    assert all(card.name in listed and card.licence in listed for card in CARDS)


def test_list_as_json_and_commercial_only(capsys):
    assert run("list", "--json", "--commercial") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["name"] for row in rows} == {card.name for card in CARDS if card.commercial}
    assert all(row["here"] is (row["kind"] == "embedded") for row in rows)


def test_show_says_where_a_file_to_bring_is_found(capsys, tmp_path):
    assert run("show", "bfm") == 0
    shown = capsys.readouterr().out
    assert "faces.dmi.unibas.ch" in shown
    assert str(tmp_path) in shown


def test_verify_passes_when_only_optional_files_are_missing(capsys):
    assert run("verify") == 0
    assert "intact" in capsys.readouterr().out


def test_verify_fails_for_a_named_missing_and_for_an_altered_file(capsys):
    assert run("verify", "dlib_recogniser") == 1
    path = store.model_dir() / "lpips_vgg_v0.1.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"altered")
    assert run("verify", "--json") == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [row["name"] for row in rows if row["state"] == "altered"] == ["lpips_vgg_heads"]


def test_fetch_offline_goes_through_all_and_fails_once(capsys):
    assert run("fetch", "dlib_recogniser", "yunet", "arcface_r100", "--offline") == 1
    captured = capsys.readouterr()
    assert "yunet.onnx" in captured.out
    assert "offline" in captured.err
    assert "may not be redistributed" in captured.err
    assert "2 of 3 files" in captured.err


def test_fetch_refuses_by_licence(capsys):
    assert run("fetch", "arcface_r100", "--commercial") == 1
    assert "may not be used commercially" in capsys.readouterr().err


def test_fetch_wants_names_or_all(capsys):
    assert run("fetch") == 2
    assert run("fetch", "yunet", "--all") == 2
    assert run("fetch", "nothing") == 2


def test_fetch_takes_a_purpose_and_goes_through_all_of_it(capsys):
    assert run("fetch", "evaluation", "--offline") == 1
    told = capsys.readouterr().err
    for card in cards_for("evaluation"):
        assert f"{card.name}: " in told
    assert "mobilefacenet: user-supplied" in told
    assert "5 of 6 files could not be downloaded" in told


def test_the_error_of_one_missing_file_names_the_command_for_all():
    with pytest.raises(WeightsError, match="`hififace weights fetch evaluation`"):
        store.locate(find_card("dlib_recogniser_tfjs"))
