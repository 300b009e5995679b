from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from hififace.option_fields import options_of
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
