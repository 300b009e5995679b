"""The image is built from files that exist, by instructions that this package understands.

No container engine runs here, so the instructions are read, not carried out.
"""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatch
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in TEXT.splitlines() if line and line[0] not in "# "]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def of(name: str) -> list[str]:
    return [rest for word, rest in INSTRUCTIONS if word == name]


def copied() -> list[str]:
    return [name for rest in of("COPY") for name in rest.split()[:-1]]


def test_what_is_copied_exists_and_is_sent_to_the_builder():
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
    for name in copied():
        assert (ROOT / name).exists(), name
        assert any(fnmatch(name, pattern) for pattern in kept), name
    assert sorted(kept) == sorted(copied())


def test_the_package_can_be_built_from_what_is_copied():
    needed = [PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "src/hififace"]
    for name in needed:
        assert any(Path(name).is_relative_to(there) for there in copied()), name


def test_extras_constraints_and_python_are_the_package_s():
    (install,) = [rest for rest in of("RUN") if "pip install" in rest]
    extras = re.search(r"'/build\[([\w,]+)\]'", install)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])
    assert "--constraint /build/constraints.txt" in install
    version = re.fullmatch(r"python:3\.(\d+)-slim", of("FROM")[0])
    assert version is not None
    least = re.fullmatch(r">=3\.(\d+)", PROJECT["requires-python"])
    assert least is not None
    assert int(version[1]) >= int(least[1])
    assert f"Python 3.{version[1]}" in (ROOT / "README.md").read_text(
        encoding="utf-8"
    )  # what the pins are for


def test_it_runs_the_command_as_nobody_in_particular():
    (entry,) = of("ENTRYPOINT")
    assert entry == '["hififace"]'
    assert "hififace" in PROJECT["scripts"]
    assert of("USER")[-1] not in ("root", "0")
    assert [word for word, _ in INSTRUCTIONS].index("USER") > max(
        place for place, (word, _) in enumerate(INSTRUCTIONS) if word == "RUN"
    )
    guide = (ROOT / "docs" / "how-to" / "docker.md").read_text(encoding="utf-8")
    assert f"--host 0.0.0.0 --port {of('EXPOSE')[0]}" in guide
    assert "HIFIFACE_HOME=/var/lib/hififace" in of("ENV")[0]


def test_compose_starts_a_service_that_exists():
    import yaml

    composed = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    service = composed["services"]["hififace"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    words = service["command"].split()
    assert words[0] == "serve"
    source = (ROOT / "src" / "hififace" / "cli" / "serve.py").read_text(encoding="utf-8")
    for word in words:
        if word.startswith("--"):
            assert f"    {word[2:].replace('-', '_')}: Annotated[" in source, word
    assert words[words.index("--port") + 1] in of("EXPOSE")
    assert words[words.index("--data") + 1].startswith("/var/lib/hififace/")
    assert "/readyz" in str(service["healthcheck"]["test"])
    assert (ROOT / "src" / "hififace" / "server" / "routes.py").read_text().count('"/readyz"') == 1
