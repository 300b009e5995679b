from __future__ import annotations

import re

import pytest

from hififace.errors import OptionError
from hififace.weights.registry import CARDS, PURPOSES, cards_for, find_card
from hififace.weights.store import EMBEDDED, expected_path, verify

# Not files of weights, or described by their own model.json.
NOT_ON_A_CARD = {"NOTICE.md"}


def test_names_and_places_are_unique():
    assert len({card.name for card in CARDS}) == len(CARDS)
    assert len({expected_path(card) for card in CARDS}) == len(CARDS)


SHIPPED = [card for card in CARDS if card.kind == "embedded"]


@pytest.mark.parametrize("card", SHIPPED, ids=lambda card: card.name)
def test_embedded_files_are_what_their_cards_say(card):
    """Whoever makes an embedded file anew must say so on its card."""
    finding = verify(card)
    assert finding.state == "intact", f"{finding.path}: {finding.detail}"
    assert finding.path.stat().st_size == card.size_bytes


def test_every_embedded_file_has_a_card():
    cards = {card.filename for card in SHIPPED}
    files = {path.name for path in EMBEDDED.iterdir() if path.is_file()} - NOT_ON_A_CARD
    assert files == cards


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_cards_are_complete(card):
    assert card.licence
    assert card.origin
    assert card.used_by
    if card.kind != "bring":
        assert re.fullmatch(r"[0-9a-f]{64}", card.sha256 or "")
        assert card.size_bytes
    if card.kind == "fetchable":
        assert len({url.split("/")[2] for url in card.urls}) >= 2, "one dead server must not be the end"
        assert all(url.startswith("https://") for url in card.urls)
    if card.kind == "bring":
        assert not card.urls
        assert card.instructions.endswith(".")


def test_licences_that_forbid_commercial_use_are_marked():
    for card in CARDS:
        forbids = "non-commercial" in card.licence or "research" in card.licence
        assert card.commercial is not forbids


def test_find_card_names_the_known_ones():
    assert find_card("yunet").kind == "embedded"
    with pytest.raises(OptionError, match="yunet"):
        find_card("nothing")


def test_a_purpose_is_every_file_that_its_errors_could_ask_for():
    for purpose, names in PURPOSES.items():
        assert [card.name for card in cards_for(purpose)] == list(names)
        assert all(card.kind != "embedded" for card in cards_for(purpose))
    in_some = {name for names in PURPOSES.values() for name in names}
    assert in_some == {card.name for card in CARDS if card.kind != "embedded"}
    with pytest.raises(OptionError, match="evaluation"):
        cards_for("everything")
