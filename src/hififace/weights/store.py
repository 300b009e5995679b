"""Where files of weights are, whether they are intact, and how missing ones are downloaded.

Nothing here touches the network but `fetch`, and `fetch` only when it is asked for by name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from hififace.errors import WeightsError
from hififace.weights.places import model_dir
from hififace.weights.registry import CARDS, PURPOSES, Card, find_card

if TYPE_CHECKING:
    from hififace.weights.download import Progress

EMBEDDED: Final = Path(__file__).parent / "embedded"

State = Literal["intact", "present", "missing", "altered"]
"""`present`: the file exists, but no SHA-256 is known for it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of `verify` for one file."""

    card: Card
    state: State
    path: Path
    detail: str

    @property
    def usable(self) -> bool:
        """Whether the file exists and is not known to be altered."""
        return self.state in {"intact", "present"}


def offline() -> bool:
    """Whether `HIFIFACE_OFFLINE` forbids the network."""
    return os.environ.get("HIFIFACE_OFFLINE", "").strip().lower() in {"1", "true", "yes", "on"}


def embedded_path(filename: str) -> Path:
    """Where a file that ships with the package lies.

    Raises:
        WeightsError: it is not there, so the installation is damaged.
    """
    path = EMBEDDED / filename
    if not path.is_file():
        raise WeightsError(
            f"{filename} should be part of this installation but is missing from {EMBEDDED}. "
            f"Install the package again: pip install --force-reinstall '.[cpu]'."
        )
    return path


def expected_path(card: Card) -> Path:
    """Where the card's file lies, or would lie."""
    return (EMBEDDED if card.kind == "embedded" else model_dir()) / card.filename


def locate(card: Card, *, commercial: bool = False) -> Path:
    """The path of the card's file, which is there; its hash is not checked (`verify` does).

    Args:
        card: which file.
        commercial: refuse a file whose licence forbids commercial use.

    Raises:
        WeightsError: missing, or refused; says how to get it and where to put it.
    """
    refuse_non_commercial(card, commercial)
    path = expected_path(card)
    if path.is_file():
        return path
    if card.kind == "embedded":
        return embedded_path(card.filename)
    if card.kind == "fetchable":
        # Whoever lacks one file of a purpose soon lacks the next: one command for all of them.
        purpose = next((name for name, cards in PURPOSES.items() if card.name in cards), card.name)
        raise WeightsError(
            f"{card.filename} ({card.used_by}) is not on this machine. Run `hififace weights fetch {purpose}`, "
            f"or put the file at {path}."
        )
    raise WeightsError(
        f"{card.filename} ({card.used_by}) is not on this machine and may not be redistributed. "
        f"{card.instructions} Put it at {path}."
    )


def locate_in(folder: Path | None, card: Card) -> Path:
    """The card's file in a folder of the user's if it lies there, else where `locate` finds it.

    Raises:
        WeightsError: it is in neither place.
    """
    supplied = folder / card.filename if folder is not None else None
    return supplied if supplied is not None and supplied.exists() else locate(card)


def hashes_of(names: Iterable[str], folder: Path | None = None) -> dict[str, str]:
    """SHA-256 of the named cards' files: what a data set says about the parts that described it.

    Args:
        names: of cards.
        folder: looked into first, see `locate_in`.

    Raises:
        OptionError: no card has this name.
        WeightsError: a file is missing.
    """
    return {name: sha256_of(locate_in(folder, find_card(name))) for name in names}


def refuse_non_commercial(card: Card, commercial: bool) -> None:
    """Stop where commercial use was declared and the licence forbids it.

    Raises:
        WeightsError: so it is.
    """
    if commercial and not card.commercial:
        raise WeightsError(
            f"{card.name} may not be used commercially: its licence is {card.licence}. "
            f"Choose another part, or leave --commercial out if your use is not commercial."
        )


def verify(card: Card) -> Finding:
    """Check that a card's file exists and has the SHA-256 of its card."""
    path = expected_path(card)
    if not path.is_file():
        return Finding(card, "missing", path, "not on this machine")
    if card.sha256 is None:
        return Finding(card, "present", path, "no SHA-256 is known to check it by")
    found = sha256_of(path)
    if found == card.sha256:
        return Finding(card, "intact", path, "SHA-256 as pinned")
    return Finding(card, "altered", path, f"SHA-256 is {found}, expected {card.sha256}")


def verify_embedded() -> list[Finding]:
    """`verify` for every file that ships."""
    return [verify(card) for card in CARDS if card.kind == "embedded"]


def fetch(
    card: Card,
    *,
    no_network: bool | None = None,
    commercial: bool = False,
    progress: Progress | None = None,
) -> Path:
    """The path of the card's file, downloaded if missing or altered; whole and verified, or not at all.

    Args:
        card: which file.
        no_network: never touch the network; None asks `HIFIFACE_OFFLINE`.
        commercial: refuse a file whose licence forbids commercial use.
        progress: called with (bytes so far, bytes in all or None).

    Raises:
        WeightsError: refused, user-supplied, offline, or every mirror failed; says each reason.
    """
    refuse_non_commercial(card, commercial)
    if card.kind == "embedded":
        return embedded_path(card.filename)
    if verify(card).usable:
        return expected_path(card)
    if card.kind == "user-supplied" or card.sha256 is None:
        return locate(card, commercial=commercial)
    if offline() if no_network is None else no_network:
        raise WeightsError(
            f"{card.filename} is not on this machine, and the network may not be used (offline mode). "
            f"Put the file with SHA-256 {card.sha256} at {expected_path(card)}, or allow the network."
        )
    from hififace.weights.download import download  # the HTTP library, which nothing else here needs

    download(card.urls, expected_path(card), sha256=card.sha256, progress=progress)
    return expected_path(card)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
