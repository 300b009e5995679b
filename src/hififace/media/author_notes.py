"""What a photo's author wrote into it, beside EXIF: XMP, IPTC, comments. It outlives a swap, as far as it stays true.

Left out is only what describes other pixels than those of the result: thumbnails (they show the old face), and the
directory of a second image in the file (gain map, depth map, motion video), which is not carried over.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, Final
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from PIL import Image

_LARGEST_XMP: Final = 1 << 20
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

_UNTRUE_NAMESPACES: Final = frozenset(
    {
        "http://ns.adobe.com/hdr-gain-map/1.0/",
        "http://ns.apple.com/HDRGainMap/1.0/",
        "http://ns.apple.com/pixeldatainfo/1.0/",
        "http://ns.google.com/photos/1.0/camera/",
        "http://ns.google.com/photos/1.0/container/",
        "http://ns.google.com/photos/1.0/container/item/",
        "http://ns.google.com/photos/1.0/depthmap/",
        "http://ns.google.com/photos/1.0/image/",
        "http://ns.adobe.com/xmp/note/",
    }
)
"""XMP that tells where in the file a second image or a second packet lies."""

_UNTRUE_NAMES: Final = frozenset({("http://ns.adobe.com/xap/1.0/", "Thumbnails")})

_KEPT_RESOURCES: Final = (0x0404, 0x0425, 0x040A, 0x040B)
"""Of Photoshop's block: the IPTC record and its digest, the copyright flag and its address."""

_PNG_KEYWORDS: Final = (
    "Title",
    "Author",
    "Description",
    "Copyright",
    "Creation Time",
    "Disclaimer",
    "Warning",
    "Source",
    "Comment",
)
"""Keywords of the PNG standard for what an author writes; "Software" would no longer be true."""


@dataclass(frozen=True, slots=True)
class AuthorNotes:
    """What is carried over from a photo to its result."""

    xmp: bytes | None = field(default=None, repr=False)
    """An `x:xmpmeta` element in UTF-8, without its wrapping."""
    iptc: bytes | None = field(default=None, repr=False)
    """An IPTC-IIM record."""
    resources: bytes | None = field(default=None, repr=False)
    """Photoshop's image resources with that record, as a JPEG holds them."""
    comment: bytes | None = field(default=None, repr=False)
    """A JPEG's comment."""
    texts: tuple[tuple[str, str], ...] = ()
    """A PNG's texts by keyword."""
    left_out: tuple[str, ...] = ()
    """What the file held and no result can: phrases for a sentence."""


def author_notes(opened: Image.Image) -> AuthorNotes:
    """Read them from an image whose header was read."""
    record, resources = _iptc(opened)
    comment = opened.info.get("comment") if opened.format in {"JPEG", "MPO"} else None
    texts = {name: opened.info.get(name) for name in _PNG_KEYWORDS} if opened.format == "PNG" else {}
    return AuthorNotes(
        xmp=clean_xmp(xmp_of(opened)),
        iptc=record,
        resources=resources,
        comment=comment if isinstance(comment, bytes) else None,
        texts=tuple((name, str(text)) for name, text in texts.items() if isinstance(text, str)),
        left_out=tuple(_left_out(opened)),
    )


def xmp_of(opened: Image.Image) -> bytes | None:
    """The XMP packet of an image, where its format keeps it and nowhere else; None without one."""
    found = opened.info.get("xmp") or opened.info.get("XML:com.adobe.xmp")
    if found is None and opened.format == "TIFF":
        found = getattr(opened, "tag_v2", {}).get(700)
    if isinstance(found, str):
        found = found.encode("utf-8", "replace")
    if isinstance(found, tuple):
        found = bytes(found)
    return found if isinstance(found, bytes) else None


def clean_xmp(packet: bytes | None) -> bytes | None:
    """What of an XMP packet stays true of a result, as an element without wrapping; None if it cannot be read.

    Args:
        packet: as it lies in the file, of a stranger.
    """
    root = parse_xmp(packet)
    if root is None:
        return None
    try:
        for element in list(root.getElementsByTagName("*")):
            if _is_untrue(element.namespaceURI, element.localName) and element.parentNode is not None:
                element.parentNode.removeChild(element)
                continue
            for attribute in list((element.attributes or {}).values()):
                if _is_untrue(attribute.namespaceURI, attribute.localName):
                    element.removeAttributeNode(attribute)
        return root.toxml().encode("utf-8")
    except (RecursionError, ValueError):
        return None


def parse_xmp(packet: bytes | None) -> minidom.Element | None:
    """The root of a packet that holds an `rdf:RDF`; None for anything else, and for what no honest packet has."""
    if packet is None or len(packet) > _LARGEST_XMP or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        return None
    try:
        document = minidom.parseString(packet.strip(b"\0 \t\r\n"))
    except (ExpatError, ValueError, LookupError, RecursionError):
        return None
    root = document.documentElement
    return root if root is not None and rdf_of(root) is not None else None


def rdf_of(root: minidom.Element) -> minidom.Element | None:
    """The `rdf:RDF` element of a packet."""
    if (root.namespaceURI, root.localName) == (_RDF, "RDF"):
        return root
    found: list[minidom.Element] = list(root.getElementsByTagNameNS(_RDF, "RDF"))
    return found[0] if found else None


def _is_untrue(namespace: str | None, name: str | None) -> bool:
    return namespace in _UNTRUE_NAMESPACES or (namespace, name) in _UNTRUE_NAMES


def _iptc(opened: Image.Image) -> tuple[bytes | None, bytes | None]:
    """The IPTC record, and the image resources around it."""
    if opened.format == "TIFF":
        record = getattr(opened, "tag_v2", {}).get(33723)
        record = struct.pack(f"<{len(record)}L", *record) if isinstance(record, tuple) else record
        found: dict[Any, Any] = {0x0404: record}
    else:
        found = opened.info.get("photoshop") or {}
    kept = {code: found.get(code) for code in _KEPT_RESOURCES}
    blocks = [_resource(code, data) for code, data in kept.items() if isinstance(data, bytes) and data]
    record = kept[0x0404]
    return record if isinstance(record, bytes) else None, b"".join(blocks) or None


def _resource(code: int, data: bytes) -> bytes:
    """One image resource: signature, number, no name, size, data, padded to an even length."""
    return b"8BIM" + struct.pack(">HHL", code, 0, len(data)) + data + b"\0" * (len(data) % 2)


def jpeg_segment(resources: bytes) -> bytes:
    """Image resources as the JPEG segment APP13; empty where they are too long for one."""
    payload = b"Photoshop 3.0\0" + resources
    return b"\xff\xed" + struct.pack(">H", len(payload) + 2) + payload if len(payload) <= 65533 else b""


def _left_out(opened: Image.Image) -> list[str]:
    """Second images of a file, in words."""
    told = []
    others = getattr(opened, "n_frames", 1) - 1 if opened.format in {"MPO", "HEIF"} else 0
    if opened.format == "HEIF":
        others += len(opened.info.get("depth_images") or [])
    packet = xmp_of(opened) or b""
    segments = [content for name, content in getattr(opened, "applist", []) if name == "APP1"]
    if any(b"hdrgm:Version" in content for content in [packet, *segments]) or b"HDRGainMap" in packet:
        told.append("its gain map, which made it an HDR photo, was left out")
    elif others:
        told.append(f"{others} further {'image' if others == 1 else 'images'} in its file (a preview, a gain map or a "
                    "depth map) were left out")  # fmt: skip
    if b"MotionPhoto" in packet or b"MicroVideo" in packet:
        told.append("its motion video was left out")
    return told
