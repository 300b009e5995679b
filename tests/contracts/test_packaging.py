"""What is promised to those who install."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!\[; ]", requirement)[0].lower().replace("_", "-")


def test_the_version_has_one_source():
    assert PROJECT["dynamic"] == ["version"]
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tool["hatch"]["version"]["path"] == "src/hififace/__init__.py"


def test_one_onnx_runtime_is_chosen_and_never_both():
    extras = PROJECT["optional-dependencies"]
    asked = [name_of(line) for line in extras["cpu"] + extras["gpu"]]
    assert [name for name in asked if name.startswith("onnxruntime")] == ["onnxruntime", "onnxruntime-gpu"]
    others = [
        *PROJECT["dependencies"],
        *(line for name in extras if name not in ("cpu", "gpu") for line in extras[name]),
    ]
    assert not {"onnxruntime", "onnxruntime-gpu"} & {name_of(line) for line in others}


def test_the_source_distribution_holds_what_the_tests_read():
    """Every file that git knows, but for what only git itself reads."""
    sdist = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]
    always = {"pyproject.toml", ".gitignore"}  # hatch adds these
    top = {path.name for path in ROOT.iterdir()} & {
        "src", "docs", "examples", "benchmarks", "runs", "tools", "tests", ".ci", "README.md", "LICENSE",
        "constraints.txt", "Makefile", "Dockerfile", ".dockerignore",
    }  # fmt: skip
    assert top <= {*sdist["include"], *always}


def test_swapping_needs_no_torch():
    assert "torch" not in {name_of(line) for line in PROJECT["dependencies"]}
    assert "torch" in {name_of(line) for line in PROJECT["optional-dependencies"]["train"]}


def test_everything_we_depend_on_is_pinned():
    pinned = {
        name_of(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1] != "#"
    }
    extras = PROJECT["optional-dependencies"]
    wanted = [
        *PROJECT["dependencies"],
        *(line for name in extras if name != "gpu" for line in extras[name]),
    ]
    assert {name_of(line) for line in wanted} - {"hififace"} <= pinned


def test_pins_name_releases_not_builds():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1] != "#"]
    assert all(
        re.fullmatch(r'[a-z0-9.-]+==[^+; ]+(; python_version >= "3\.1[0-3]")?', line) for line in lines
    )


def test_the_package_is_typed_and_carries_its_notices():
    package = ROOT / "src" / "hififace"
    assert (package / "py.typed").exists()
    assert (package / "weights" / "embedded" / "NOTICE.md").stat().st_size > 0
    assert "MIT" in (ROOT / "LICENSE").read_text()


def test_make_says_what_its_targets_do():
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "make demo" in shown
    assert "make test" in shown


def test_ci_goes_through_the_makefile():
    script = (ROOT / ".ci" / "run").read_text()
    assert re.search(r"for name in lint types docs; do\n\s+step ", script)
    assert re.findall(r"^\s*step ([a-z-]+)", script, re.MULTILINE) == [
        "contracts",
        "coverage",
        "test-browser",
    ]


def test_nobody_is_told_to_install_a_name_from_the_index():
    """No index has this project yet: whoever takes the name there would be installed in its place."""
    written = [
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*.md"),
    ]
    told = re.compile(r"pip install [^\n`]*\bhififace(?![\w.-]*\.whl|-)")
    assert [path.name for path in written if told.search(path.read_text(encoding="utf-8"))] == []


def test_every_package_stands_under_the_contracts_it_should():
    """import-linter refuses names that do not exist, so a new package must be written into its lists."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    existing = {path.parent.name for path in (ROOT / "src" / "hififace").glob("*/__init__.py")}
    top = {"app", "server"}
    swapping = {"faces", "swap", "video", "media", "weights", "provenance", "hosting", "cluster"} | top
    training = {"models", "training", "preparation", "data", "losses", "evaluation", "export"}
    below_the_top = (swapping | training) - top
    for title, members in (("installs no torch", swapping), ("only at the top", below_the_top)):
        (contract,) = (contract for contract in contracts if title in contract["name"])
        listed = {name.removeprefix("hififace.") for name in contract["source_modules"]}
        assert existing & members <= listed, title
    assert existing <= swapping | training | {"cli"}, "a package without a layer"


def test_layers_hold():
    """`lint-imports` on the contracts in pyproject.toml."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
