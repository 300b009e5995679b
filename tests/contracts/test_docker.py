"""The images are built from files that exist, by instructions that this package understands.

The instructions are read here, not carried out: `tools/try_image.py` does that in a bare root filesystem.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from hififace.cli.serve import serve
from hififace.server.metrics import Metrics

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FLAGS = inspect.signature(serve).parameters


class Instructions:
    """A Dockerfile, instruction by instruction."""

    def __init__(self, name: str) -> None:
        text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
        self.name = name
        self.lines = [
            tuple(line.split(maxsplit=1)) for line in text.splitlines() if line and line[0] not in "# "
        ]

    def of(self, word: str) -> list[str]:
        return [rest for first, rest in self.lines if first == word]

    @property
    def copied(self) -> list[str]:
        return [name for rest in self.of("COPY") for name in rest.split()[:-1]]


IMAGES = [Instructions("Dockerfile"), Instructions("Dockerfile.cuda")]
each_image = pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)


@each_image
def test_what_is_copied_exists_and_is_sent_to_the_builder(image: Instructions):
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
    for name in image.copied:
        assert (ROOT / name).exists(), name
        assert any(fnmatch(name, pattern) for pattern in kept), name
    assert sorted(kept) == sorted(image.copied)


@each_image
def test_the_package_can_be_built_from_what_is_copied(image: Instructions):
    needed = [PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "src/hififace"]
    for name in needed:
        assert any(Path(name).is_relative_to(there) for there in image.copied), name


@each_image
def test_extras_and_constraints_are_the_package_s(image: Instructions):
    (install,) = [rest for rest in image.of("RUN") if "pip install" in rest]
    extras = re.search(r"'/build\[([\w,]+)\]'", install)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])
    assert ({"cpu", "gpu"} & set(extras[1].split(","))) == {"gpu" if image.name.endswith("cuda") else "cpu"}
    assert "--constraint /build/constraints.txt" in install


def test_both_runtimes_are_of_one_version_and_python_is_the_one_of_the_pins():
    pins = dict(
        re.findall(r"^(onnxruntime(?:-gpu)?)==([\d.]+)", (ROOT / "constraints.txt").read_text(), re.M)
    )
    assert pins["onnxruntime"] == pins["onnxruntime-gpu"]
    version = re.fullmatch(r"python:3\.(\d+)-slim", IMAGES[0].of("FROM")[0])
    assert version is not None
    least = re.fullmatch(r">=3\.(\d+)", PROJECT["requires-python"])
    assert least is not None
    assert int(version[1]) >= int(least[1])
    assert f"Python 3.{version[1]}" in (ROOT / "README.md").read_text(
        encoding="utf-8"
    )  # what the pins are for


@each_image
def test_it_runs_the_command_as_nobody_in_particular(image: Instructions):
    (entry,) = image.of("ENTRYPOINT")
    assert entry == '["hififace"]'
    assert "hififace" in PROJECT["scripts"]
    assert image.of("USER")[-1] not in ("root", "0")
    assert [word for word, _ in image.lines].index("USER") > max(
        place for place, (word, _) in enumerate(image.lines) if word == "RUN"
    )
    guide = (ROOT / "docs" / "how-to" / "docker.md").read_text(encoding="utf-8")
    assert f"--host 0.0.0.0 --port {image.of('EXPOSE')[0]}" in guide
    assert any("HIFIFACE_HOME=/var/lib/hififace" in rest for rest in image.of("ENV"))


def composed(*names: str) -> dict[str, Any]:
    """The services of compose files, later ones over earlier ones."""
    services: dict[str, Any] = {}
    for name in names:
        for service, told in yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["services"].items():
            services[service] = {**services.get(service, {}), **told}
    return services


@pytest.mark.parametrize("names", [("compose.yaml",), ("compose.yaml", "compose.cuda.yaml")])
def test_compose_starts_a_service_that_exists(names: tuple[str, ...]):
    services = composed(*names)
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    service = services["hififace"]
    words = service["command"].split()
    assert words[0] == "serve"
    for word in words:
        if word.startswith("--"):
            assert word[2:].replace("-", "_") in FLAGS, word
    built = service["build"]
    image = IMAGES[0] if built == "." else Instructions(built["dockerfile"])
    assert words[words.index("--port") + 1] in image.of("EXPOSE")
    assert words[words.index("--data") + 1].startswith("/var/lib/hififace/")
    assert "/readyz" in str(service["healthcheck"]["test"])
    assert (ROOT / "src" / "hififace" / "server" / "routes.py").read_text().count('"/readyz"') == 1


def test_everything_that_compose_mounts_is_there():
    told = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    for config in told["configs"].values():
        assert "content" in config or (ROOT / config["file"]).is_file()
    for service in told["services"].values():
        assert {one["source"] for one in service.get("configs", ())} <= told["configs"].keys()
        assert set(service.get("secrets", ())) <= told["secrets"].keys()
        named = {volume.partition(":")[0] for volume in service.get("volumes", ())}
        assert named <= told["volumes"].keys()
    source = yaml.safe_load(told["configs"]["grafana_source"]["content"])["datasources"][0]
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "hififace.json").read_text())
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
    provider = yaml.safe_load(told["configs"]["grafana_dashboards"]["content"])["providers"][0]
    (target,) = [
        one["target"] for one in told["services"]["grafana"]["configs"] if one["source"] == "dashboard"
    ]
    assert Path(target).parent == Path(provider["options"]["path"])
    scraped = yaml.safe_load(told["configs"]["prometheus"]["content"])["scrape_configs"][0]
    assert scraped["static_configs"][0]["targets"] == ["hififace:8000"]


def test_the_dashboard_asks_for_figures_that_the_service_has():
    """Every name and every label of its questions is one that /metrics gives."""
    metrics = Metrics()
    families = {family.name: family for family in metrics._registry.collect()}
    labels = {
        "hififace_" + name.removeprefix("hififace_"): set(family._labelnames)
        for name, family in (
            (one._name, one) for one in vars(metrics).values() if hasattr(one, "_labelnames")
        )
    }
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "hififace.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(asked) >= 15
    used: set[str] = set()
    for question in asked:
        for name, braces in re.findall(r"((?:hififace|process)_\w+)(?:\{([^}]*)\})?", question):
            base = re.sub(r"_(total|bucket|sum|count|info)$", "", name)
            assert base in families, f"{name} is no figure of the service"
            used.add(base)
            if base in labels:
                grouped = [word for by in re.findall(r"by \(([^)]*)\)", question) for word in by.split(", ")]
                named = set(re.findall(r"(\w+)=", braces)) | {word for word in grouped if word != "le"}
                assert named <= labels[base], question
    assert labels.keys() - used == set(), "figures that the dashboard does not show"
