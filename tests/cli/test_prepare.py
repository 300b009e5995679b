from importlib import import_module

import pytest
from typer.testing import CliRunner

from hififace.cli.main import build_app
from hififace.errors import OptionError
from hififace.preparation.build import Progress, Workers

command = import_module("hififace.cli.prepare")


class Card:
    num_photos, num_identities, num_shards = 7, 3, 1


def run(*arguments):
    words = ["prepare", *map(str, arguments)]
    return CliRunner().invoke(build_app(words), words)


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def prepare_set(inputs, output, options, **rest):
        calls.append((inputs, output, options, rest))
        rest["progress"](Progress(100, 100, 95, 5, 0))
        return Card

    monkeypatch.setattr(command, "prepare_set", prepare_set)
    return calls


def test_options_reach_the_preparation(asked, tmp_path):
    result = run(
        "a", "b.tar", "-o", tmp_path / "set", "--workers", 3, "--min-age", 21, "--resolution", 256,
        "--template", "frontal_256", "--max-yaw", 40, "--layout", "flat",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    inputs, output, options, rest = asked[0]
    assert [path.name for path in inputs] == ["a", "b.tar"]
    assert output == tmp_path / "set"
    assert (options.min_age, options.resolution, options.template) == (21, 256, "frontal_256")
    assert (options.layout, options.quality.max_yaw_deg) == ("flat", 40.0)
    assert rest["workers"] == Workers(3, ray=False)


def test_a_log_gets_lines_with_rate_and_the_end_a_summary(asked, tmp_path):
    result = run("a", "-o", tmp_path / "set")
    assert "100 of 100 photos, 95 kept" in result.output
    assert "7 photos (3 people with a name) in 1 shards" in result.output


@pytest.mark.parametrize(
    ("reports", "rate"),
    [
        ([Progress(100, 100, 95, 5, 0)], "50.0"),  # one block: its end is the first that is heard
        ([Progress(128, 228, 128, 0, 128), Progress(228, 228, 223, 5, 128)], "50.0"),
        ([Progress(228, 228, 223, 5, 228)], "0.0"),
    ],
    ids=["one block", "resumed", "all resumed"],
)
def test_the_rate_is_that_of_this_run(monkeypatch, capsys, reports, rate):
    moments = iter([10.0, *(12.0 for _ in reports)])
    monkeypatch.setattr(command.time, "monotonic", lambda: next(moments, 12.0))
    with command.ProgressLine() as line:
        for report in reports:
            line.show(report)
    assert f"kept, {rate} photos/s" in capsys.readouterr().err.splitlines()[-1]


def test_ray_is_asked_for_by_its_flag(asked, tmp_path):
    run("a", "-o", tmp_path / "set", "--ray")
    assert asked[0][3]["workers"] == Workers(1, ray=True)


def test_a_wrong_layout_is_a_sentence(asked, tmp_path):
    result = run("a", "-o", tmp_path / "set", "--layout", "heap")
    assert isinstance(result.exception, OptionError)
    assert "auto, people or flat" in str(result.exception)
