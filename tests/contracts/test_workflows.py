"""The workflows and forms are what their readers take: valid YAML, with the fields GitHub asks for; one version."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hififace import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(
    path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"
)
KINDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def read(path: Path) -> Any:
    """YAML 1.1 reads the key `on` as true."""
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in told.items()}


def test_there_are_workflows_for_tests_site_and_releases():
    assert [path.stem for path in WORKFLOWS] == ["ci", "docs", "release"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_whole(path: Path):
    told = read(path)
    assert told["name"]
    assert told["on"]
    assert told["permissions"] == {"contents": "read"} or "pages" in told["permissions"]
    for name, job in told["jobs"].items():
        assert job["runs-on"], name
        assert 0 < job["timeout-minutes"] <= 60, name
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step), step
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]), step["uses"]
            else:
                done = subprocess.run(["bash", "-n"], input=step["run"], text=True, capture_output=True)
                assert done.returncode == 0, f"{step['run']}\n{done.stderr}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_expressions_of_a_workflow_name_what_exists(path: Path):
    text = path.read_text(encoding="utf-8")
    jobs = read(path)["jobs"]
    for inside in re.findall(r"\$\{\{([^}]*)\}\}", text):
        assert re.fullmatch(r"\s*(github|matrix|steps)\.[\w.]+\s*", inside), inside
        for key in re.findall(r"matrix\.(\w+)", inside):
            assert any(key in job.get("strategy", {}).get("matrix", {}) for job in jobs.values()), key


def test_ci_runs_what_a_developer_runs():
    runs = [
        step.get("run")
        for job in read(ROOT / ".github/workflows/ci.yml")["jobs"].values()
        for step in job["steps"]
    ]
    assert ".ci/run" in runs
    for needed in ("make --no-print-directory", "coverage", "contracts", "test-browser"):
        assert needed in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_is_whole(path: Path):
    told = read(path)
    assert told["name"]
    assert told["description"]
    for field in told["body"]:
        assert field["type"] in KINDS
        assert field["attributes"]


def test_the_version_stands_in_one_place_and_is_what_the_others_say():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/hififace/__init__.py"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == __version__
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"version = {{{__version__}}}" in readme
    assert f"hififace-{__version__}-py3-none-any.whl" in readme
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert __version__ in re.findall(r"^## \[?([\w.]+)", changes, re.M)


def test_the_floor_of_coverage_is_the_one_that_is_shown():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    floor = project["tool"]["coverage"]["report"]["fail_under"]
    assert f"![Coverage: {floor} % at least]" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert floor >= 94
