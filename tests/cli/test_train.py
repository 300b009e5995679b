"""`hififace train`: which configuration is chosen, and what is refused before anything is loaded."""

import json

import pytest

from hififace.cli.main import main


def outcome(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main(["train", *arguments])
    said = capsys.readouterr()
    return caught.value.code, said.out, said.err


@pytest.mark.parametrize("preset", ["mini_256", "mini_128"])
def test_a_configuration_goes_through_its_file(capsys, tmp_path, preset):
    code, first, _ = outcome(capsys, "--preset", preset, "--set", "seed=7", "--dry-run")
    assert code == 0
    (tmp_path / "config.json").write_text(first)
    code, second, _ = outcome(capsys, "--config", str(tmp_path / "config.json"), "--dry-run")
    assert code == 0
    assert json.loads(second) == json.loads(first)
    assert json.loads(second)["seed"] == 7


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give either --preset NAME or --config FILE"),
        (["--preset", "smoke"], "--run is missing"),
        (["--preset", "smoke", "--run", "R"], "--data is missing"),
        (["--preset", "mini_256", "--run", "R"], "There is no set to train from"),
        (["x.hfpack", "--preset", "smoke", "--run", "R"], "are for runs on one device"),
        (["--config", "no.json"], "cannot be read"),
        (["--preset", "mini_256", "--set", "band.identiy=1"], "did you mean identity"),
    ],
)
def test_what_lacks_is_a_sentence(capsys, arguments, sentence):
    code, _, errors = outcome(capsys, *arguments)
    assert code != 0
    assert sentence in " ".join(errors.split())
