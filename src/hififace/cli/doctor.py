"""`hififace doctor`: check what works on this machine, and why something does not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Final

import typer

from hififace import __version__
from hififace.cli.running import named_providers
from hififace.errors import BundleError, HififaceError

_PACKAGES: Final = (
    "numpy", "onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "openvino",
    "opencv-python-headless", "pillow", "av", "c2pa-python", "torch", "gradio",
)  # fmt: skip
_EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "train": ("torch", "onnx", "safetensors", "pyarrow", "tensorboard"),
    "app": ("gradio",),
    "scale": ("ray",),
    "heic": ("pillow_heif",),
}
_ENCODERS: Final[dict[str, tuple[str, ...]]] = {
    "h264": ("libx264", "libopenh264", "h264_nvenc", "h264_videotoolbox", "h264_qsv", "h264_vaapi"),
    "hevc": ("libx265", "hevc_nvenc", "hevc_videotoolbox", "hevc_qsv", "hevc_vaapi"),
    "vp9": ("libvpx-vp9", "vp9_qsv", "vp9_vaapi"),
    "av1": ("libsvtav1", "libaom-av1", "librav1e", "av1_nvenc"),
}
_DECODERS: Final[dict[str, tuple[str, ...]]] = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp9": ("vp9", "libvpx-vp9"),
    "av1": ("libdav1d", "av1", "libaom-av1"),
}


@dataclass(slots=True)
class Findings:
    """Everything that was checked; `problems` has a sentence for each thing that does not work."""

    versions: dict[str, str] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)
    codecs: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    extras: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def doctor(
    providers: Annotated[
        str | None,
        typer.Option(
            envvar="HIFIFACE_PROVIDERS", help="Execution providers to test, best first, such as cuda,cpu."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check this installation: providers, codecs, files. The exit code is 1 if something does not work."""
    findings = Findings()
    findings.versions = _versions()
    _look_at_runtime(findings, named_providers(providers))
    _look_at_codecs(findings)
    _look_at_places(findings)
    _look_at_parts(findings)
    findings.extras = {name: _extra(modules) for name, modules in _EXTRAS.items()}
    if as_json:
        typer.echo(json.dumps(asdict(findings), indent=1))
    else:
        _print(findings)
    raise typer.Exit(1 if findings.problems else 0)


def _versions() -> dict[str, str]:
    versions = {
        "hififace": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
    }
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _look_at_runtime(findings: Findings, wanted: Sequence[str] | None) -> None:
    """Open the smallest network that ships: only a session shows which provider really runs."""
    from hififace.weights.openvino_graph import why_not
    from hififace.weights.sessions import available_providers, full_provider_name, open_session
    from hififace.weights.store import embedded_path

    findings.runtime = {"cores": os.cpu_count(), "asked_for": list(wanted or ())}
    try:
        findings.runtime["offered"] = list(available_providers())
        session = open_session(embedded_path("yunet.onnx"), providers=wanted)
    except HififaceError as error:
        findings.problems.append(str(error))
        return
    threads = session.threads or f"chosen by ONNX Runtime (one for each physical core of {os.cpu_count()})"
    findings.runtime |= {"in_use": session.provider, "reason": session.reason, "threads": threads}
    lacks = why_not()
    findings.runtime["bfloat16"] = "possible, with OpenVINO" if lacks is None else f"not possible: {lacks}"
    if wanted and session.provider != full_provider_name(wanted[0]):
        findings.problems.append(
            f"{full_provider_name(wanted[0])} was asked for, but {session.provider} runs. {session.reason}"
        )
    if {"onnxruntime", "onnxruntime-gpu"} <= findings.versions.keys():
        findings.problems.append(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files. "
            "Uninstall both, then install the one you want."
        )


def _look_at_codecs(findings: Findings) -> None:
    try:
        from av.codec import codecs_available
        from av.codec.codec import Codec, UnknownCodecError
    except ImportError as error:
        findings.problems.append(f"Videos cannot be read or written: PyAV does not load ({error}).")
        return

    def usable(names: tuple[str, ...], mode: Any) -> list[str]:
        found = []
        for name in names:
            if name in codecs_available:
                try:
                    Codec(name, mode)
                except UnknownCodecError:
                    continue
                found.append(name)
        return found

    for codec, encoders in _ENCODERS.items():
        findings.codecs[codec] = {"decode": usable(_DECODERS[codec], "r"), "encode": usable(encoders, "w")}
    if not findings.codecs["h264"]["encode"]:
        findings.problems.append("No H.264 encoder was found: MP4 videos cannot be written by default.")


def _look_at_places(findings: Findings) -> None:
    from hififace.weights.places import data_dir, model_dir
    from hififace.weights.store import EMBEDDED, offline

    home = data_dir()
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    findings.places = {
        "embedded parts": str(EMBEDDED),
        "your files": str(home),
        "fetched and user-supplied weights": str(model_dir()),
        "network": "never used (HIFIFACE_OFFLINE)" if offline() else "only by `hififace weights fetch`",
    }
    if not os.access(existing, os.W_OK):
        findings.problems.append(f"{home} cannot be written to. Set HIFIFACE_HOME to a folder of yours.")


def _look_at_parts(findings: Findings) -> None:
    from hififace.weights.bundle import available_models, load_bundle
    from hififace.weights.store import verify_embedded

    for finding in verify_embedded():
        findings.parts[finding.card.filename] = finding.state
        if not finding.usable:
            findings.problems.append(
                f"{finding.path} is {finding.state}: {finding.detail}. Install the package again."
            )
    for name in available_models():
        try:
            load_bundle(name)
        except BundleError as error:
            findings.parts[f"model {name}"] = "damaged"
            findings.problems.append(str(error))
        else:
            findings.parts[f"model {name}"] = "intact"


def _extra(modules: tuple[str, ...]) -> str:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return "installed" if not missing else f"not installed ({', '.join(missing)} missing)"


def _print(findings: Findings) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    runtime = {key.replace("_", " "): _in_words(value) for key, value in findings.runtime.items()}
    codecs = {
        name: f"read with {_in_words(ways['decode'])}, write with {_in_words(ways['encode'])}"
        for name, ways in findings.codecs.items()
    }
    for title, rows in (
        ("Versions", findings.versions),
        ("Networks run on", runtime),
        ("Videos", codecs),
        ("Files", findings.places),
        ("Parts", findings.parts),
        ("Extras", findings.extras),
    ):
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for key, value in rows.items():
            table.add_row(escape(key), escape(value))
        console.print(f"[bold]{title}[/bold]")
        console.print(table)
    if findings.problems:
        loud = Console(stderr=True)
        for problem in findings.problems:
            loud.print(f"[bold red]WARNING[/bold red] {escape(problem)}", highlight=False)
    else:
        console.print("[bold green]Everything that swapping needs works.[/bold green]")


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "nothing"
    return str(value)
