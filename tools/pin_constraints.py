"""Write constraints.txt: the versions installed here of everything the package and its extras need.

Run in an environment in which `make test` passes:

    python tools/pin_constraints.py

What is asked for is read in pyproject.toml, so that a new dependency counts at once. Pins of packages that are not
installed here, such as `onnxruntime-gpu`, stay as they are.

A release that refuses an older Python that we support is pinned only from the Python it accepts, so that the
same file serves all of them; on the older one pip then chooses within pyproject's bounds.
"""

from __future__ import annotations

import importlib.metadata as metadata
from pathlib import Path

import tomllib
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
HEAD = "Made by tools/pin_constraints.py; what `make test` passes with."
SUPPORTED = ("3.10", "3.11", "3.12", "3.13")


def asked_for() -> list[Requirement]:
    """What the package and its extras ask for themselves."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    return [one for one in map(Requirement, lines) if canonicalize_name(one.name) != "hififace"]


def installed_closure(asked: list[Requirement]) -> dict[str, metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    waiting = [(one.name, tuple(sorted(one.extras))) for one in asked]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        current, wanted = waiting.pop()
        if (current, wanted) in seen:
            continue
        seen.add((current, wanted))
        try:
            distribution = metadata.distribution(current)
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python than this one
        found[canonicalize_name(current)] = distribution
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in ("", *wanted)
            ):
                waiting.append((requirement.name, tuple(sorted(requirement.extras))))
    return found


def pin(name: str, distribution: metadata.Distribution) -> str:
    version = distribution.version.split("+")[0]  # the local part (+cpu) names a build, not a release
    accepted = SpecifierSet(distribution.metadata.get("Requires-Python") or "")
    usable = [python for python in SUPPORTED if accepted.contains(f"{python}.99")]
    marker = "" if usable == list(SUPPORTED) else f'; python_version >= "{usable[0]}"'
    return f"{name}=={version}{marker}"


def kept(asked: list[Requirement], found: set[str]) -> dict[str, str]:
    """Pins that stand in the file for what is asked for and not installed here."""
    names = {canonicalize_name(one.name) for one in asked} - found
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    named = {canonicalize_name(line.partition("==")[0]): line for line in pins if "==" in line}
    return {name: named[name] for name in names if name in named}


def main() -> None:
    asked = asked_for()
    closure = installed_closure(asked)
    pins = {name: pin(name, distribution) for name, distribution in closure.items()}
    pins |= kept(asked, set(closure))
    told = "\n".join(line for _, line in sorted(pins.items()))
    # Written at last: the file itself is read above.
    (ROOT / "constraints.txt").write_text(f"# {HEAD}\n{told}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
