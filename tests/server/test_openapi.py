from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from hififace.option_fields import options_of
from hififace.server import problems, schemas
from hififace.server.settings import ServiceLimits
from hififace.swap.options import OutputOptions, SwapOptions
from hififace.video.options import VideoOptions
from tests.support.services import running

NOT_ASKED = {
    "batch_size",  # memory is the machine's affair
    "consent_confirmed",  # `consent` says it
    "smoothing", "mask_smoothing", "segment_frames", "work_folder",  # how unfinished work is kept
}  # fmt: skip
BOUNDS = {
    "ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"
}  # fmt: skip
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "use_after_free",
    "ensure_resource_availability",
)


def test_it_is_made_from_the_options_of_the_library(client: httpx.Client):
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    known = described["components"]["schemas"]
    for schema in ("SwapInJson", "SwapForm", "JobForm"):
        told = known[schema]["properties"]
        for kind in (SwapOptions, OutputOptions, *([VideoOptions] if schema == "JobForm" else [])):
            for name, option in options_of(kind).items():
                if name in NOT_ASKED:
                    continue
                assert name in told, f"{schema} lacks {name}: add it, or say in NOT_ASKED why not"
                if name not in {"select", "consent_statement"}:  # of another kind, with words of their own
                    assert told[name]["description"] == option.help
                    assert told[name].get("default") == option.default
                if option.interval is not None:
                    (number,) = (
                        one for one in told[name].get("anyOf", [told[name]]) if one["type"] != "null"
                    )
                    for ours, theirs in BOUNDS.items():
                        bound = getattr(option.interval, ours)
                        assert number.get(theirs) == (None if bound is None else float(bound)), (name, theirs)
        assert told["consent"]["const"] is True
        assert {"source", "target", "consent"} <= set(known[schema]["required"])


def test_every_reference_leads_somewhere(client: httpx.Client):
    described = client.get("/openapi.json").json()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                assert (
                    value["$ref"].removeprefix("#/components/schemas/") in described["components"]["schemas"]
                )
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(described)


EXAMPLES = [pytest.param(3, id="few"), pytest.param(60, id="many", marks=pytest.mark.slow)]


@pytest.mark.parametrize("most", EXAMPLES)
def test_no_request_makes_a_server_error(mesh_bundle: Path, tmp_path: Path, most: int):
    """Schemathesis over the whole description: good, odd and wrong requests to every route, alone and in turn."""
    limits = ServiceLimits(requests_per_minute=1_000_000, jobs_per_key=1_000_000)
    with running(mesh_bundle, tmp_path / "data", limits=limits) as client:
        described = client.get("/openapi.json").json()
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                "run",
                str(client.base_url.join("/openapi.json")),
                f"--checks={','.join(CHECKS)}",
                f"--max-examples={most}",
                "--seed=1",
                "--no-color",
                "--continue-on-failure",
                "--request-timeout=60",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        operations = sum(len(methods) for methods in described["paths"].values())
        assert f"Tested: {operations}" in done.stdout
        figures = client.get("/metrics").text
    assert not re.search(r'hififace_requests_total\{[^}]*status="5', figures)
    for path, methods in described["paths"].items():
        for method in methods:
            assert f'hififace_requests_total{{method="{method.upper()}",route="{path}",' in figures, path


def test_every_answer_has_an_example_that_is_one(client: httpx.Client):
    described = client.get("/openapi.json").json()
    known = described["components"]["schemas"]
    seen = set()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                for kind, content in answer.get("content", {}).items():
                    if not kind.endswith("json"):
                        continue
                    name = content["schema"]["$ref"].rpartition("/")[2]
                    model = getattr(problems if name == "Problem" else schemas, name)
                    assert known[name]["examples"], (path, method, status)
                    for example in known[name]["examples"]:
                        told = model.model_validate(example).model_dump(exclude_unset=True)
                        assert told == example, name
                        assert set(example) == set(known[name]["properties"]), name
                    seen.add(name)
    assert seen == {
        "FacesAnswer", "JobAnswer", "JobsAnswer", "ModelsAnswer", "Problem", "Standing", "SwapAnswer"
    }  # fmt: skip


def test_examples_can_be_sent_as_they_are(client: httpx.Client):
    paths = client.get("/openapi.json").json()["paths"]
    for path, status in (("/v1/faces", 200), ("/v1/swap", 422)):  # one pixel shows nobody
        content = paths[path]["post"]["requestBody"]["content"]["application/json"]
        answer = client.post(path, json=content["examples"]["one photo"]["value"])
        assert answer.status_code == status
    assert "No face was found" in answer.json()["detail"]
