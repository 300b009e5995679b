"""What every result says about itself: that it is a face swap, by which tool and model, and when.

The claim names no person, no path and no machine. It is written twice: signed, as Content Credentials
(`content_credentials.py`), and as plain metadata, which survives tools that do not know these.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Final, Literal
from xml.dom import minidom
from xml.sax.saxutils import quoteattr, unescape

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError

from hififace import __version__
from hififace.media.author_notes import parse_xmp, rdf_of

DIGITAL_SOURCE_TYPE: Final = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
"""IPTC's term for a photo in which a trained network replaced a part."""

_IPTC_EXTENSION: Final = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_LONGEST_PACKET: Final = 65_502
"""Bytes of XMP that a JPEG holds in one segment."""

XMP_NAMESPACE: Final = "tag:hififace,2026:claim#"
_TEXT_LABEL: Final = "hififace-claim:"
_XMP_CLAIM: Final = re.compile(
    rb"""hififace:claim\s*=\s*"([^"]*)"|hififace:claim\s*=\s*'([^']*)'|<hififace:claim>([^<]*)</"""
)


class Claim(BaseModel):
    """One statement about one result. Unknown keys of later versions are ignored when reading."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    statement: Literal["face swap"] = "face swap"
    tool: str = Field(default="hififace", max_length=200)
    tool_version: str = Field(default=__version__, max_length=200)
    model: str = Field(min_length=1, max_length=200)
    model_version: str = Field(default="", max_length=200)
    digital_source_type: str = Field(default=DIGITAL_SOURCE_TYPE, max_length=200)
    consent_confirmed: StrictBool | None = None
    """Whether the user confirmed that the people shown agreed; None: was not asked."""
    consent_statement: str | None = Field(default=None, max_length=1000)
    """The very words that the user confirmed."""
    made_at: datetime = Field(default_factory=lambda: datetime.now(timezone.utc).replace(microsecond=0))

    def sentence(self) -> str:
        """For people."""
        model = f"{self.model} {self.model_version}".strip()
        when = self.made_at.strftime("%Y-%m-%d %H:%M UTC")
        consent = {True: ", consent confirmed", False: ", consent not confirmed", None: ""}
        said = f': "{self.consent_statement}"' if self.consent_statement else "."
        # Anybody can write a claim: none of it may pass for words of ours.
        return printable(
            f"Face swap made with {self.tool} {self.tool_version}, model {model}, {when}"
            f"{consent[self.consent_confirmed]}{said}"
        )

    def to_text(self) -> str:
        """A comment for videos: a sentence for people, then the claim for programs."""
        return f"{self.sentence()} {_TEXT_LABEL}{self.model_dump_json(exclude_none=True)}"

    def to_xmp(self, kept: bytes | None = None) -> bytes:
        """An XMP packet (ISO 16684-1) with IPTC's digital source type and the claim.

        Args:
            kept: an `x:xmpmeta` element of the target; what it says of these two is replaced, all else is kept, in
                front of ours.
        """
        description = (
            '<rdf:Description xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" rdf:about=""'
            ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
            f' xmlns:Iptc4xmpExt="{_IPTC_EXTENSION}"'
            f' xmlns:hififace="{XMP_NAMESPACE}"'
            f" xmp:CreatorTool={quoteattr(f'{self.tool} {self.tool_version}')}"
            f" Iptc4xmpExt:DigitalSourceType={quoteattr(self.digital_source_type)}"
            # Always in double quotes, which JSON is full of: quoteattr would choose single ones.
            f' hififace:claim="{_escaped(self.model_dump_json(exclude_none=True))}"/>'
        )
        return b"".join(
            (
                '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'.encode(),
                _joined(kept, description) or _wrapped(description),
                b'<?xpacket end="w"?>',
            )
        )


def _wrapped(description: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f"{description}</rdf:RDF></x:xmpmeta>"
    ).encode()


def _joined(kept: bytes | None, description: str) -> bytes | None:
    """The target's packet with our description in it, or None where that cannot be."""
    root = parse_xmp(kept)
    rdf = None if root is None else rdf_of(root)
    if root is None or rdf is None:
        return None
    for element in list(root.getElementsByTagName("*")):
        if _is_ours(element.namespaceURI, element.localName) and element.parentNode is not None:
            element.parentNode.removeChild(element)
            continue
        for attribute in list((element.attributes or {}).values()):
            if _is_ours(attribute.namespaceURI, attribute.localName):
                element.removeAttributeNode(attribute)
    ours = minidom.parseString(description.encode()).documentElement
    document = root.ownerDocument
    assert ours is not None
    assert document is not None
    rdf.appendChild(document.importNode(ours, True))
    try:
        joined = root.toxml().encode("utf-8")
    except RecursionError:
        return None
    return joined if len(joined) <= _LONGEST_PACKET else None


def _is_ours(namespace: str | None, name: str | None) -> bool:
    return namespace == XMP_NAMESPACE or (namespace, name) in {
        (_IPTC_EXTENSION, "DigitalSourceType"),
        ("http://ns.adobe.com/xap/1.0/", "CreatorTool"),
    }


def claim_in_xmp(data: bytes) -> Claim | None:
    """The last claim in an XMP packet, where ours stands: what comes before it may be of anybody."""
    for found in reversed(list(_XMP_CLAIM.finditer(data))):
        text = next(group for group in found.groups() if group is not None).decode("utf-8", "replace")
        claim = _parse(unescape(text, {"&quot;": '"', "&apos;": "'", "&#34;": '"'}))
        if claim is not None:
            return claim
    return None


def claim_in_text(text: str) -> Claim | None:
    """The last claim in a video's comment, or None: ours is written behind whatever a stranger wrote."""
    found = _last_claim(text)
    return None if found is None else found[0]


def without_claims(text: str) -> str:
    """A video's comment without the claims at its end: those of earlier swaps of the same video."""
    while (found := _last_claim(text)) is not None:
        claim, begin, end = found
        before = text[:begin].removesuffix(f"{claim.sentence()} ")
        text = f"{before.rstrip()} {text[end:].lstrip()}".strip()
    return text


def _last_claim(text: str) -> tuple[Claim, int, int] | None:
    """A claim, where its label begins, and where it ends."""
    begin = text.rfind(_TEXT_LABEL)
    while begin >= 0:
        start = begin + len(_TEXT_LABEL)
        try:
            _, end = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start
        claim = _parse(text[start:end])
        if claim is not None:
            return claim, begin, end
        begin = text.rfind(_TEXT_LABEL, 0, begin)
    return None


def printable(text: str) -> str:
    """What a stranger wrote, on one line and harmless to a terminal: control and direction characters are escaped."""
    return "".join(
        char if char.isprintable() and not 0x200B <= ord(char) <= 0x206F else ascii(char)[1:-1]
        for char in text
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _parse(text: str) -> Claim | None:
    try:
        return Claim.model_validate_json(text)
    except ValidationError:
        return None
