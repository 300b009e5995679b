"""Write constraints.txt: the versions installed here of everything the package and its extras need.

Run in an environment in which `make test` passes:

    python tools/pin_constraints.py > constraints.txt

A release that refuses an older Python that we support is pinned only from the Python it accepts, so that the
same file serves all of them; on the older one pip then chooses within pyproject's bounds.
"""

from __future__ import annotations

import importlib.metadata as metadata
import sys

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

EXTRAS = ("cpu", "train", "app", "server", "client", "scale", "heic", "track", "docs", "dev")
SUPPORTED = ("3.10", "3.11", "3.12", "3.13")


def installed_closure(name: str, extras: tuple[str, ...]) -> dict[str, metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    waiting = [(name, extras)]
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


def main() -> None:
    closure = installed_closure("hififace", EXTRAS)
    closure.pop("hififace")
    lines = [pin(name, distribution) for name, distribution in sorted(closure.items())]
    sys.stdout.write("# Made by tools/pin_constraints.py; what `make test` passes with.\n")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
