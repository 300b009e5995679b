from __future__ import annotations

import json
from pathlib import Path

import pytest

from hififace.errors import OptionError
from hififace.export.figures import read_figures


def report(*versions: str) -> dict:
    """As `hififace evaluate` writes it, cut down to what is read."""
    means = {"swap": {"pose_deg": {"mean": 2.5, "standard_error": 0.1, "num": 8}}}
    baseline = {"name": "copy", "kind": "baseline", "version": None, "measures": means}
    bundles = [{"name": "mini", "kind": "bundle", "version": v, "measures": means} for v in versions]
    protocol = {"name": "open", "sha256": "ab", "complete": True, "num_pairs": {"swap": 8}, "seed": 1}
    return {"protocol": protocol, "methods": [baseline, *bundles]}


def write(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(content))
    return path


def test_of_a_report_the_means_and_the_protocol_are_kept(tmp_path: Path) -> None:
    assert read_figures(write(tmp_path, report("100", "200")), "200") == {
        "protocol": {"name": "open", "sha256": "ab", "complete": True, "num_pairs": {"swap": 8}},
        "swap": {"pose_deg": 2.5},
    }


def test_figures_of_another_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="reports on mini 100; exactly one bundle of version 200"):
        read_figures(write(tmp_path, report("100")), "200")


def test_figures_of_other_options_are_refused(tmp_path: Path) -> None:
    made = report("100")
    made["methods"][1]["options"] = {"detail": 0.0}
    with pytest.raises(OptionError, match=r"other options than the defaults \(detail 0.0\)"):
        read_figures(write(tmp_path, made), "100")


def test_any_other_object_is_kept_as_it_is_and_no_object_is_refused(tmp_path: Path) -> None:
    assert read_figures(write(tmp_path, {"identity": 0.5}), "1") == {"identity": 0.5}
    with pytest.raises(OptionError, match="holds a list"):
        read_figures(write(tmp_path, [1]), "1")
    with pytest.raises(OptionError, match="cannot be read"):
        read_figures(tmp_path / "missing.json", "1")
