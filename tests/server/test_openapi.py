from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import httpx
import pytest

from hififace.server.settings import ServiceLimits
from hififace.swap.options import RANGES, SwapOptions
from tests.support.services import running


def test_it_is_made_from_the_options_of_the_library(client: httpx.Client):
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    known = described["components"]["schemas"]
    for schema in ("SwapInJson", "SwapForm", "JobForm"):
        told = known[schema]["properties"]
        for option in fields(SwapOptions):
            if option.name in {"batch_size"}:
                continue
            assert option.name in told, f"{schema} lacks {option.name}: add it, or say here why not"
            assert told[option.name].get("description"), option.name
        for name, (low, high) in RANGES.items():
            assert (told[name]["minimum"], told[name]["maximum"]) == (low, high)
            assert told[name]["default"] == getattr(SwapOptions(), name)
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


@pytest.mark.slow
def test_no_request_makes_a_server_error(mesh_bundle: Path, tmp_path: Path):
    """Schemathesis over the whole description: good, odd and wrong requests to every route."""
    limits = ServiceLimits(requests_per_minute=1_000_000)
    with running(mesh_bundle, tmp_path / "data", limits=limits) as client:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                "run",
                str(client.base_url.join("/openapi.json")),
                "--checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
                "--max-examples=30",
                "--seed=1",
                "--no-color",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        assert 'status="500"' not in client.get("/metrics").text
