"""A card for every file of weights that any part of the project reads, and for those that users add.

The cards that ship are data: `registry.toml`, beside this file. Users add their own in `*.toml` files of
`places.cards_dir()`; they are listed, checked, fetched and found by name like the ones that ship.

Three kinds: *embedded* files ship inside the package; *fetchable* ones are downloaded from a public mirror by
`hififace weights fetch`; *user-supplied* ones may not be redistributed, so the card says where they are found and
why. `commercial` says whether the licence of the file, and of what it was learned from, allows commercial use
as far as its publishers state it; it is no legal advice.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, get_args

from hififace.errors import OptionError, WeightsError
from hififace.weights.places import cards_dir

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED: Final = Path(__file__).with_name("registry.toml")

Kind = Literal["embedded", "fetchable", "user-supplied"]


@dataclass(frozen=True, slots=True)
class Card:
    """One file of weights: its origin, licence, size and hash."""

    name: str
    kind: Kind
    filename: str
    """Below `weights/embedded/` for an embedded file, else below `places.model_dir()`."""
    licence: str
    commercial: bool
    origin: str
    """Its authors, and what it is a copy of."""
    used_by: str
    size_bytes: int | None = None
    sha256: str | None = None
    """None if the publisher states none and no copy was available."""
    same_function: tuple[str, ...] = ()
    """SHA-256 of earlier files that compute the same up to rounding: what they described stays valid."""
    urls: tuple[str, ...] = ()
    """Mirrors, best first. `ARCHIVE#MEMBER` is one file of a wheel, zip or tar; `.bz2` is unpacked."""
    instructions: str = ""
    """For a user-supplied file: where to find it, and why it is not redistributed."""


def read_cards(path: Path) -> tuple[Card, ...]:
    """The cards of a TOML file, in its order.

    Raises:
        WeightsError: the file cannot be read, or a card in it is incomplete or wrong; says which, what was found and
            what was expected.
    """
    entries = _read(path).get("card", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise WeightsError(f"In {path} 'card' is no list of tables: begin each card with a line [[card]].")
    cards = tuple(_card(entry, path, number) for number, entry in enumerate(entries, start=1))
    _refuse_twins(cards, path)
    return cards


def user_cards() -> tuple[Card, ...]:
    """The cards that this user added, read from the folder of cards now; none where there is no such folder.

    Raises:
        WeightsError: a file of cards is wrong, a card calls itself embedded, or it takes a name or a filename that
            another one has.
    """
    found: list[Card] = []
    for path in sorted(cards_dir().glob("*.toml")):
        for card in read_cards(path):
            if card.kind == "embedded":
                raise WeightsError(
                    f"In {path} the card '{card.name}' is of the kind embedded, which is for files that ship with "
                    "hififace. Expected fetchable or user-supplied."
                )
            found.append(card)
        _refuse_twins((*CARDS, *found), path)
    return tuple(found)


def all_cards() -> tuple[Card, ...]:
    """Those that ship, then the user's own. Raises WeightsError as `user_cards` does."""
    return (*CARDS, *user_cards())


def find_card(name: str) -> Card:
    """The card called `name`.

    Raises:
        OptionError: there is none; names the ones there are.
        WeightsError: it is none of those that ship, and the user's own cannot be read.
    """
    # A broken card of the user's is no reason to lose the files that ship.
    card = _named(name, CARDS) or _named(name, user_cards())
    if card is not None:
        return card
    raise OptionError(
        f"There is no file of weights called {name!r}. Known: {', '.join(c.name for c in all_cards())}."
    )


def cards_for(purpose: str) -> tuple[Card, ...]:
    """Every card that a purpose needs and that does not ship.

    Raises:
        OptionError: there is no such purpose.
    """
    if purpose not in PURPOSES:
        raise OptionError(f"There is no purpose called {purpose!r}. Expected one of {', '.join(PURPOSES)}.")
    return tuple(find_card(name) for name in PURPOSES[purpose])


def _named(name: str, cards: tuple[Card, ...]) -> Card | None:
    return next((card for card in cards if card.name == name), None)


# ---------------------------------------------------------------------------------------------------------
# From TOML


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise WeightsError(f"The cards in {path} cannot be read: {error}.") from error


_TYPES: Final[Mapping[str, tuple[type, str]]] = {
    "commercial": (bool, "true or false"),
    "size_bytes": (int, "a whole number"),
    "urls": (list, "a list of addresses"),
    "same_function": (list, "a list of SHA-256 in quotes"),
}
"""Of what is no text."""


def _card(entry: Mapping[str, Any], path: Path, number: int) -> Card:
    name = entry.get("name")
    where = f"In {path} the card '{name}'" if isinstance(name, str) and name else f"In {path} card {number}"
    known = {field.name: field for field in fields(Card)}
    unknown = sorted(set(entry) - set(known))
    if unknown:
        raise WeightsError(f"{where} has an unknown key, '{unknown[0]}'. Known are {', '.join(known)}.")
    missing = [key for key, field in known.items() if field.default is MISSING and key not in entry]
    if missing:
        raise WeightsError(f"{where} lacks {', '.join(missing)}: add it.")
    for key, value in entry.items():
        kind, words = _TYPES.get(key, (str, "text in quotes"))
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise WeightsError(f"{where} has {key} = {value!r}; expected {words}.")
    problem = _problem(entry)
    if problem:
        raise WeightsError(f"{where} has {problem}.")
    lists = {key: tuple(entry.get(key, ())) for key in ("urls", "same_function")}
    return Card(**{**entry, **lists})


def _problem(entry: Mapping[str, Any]) -> str | None:
    """What is wrong with the values of a card whose keys and types are right."""
    kind, filename = entry["kind"], entry["filename"]
    urls: list[Any] = entry.get("urls", [])
    place = PurePosixPath(filename)
    if kind not in get_args(Kind):
        return f"kind = {kind!r}; expected one of {', '.join(get_args(Kind))}"
    if not filename or place.is_absolute() or ".." in place.parts or "\\" in filename or ":" in filename:
        return f"filename = {filename!r}; expected a path below the folder of models, with / and without .."
    for key, hashes in (
        ("sha256", [entry.get("sha256", "0" * 64)]),
        ("same_function", entry.get("same_function", [])),
    ):
        for value in hashes:
            if not (isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value)):
                return f"{key} = {value!r}; expected 64 hexadecimal digits in lower case"
    if entry.get("size_bytes", 1) < 1:
        return f"size_bytes = {entry['size_bytes']}; expected 1 or more"
    wrong = next((url for url in urls if not (isinstance(url, str) and url.startswith("https://"))), None)
    if wrong is not None:
        return f"the address {wrong!r}; expected one that begins with https://"
    if kind == "fetchable" and not (urls and "sha256" in entry):
        return "the kind fetchable but no urls or no sha256; expected both, as what is fetched is verified"
    return None


def _refuse_twins(cards: tuple[Card, ...], path: Path) -> None:
    for key in ("name", "filename"):
        seen: set[str] = set()
        for card in cards:
            value = getattr(card, key)
            if value in seen:
                raise WeightsError(
                    f"In {path} the {key} '{value}' is taken by another card: choose another {key}."
                )
            seen.add(value)


CARDS: Final[tuple[Card, ...]] = read_cards(SHIPPED)
"""The cards of the package; names are unique."""

PURPOSES: Final[dict[str, tuple[str, ...]]] = {
    purpose: tuple(names) for purpose, names in _read(SHIPPED)["purposes"].items()
}
"""Purpose -> the files it needs in addition to the embedded ones; `hififace weights fetch PURPOSE` gets them all."""
