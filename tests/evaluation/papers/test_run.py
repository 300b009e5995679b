"""The whole path of `ff++` and `ffhq` on stand-in sets: folder to table, with small networks of the published make."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hififace.cli.main import build_app
from hififace.errors import OptionError
from hififace.evaluation.papers.report import to_json, to_markdown, write_paper_report
from hififace.evaluation.papers.run import PaperEvaluation, PaperSettings, evaluate_papers
from hififace.provenance.verify import check_file
from tests.support.bundle_doubles import write_mesh_bundle
from tests.support.literature_doubles import write_inception, write_small_networks
from tests.support.standin_sets import write_faceforensics, write_method, write_photos


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory):
    """root/ of FaceForensics++, photos/, home/ with every network, bundle/; the networks stay small in here."""
    folder = tmp_path_factory.mktemp("papers")
    write_faceforensics(folder / "root")
    # One method gives its sources' own videos, another its targets', two results short.
    given = {"000_003": "003", "003_000": "000", "071_054": "054", "054_071": "071"}
    write_method(folder / "root", "Perfect", given)
    write_method(folder / "root", "Idle", {"000_003": "000", "003_000": "003"}, num_frames=6)
    write_photos(folder / "photos")
    write_mesh_bundle(folder / "bundle")
    with pytest.MonkeyPatch.context() as patch:
        write_small_networks(folder / "home", patch)
        inception = write_inception(folder / "home")
        patch.setenv("HIFIFACE_HOME", str(folder / "home"))
        from hififace.weights import registry

        cards = tuple(
            one if one.name != "fid_inception" else _renamed(one, inception.name) for one in registry.CARDS
        )
        patch.setattr(registry, "CARDS", cards)
        yield folder


def _renamed(card, filename: str):
    from dataclasses import replace

    return replace(card, filename=filename)


@pytest.fixture(scope="module")
def evaluation(workplace: Path) -> PaperEvaluation:
    root = workplace / "root"
    methods = {"perfect": root / "manipulated_sequences" / "Perfect", "idle": Path("Idle")}
    settings = PaperSettings(root, methods=methods, cache=workplace / "cache")
    return evaluate_papers([str(workplace / "bundle")], settings)


def row(evaluation: PaperEvaluation, name: str):
    return next(one for one in evaluation.rows if one.name == name)


def test_pairs_are_the_sets_own_and_what_is_missing_is_named(evaluation):
    assert [pair.name for pair in evaluation.protocol.pairs] == ["000_003", "003_000", "054_071", "071_054"]
    assert sorted(evaluation.protocol.left_out) == ["953_974", "974_953"]
    assert [one.name for one in evaluation.rows] == ["copy", "perfect", "idle", "double"]
    assert evaluation.missing == ()
    assert evaluation.complete


def test_targets_as_they_are_have_no_error_but_in_identity(evaluation):
    measures = row(evaluation, "copy").measures
    for name in ("pose.hopenet", "pose.sixdrepnet", "expression.deca", "expression.deep3d"):
        assert measures[name].mean == pytest.approx(0, abs=1e-5), name
        assert measures[name].num == 40
    assert measures["fid"].mean == pytest.approx(0, abs=1e-3)
    # The nearest frame to a target's is its own, so the right source is never the nearest.
    assert measures["retrieval.cosface"].mean == 0
    assert measures["shape.deca"].mean > 0


def test_the_sources_own_videos_are_found_at_once(evaluation):
    measures = row(evaluation, "perfect").measures
    for name in ("cosface", "ir_se50", "arcface_r100"):
        assert measures[f"retrieval.{name}"].mean >= 60, name  # the targets themselves: 0
        assert measures[f"cosine.{name}"].mean > row(evaluation, "copy").measures[f"cosine.{name}"].mean
    assert measures["shape.deca"].mean < row(evaluation, "copy").measures["shape.deca"].mean
    assert measures["pose.hopenet"].mean > 0


def test_missing_and_short_results_are_counted(evaluation):
    idle = row(evaluation, "idle")
    assert idle.refusals == {
        "000_003": "it has fewer frames than its target",
        "003_000": "it has fewer frames than its target",
        "054_071": "there is no result",
        "071_054": "there is no result",
    }
    assert idle.measures["pose.hopenet"].num == 12


def test_the_bundle_swaps_every_frame(evaluation):
    double = row(evaluation, "double")
    assert double.kind == "bundle"
    assert not double.refusals
    assert double.measures["retrieval.cosface"].num == 40
    assert double.measures["fid"].mean > row(evaluation, "copy").measures["fid"].mean
    source, target, result = double.images[0]
    assert source.shape == target.shape == result.shape == (240, 240, 3)
    assert not np.array_equal(target, result)


def test_a_second_run_reads_what_is_kept(evaluation, workplace, monkeypatch):
    monkeypatch.setattr(
        "hififace.evaluation.papers.networks.Networks.describe", lambda *_: pytest.fail("described again")
    )
    again = evaluate_papers([str(workplace / "bundle")], evaluation.settings)
    assert to_json(again)["methods"][3]["measures"] == to_json(evaluation)["methods"][3]["measures"]


def test_the_report_has_the_literature_beside_it(evaluation, tmp_path):
    written = write_paper_report(evaluation, tmp_path)
    assert [path.name for path in written] == ["report.json", "report.md", "contact-double.png"]
    claim = check_file(written[2]).claim
    assert claim is not None
    assert claim.model == "double"
    table = to_markdown(evaluation)
    lines = table.splitlines()
    assert "| measure | copy | perfect | idle | double 1 |" in lines
    assert any(line.startswith("| ID retrieval, %, CosFace ↑ | 0.00 ± 0.00 |") for line in lines)
    assert any(line.startswith("| FID ↓ |") for line in lines)
    assert "| pairs refused | 0 | 0 | 4 | 0 |" in lines
    assert "| HifiFace-256 | 98.48 | - | 2.63 | - | - | - |" in lines
    assert "CASIA FaceSwapping, arXiv 2605.00883" in table
    content = json.loads(written[0].read_text())
    assert content["networks"]["missing"] == []
    assert len(content["networks"]["sha256"]) == 8
    assert content["literature"][0]["methods"]["HifiFace-256"]["retrieval"] == 98.48


def test_photos_are_measured_whole(workplace):
    """Of six photos one shows nobody: its pair is left out."""
    settings = PaperSettings(workplace / "photos", protocol="ffhq", cache=workplace / "cache")
    found = evaluate_papers([], settings)
    assert len(found.protocol.pairs) == 2
    assert found.protocol.left_out == {"00005": "no face was found"}
    assert found.told_apart == {"cosface": None, "ir_se50": None, "arcface_r100": None}
    assert row(found, "copy").measures["fid"].mean > 0  # targets against targets and sources
    assert "| DreamID | 99.9 | 0.71 | 2.2 | - | 0.789 | 4.69 |" in to_markdown(found)


def test_nothing_to_measure_is_said(workplace):
    with pytest.raises(OptionError, match="nothing to measure"):
        evaluate_papers([], PaperSettings(workplace / "root", baselines=False))


def test_one_command_gives_the_table(workplace, capsys):
    command = ["evaluate", str(workplace / "bundle"), "--protocol", "ff++", "--data", str(workplace / "root")]
    more = ["--method", "Perfect", "--cache", str(workplace / "cache"), "--pairs", "2", "--quiet"]
    build_app(command)(args=[*command, *more], standalone_mode=False)
    table = capsys.readouterr().out
    assert "| measure | copy | Perfect | double 1 |" in table
    assert "The first pairs only" in table
    assert "| HifiFace-256 | 98.48 |" in table


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--protocol", "open", "--method", "A=b"], "--method and --pair-list are for"),
        (["--protocol", "ff++", "--video", "v.mp4"], "--video, --people and --part are for"),
        (["--protocol", "ff++", "--method", "A=b", "--method", "A=c"], "each name once"),
    ],
)
def test_options_of_the_other_kind_are_refused(workplace, more, sentence):
    command = ["evaluate", "--data", str(workplace / "root"), *more]
    with pytest.raises(OptionError, match=sentence):
        build_app(command)(args=command, standalone_mode=False)
