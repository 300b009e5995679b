from __future__ import annotations

import json

import pytest

from hififace.evaluation.report import LINES, contact_sheets, to_json, to_markdown, write_report
from hififace.media.image import read_image
from hififace.provenance.claim import claim_in_xmp


@pytest.fixture(scope="module")
def folder(evaluation, workplace, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIFIFACE_HOME", str(workplace / "home"))
        write_report(evaluation, folder)
    return folder


def test_the_files_of_a_report(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "contact-double.png",
        "pairs-copy.jsonl",
        "pairs-double.jsonl",
        "pairs-paste.jsonl",
        "report.json",
        "report.md",
    ]


def test_json_says_what_was_measured_and_how(evaluation, folder):
    report = json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)
    assert report["protocol"]["sha256"] == evaluation.protocol.sha256
    assert report["protocol"]["complete"] is False
    assert report["protocol"]["num_pairs"]["swap"] == 3
    assert set(report["versions"]) >= {"hififace", "numpy", "onnxruntime", "torch"}
    double = report["methods"][2]
    assert (double["kind"], double["version"], len(double["model_json_sha256"])) == ("bundle", "1", 64)
    found = evaluation.results[2].parts["swap"]["pose_deg"]
    written = double["measures"]["swap"]["pose_deg"]
    assert written["mean"] == pytest.approx(found.mean, abs=1e-6)
    assert written["num"] == 3
    assert report["recognisers"]["sface"]["mean_distance_same"] < 1
    # Photo and other photo of two people, one the mirror image of the other: in the double, nearly one face.
    assert report["recognisers"]["sface"]["top5_real_photos"] == 100


def test_what_cannot_be_told_is_null(evaluation):
    text = json.dumps(to_json(evaluation), allow_nan=False)
    assert "NaN" not in text


def test_each_pair_has_its_line(folder):
    lines = [json.loads(line) for line in (folder / "pairs-double.jsonl").read_text().splitlines()]
    assert len(lines) == 3 + 3 + 2
    assert lines[0]["part"] == "swap"
    assert {"source", "target", "sface_source", "psnr_db"} <= set(lines[0])


def test_the_table_has_a_line_for_each_measure_and_says_that_it_is_a_prefix(evaluation):
    text = to_markdown(evaluation)
    assert "the first pairs of the protocol only" in text
    assert "| measure | copy | paste | double 1 |" in text
    assert sum(row.startswith("| ") for row in text.splitlines()) == len(LINES) + 1
    assert "n/a" not in text
    assert "Fréchet distance (sface) ↓" in text


def test_the_contact_sheet_shows_triples_and_is_marked(evaluation, folder):
    """Three triples in one row: 3 · 600 + 2 gaps of 6 pixels."""
    image = read_image(folder / "contact-double.png").pixels
    assert image.shape == (200, 1812, 3)
    claim = claim_in_xmp((folder / "contact-double.png").read_bytes())
    assert claim is not None
    assert (claim.statement, claim.model, claim.model_version) == ("face swap", "double", "1")
    assert contact_sheets(evaluation, evaluation.results[0]) == {}
    # Source, target, result: the result differs from the target inside the face.
    target, result = image[:, 200:400].astype(int), image[:, 400:600].astype(int)
    assert abs(target - result)[70:130, 70:130].mean() > 5
    assert abs(target - result)[:5, :5].mean() < 1
