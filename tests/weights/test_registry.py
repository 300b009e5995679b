from __future__ import annotations

import json
import re

import pytest

from hififace.errors import OptionError, WeightsError
from hififace.weights.registry import CARDS, PURPOSES, Card, all_cards, cards_for, find_card
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
    if card.kind != "user-supplied":
        assert re.fullmatch(r"[0-9a-f]{64}", card.sha256 or "")
        assert card.size_bytes
    if card.kind == "fetchable":
        assert len({url.split("/")[2] for url in card.urls}) >= 2, "one dead server must not be the end"
        assert all(url.startswith("https://") for url in card.urls)
    if card.kind == "user-supplied":
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


# ---------------------------------------------------------------------------------------------------------
# The user's own cards

OWN = {
    "name": "ours",
    "kind": "user-supplied",
    "filename": "ours.onnx",
    "licence": "MIT",
    "commercial": True,
    "origin": "trained by us",
    "used_by": "a test",
}


@pytest.fixture
def cards(tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
    (tmp_path / "cards").mkdir()
    return tmp_path / "cards"


def write(path, **changes):
    values = {key: value for key, value in {**OWN, **changes}.items() if value is not None}
    # JSON's texts, numbers, truths and lists of texts are TOML's.
    path.write_text("[[card]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))


def test_a_card_of_the_users_is_found_after_those_that_ship(cards):
    assert all_cards() == CARDS
    write(cards / "ours.toml", size_bytes=7, sha256="a" * 64, instructions="On the shelf.")
    card = find_card("ours")
    assert card == Card(**OWN, size_bytes=7, sha256="a" * 64, instructions="On the shelf.")
    assert all_cards() == (*CARDS, card)
    assert expected_path(card) == cards.parent / "models" / "ours.onnx"
    expected_path(card).parent.mkdir()
    expected_path(card).write_bytes(b"weights")
    assert verify(card).state == "altered"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"licence": None, "origin": None}, "the card 'ours' lacks licence, origin"),
        ({"name": None}, "card 1 lacks name"),
        ({"color": "red"}, "unknown key, 'color'. Known are name, kind"),
        ({"commercial": "yes"}, "commercial = 'yes'; expected true or false"),
        ({"size_bytes": True}, "size_bytes = True; expected a whole number"),
        ({"size_bytes": 0}, "size_bytes = 0; expected 1 or more"),
        ({"licence": 3}, "licence = 3; expected text in quotes"),
        ({"kind": "bring"}, "kind = 'bring'; expected one of embedded, fetchable, user-supplied"),
        ({"kind": "embedded"}, "is of the kind embedded"),
        ({"kind": "fetchable"}, "no urls or no sha256"),
        ({"filename": "../ours.onnx"}, "expected a path below the folder of models"),
        ({"filename": "/etc/passwd"}, "expected a path below the folder of models"),
        ({"filename": "C:/ours.onnx"}, "expected a path below the folder of models"),
        ({"sha256": "abc"}, "expected 64 hexadecimal digits"),
        ({"same_function": ["abc"]}, "same_function = 'abc'; expected 64 hexadecimal digits"),
        ({"same_function": "a" * 64}, "expected a list of SHA-256"),
        ({"urls": ["http://example.org/x"]}, "expected one that begins with https://"),
        ({"name": "yunet"}, "the name 'yunet' is taken by another card"),
        ({"filename": "epoch_20_new.pth"}, "the filename 'epoch_20_new.pth' is taken"),
    ],
)
def test_a_wrong_card_is_refused_by_a_sentence(cards, changes, words):
    write(cards / "ours.toml", **changes)
    with pytest.raises(WeightsError, match=re.escape(words)) as refused:
        all_cards()
    assert str(cards / "ours.toml") in str(refused.value)
    assert find_card("yunet").kind == "embedded", "a broken card is no reason to lose those that ship"


@pytest.mark.parametrize("content", [b"[[card]\n", b"\xff\xfe", b"card = 3\n", b"card = [3]\n"])
def test_a_file_that_holds_no_cards_is_refused_by_a_sentence(cards, content):
    (cards / "ours.toml").write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(str(cards / "ours.toml"))):
        all_cards()
