"""No function, class or method of the package that nothing but tests calls."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CALLED_FROM_OUTSIDE = {
    "__getattr__", "__dir__", "_repr_png_",  # by Python and notebooks
    "common_options", "doctor", "list_cards", "verify_files", "fetch_files",  # by name, or by typer
    "_known_terms", "_arithmetic", "_agrees_with_itself", "_directions_fit", "alive",  # by pydantic and FastAPI
    "swap_many", "swap_crops",  # by those who use the library
    "discriminator_key_map",  # the reference's names of our tensors: what a test of parity is for
    "landmark_basis", "landmark_mean",  # of packed sets, for programs that read them
    "num_clients", "is_changed", "_waiting_count",  # what a test of a limit or of a frame must see
}  # fmt: skip
"""Names of methods, functions and classes that vulture cannot see the callers of."""


@pytest.mark.slow
def test_whatever_is_defined_is_called():
    vulture = pytest.importorskip("vulture")
    found = vulture.Vulture()
    found.scavenge([str(ROOT / folder) for folder in ("src", "tools", "benchmarks", "runs")])
    unused = [
        f"{item.filename.relative_to(ROOT)}:{item.first_lineno} {item.name}"
        for item in found.get_unused_code(min_confidence=60)
        if item.typ in {"function", "class", "method"}
        and item.filename.is_relative_to(ROOT / "src")
        # Reached through `COMMANDS`, a table of names.
        and not item.filename.is_relative_to(ROOT / "src" / "hififace" / "cli")
        and item.name not in CALLED_FROM_OUTSIDE
        # Other people's networks may land before what measures with them.
        and not item.name.startswith("load_")
    ]
    assert unused == []
