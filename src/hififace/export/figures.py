"""The figures that a bundle carries: read from a JSON file, or picked out of an evaluation's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hififace.errors import OptionError
from hififace.json_values import parse_json


def read_figures(path: Path, version: str) -> dict[str, Any]:
    """What `--metrics` names, as a bundle keeps it.

    Args:
        path: a JSON object, kept as it is; or the `report.json` of `hififace evaluate`, of which the means of the
            measured bundle are kept, by part and measure, with the protocol that they were measured by.
        version: of the bundle that will carry them, so that no bundle shows the figures of another one.

    Raises:
        OptionError: no such file, no JSON object, a report without exactly one bundle of this version, or one
            measured with other options than the defaults.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"--metrics {path} cannot be read as JSON ({error}).") from error
    if not isinstance(content, dict):
        raise OptionError(f"--metrics {path} holds a {type(content).__name__}; expected an object by name.")
    # Reports of versions before 0.4 call their methods by another name.
    methods = content.get("methods", content.get("contestants"))
    return content if methods is None else _from_report(content["protocol"], methods, path, version)


def _from_report(
    protocol: Mapping[str, Any], methods: Sequence[Mapping[str, Any]], path: Path, version: str
) -> dict[str, Any]:
    bundles = [entry for entry in methods if entry["kind"] == "bundle"]
    fitting = [entry for entry in bundles if entry["version"] == version]
    if len(fitting) != 1:
        measured = ", ".join(f"{entry['name']} {entry['version']}" for entry in bundles) or "none"
        raise OptionError(
            f"--metrics {path} reports on {measured}; exactly one bundle of version {version} was expected. "
            "Evaluate a bundle of this very checkpoint first."
        )
    if "options" in fitting[0]:
        changed = ", ".join(f"{name} {value}" for name, value in fitting[0]["options"].items())
        raise OptionError(
            f"--metrics {path} was measured with other options than the defaults ({changed}). A bundle carries the "
            "figures of a plain `hififace swap`: evaluate it without them."
        )
    figures = {
        part: {name: value["mean"] for name, value in measures.items()}
        for part, measures in fitting[0]["measures"].items()
    }
    kept = {key: protocol[key] for key in ("name", "sha256", "complete", "num_pairs")}
    return {"protocol": kept, **figures}
