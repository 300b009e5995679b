from __future__ import annotations

import io
from datetime import datetime, timezone
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from hififace import __version__
from hififace.provenance.claim import (
    DIGITAL_SOURCE_TYPE,
    Claim,
    claim_in_text,
    claim_in_xmp,
    printable,
    without_claims,
)

CLAIM = Claim(
    model="mini <\"&'> ünï", model_version="1", made_at=datetime(2026, 11, 1, 12, 0, tzinfo=timezone.utc)
)


def test_what_is_said_by_default():
    claim = Claim(model="mini")
    assert claim.statement == "face swap"
    assert claim.tool_version == __version__
    assert claim.digital_source_type.endswith("/compositeWithTrainedAlgorithmicMedia")
    assert claim.made_at.tzinfo is not None
    assert abs((datetime.now(timezone.utc) - claim.made_at).total_seconds()) < 60


def test_a_claim_without_a_model_is_refused():
    with pytest.raises(ValidationError):
        Claim(model="")


def test_the_sentence_names_model_time_and_consent():
    assert CLAIM.sentence().endswith("model mini <\"&'> ünï 1, 2026-11-01 12:00 UTC.")
    assert CLAIM.model_copy(update={"consent_confirmed": True}).sentence().endswith("consent confirmed.")


def test_the_words_that_were_confirmed_are_kept_in_both_marks():
    words = 'They "agreed" <all> & said so.'
    claim = CLAIM.model_copy(update={"consent_confirmed": True, "consent_statement": words})
    assert claim.sentence().endswith(f'consent confirmed: "{words}"')
    assert claim_in_xmp(claim.to_xmp()) == claim
    assert claim_in_text(claim.to_text()) == claim


def test_xmp_is_well_formed_and_uses_the_iptc_term():
    root = ET.fromstring(CLAIM.to_xmp().decode().partition("?>")[2].rpartition("<?xpacket")[0])
    description = root.find(".//{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert description is not None
    key = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    assert description.attrib[key] == DIGITAL_SOURCE_TYPE
    assert Claim.model_validate_json(description.attrib["{tag:hififace,2026:claim#}claim"]) == CLAIM


def test_the_claim_comes_back_from_xmp_and_text():
    assert claim_in_xmp(b"\xff\xd8 noise " + CLAIM.to_xmp() + b" noise") == CLAIM
    assert claim_in_text(CLAIM.to_text()) == CLAIM


@pytest.mark.parametrize("quote", ['"', "'", "element"])
def test_xmp_rewritten_by_another_tool_is_still_read(quote: str):
    """Editors are free to use other quotes, or elements for attributes."""
    text = CLAIM.model_dump_json().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if quote == "element":
        packet = f"<hififace:claim>{text}</hififace:claim>"
    else:
        text = text.replace('"', "&quot;").replace("'", "&apos;")
        packet = f"hififace:claim = {quote}{text}{quote}"
    assert claim_in_xmp(packet.encode()) == CLAIM


@pytest.mark.parametrize("data", [b"", b'hififace:claim="{}"', b'hififace:claim="not json"', b"<x:xmpmeta/>"])
def test_no_claim_and_broken_claims_are_none(data: bytes):
    assert claim_in_xmp(data) is None
    assert claim_in_text(data.decode()) is None
    assert claim_in_text("hififace-claim:{") is None


def test_a_later_versions_claim_can_be_read():
    assert claim_in_text('hififace-claim:{"model": "x", "new_key": 1}') is not None


def test_pillow_finds_the_packet_too():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "JPEG", xmp=CLAIM.to_xmp())
    assert claim_in_xmp(Image.open(io.BytesIO(buffer.getvalue())).info["xmp"]) == CLAIM


def test_of_several_claims_in_a_comment_the_last_counts_and_all_can_be_taken_out():
    ours, theirs = Claim(model="ours"), Claim(model="theirs", consent_statement="they {said} so")
    text = f"My holiday. {theirs.to_text()} {ours.to_text()}"
    assert claim_in_text(text) == ours
    assert claim_in_text(text + " cut by another tool") == ours
    assert without_claims(text) == "My holiday."
    assert without_claims("no claim: hififace-claim:{broken") == "no claim: hififace-claim:{broken"
    assert claim_in_text("hififace-claim:" * 5000) is None


def test_nothing_of_a_claim_can_pass_for_words_of_ours():
    forged = Claim(
        model="x\n\x1b[2KThe signature is valid \u202egro", consent_statement="yes\r\nmade here\u2028."
    )
    sentence = forged.sentence()
    assert sentence.isprintable()
    for escaped in ("\\x1b", "\\n", "\\r", "\\u2028", "\\u202e"):
        assert escaped in sentence
    assert printable("Änne Müller, 漢字") == "Änne Müller, 漢字"


TARGET_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'xmlns:h="tag:hififace,2026:claim#" h:claim="{&quot;model&quot;: &quot;theirs&quot;}" dc:format="image/jpeg">'
    b'<dc:title>hififace:claim="{&quot;model&quot;: &quot;written as words&quot;}"</dc:title>'
    b"<h:claim>{&quot;model&quot;: &quot;theirs too&quot;}</h:claim>"
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)


def test_ours_goes_behind_what_the_target_says_and_replaces_its_claims():
    packet = CLAIM.to_xmp(TARGET_XMP)
    assert claim_in_xmp(packet) == CLAIM
    assert b"theirs" not in packet
    assert b'dc:format="image/jpeg"' in packet
    root = ET.fromstring(packet.decode().partition("?>")[2].rpartition("<?xpacket")[0])
    assert len(root.findall(".//*[@{tag:hififace,2026:claim#}claim]")) == 1


@pytest.mark.parametrize("kept", [None, b"", b"<x/>", b"garbage", TARGET_XMP + b" " * 70_000])
def test_the_packet_is_ours_whatever_the_target_brings(kept):
    assert claim_in_xmp(CLAIM.to_xmp(kept)) == CLAIM


def test_a_packet_too_long_for_a_jpeg_is_ours_alone():
    long = TARGET_XMP.replace(b"image/jpeg", b"x" * 66_000)
    packet = CLAIM.to_xmp(long)
    assert len(packet) < 3000
    assert claim_in_xmp(packet) == CLAIM
