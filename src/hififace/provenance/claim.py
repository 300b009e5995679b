"""What every result says about itself: that it is a face swap, by which tool and model, and when.

The claim names no person, no path and no machine. It is written twice: signed, as Content Credentials
(`content_credentials.py`), and as plain metadata, which survives tools that do not know these.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Final, Literal
from xml.sax.saxutils import quoteattr, unescape

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hififace import __version__

DIGITAL_SOURCE_TYPE: Final = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
"""IPTC's term for a photo in which a trained network replaced a part."""

XMP_NAMESPACE: Final = "tag:hififace,2026:claim#"
_TEXT_LABEL: Final = "hififace-claim:"
_XMP_CLAIM: Final = re.compile(
    rb"""hififace:claim\s*=\s*"([^"]*)"|hififace:claim\s*=\s*'([^']*)'|<hififace:claim>([^<]*)</"""
)


class Claim(BaseModel):
    """One statement about one result. Unknown keys of later versions are ignored when reading."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    statement: Literal["face swap"] = "face swap"
    tool: str = "hififace"
    tool_version: str = __version__
    model: str = Field(min_length=1)
    model_version: str = ""
    digital_source_type: str = DIGITAL_SOURCE_TYPE
    consent_confirmed: bool | None = None
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
        return (
            f"Face swap made with {self.tool} {self.tool_version}, model {model}, {when}"
            f"{consent[self.consent_confirmed]}{said}"
        )

    def to_text(self) -> str:
        """A comment for videos: a sentence for people, then the claim for programs."""
        return f"{self.sentence()} {_TEXT_LABEL}{self.model_dump_json(exclude_none=True)}"

    def to_xmp(self) -> bytes:
        """An XMP packet (ISO 16684-1) with IPTC's digital source type and the claim."""
        packet = (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
            '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description rdf:about=""'
            ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
            ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
            f' xmlns:hififace="{XMP_NAMESPACE}"'
            f" xmp:CreatorTool={quoteattr(f'{self.tool} {self.tool_version}')}"
            f" Iptc4xmpExt:DigitalSourceType={quoteattr(self.digital_source_type)}"
            # Always in double quotes, which JSON is full of: quoteattr would choose single ones.
            f' hififace:claim="{_escaped(self.model_dump_json(exclude_none=True))}"'
            "/></rdf:RDF></x:xmpmeta>"
            '<?xpacket end="w"?>'
        )
        return packet.encode("utf-8")


def claim_in_xmp(data: bytes) -> Claim | None:
    """The claim of the first XMP packet that has one, anywhere in the bytes of a file.

    Packets are meant to be found by scanning: they lie uncompressed in every format that we write.
    """
    for found in _XMP_CLAIM.finditer(data):
        text = next(group for group in found.groups() if group is not None).decode("utf-8", "replace")
        claim = _parse(unescape(text, {"&quot;": '"', "&apos;": "'", "&#34;": '"'}))
        if claim is not None:
            return claim
    return None


def claim_in_text(text: str) -> Claim | None:
    """The claim at the end of a video's comment, or None."""
    _, label, rest = text.partition(_TEXT_LABEL)
    return _parse(rest.strip()) if label else None


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _parse(text: str) -> Claim | None:
    try:
        return Claim.model_validate_json(text)
    except ValidationError:
        return None
