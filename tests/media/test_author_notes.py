from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from hififace.media.author_notes import clean_xmp, parse_xmp
from hififace.media.image import encode_image, read_image

PIXELS = np.full((16, 24, 3), 90, np.uint8)
IPTC = b"\x1c\x02\x50\x00\x06Author\x1c\x02\x69\x00\x05Words"
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmp:Rating="4" hdrgm:Version="1.0">'
    b"<dc:creator><rdf:Seq><rdf:li>A &amp; B</rdf:li></rdf:Seq></dc:creator>"
    b"<xmp:Thumbnails><rdf:Alt><rdf:li>old face</rdf:li></rdf:Alt></xmp:Thumbnails>"
    b'</rdf:Description></rdf:RDF></x:xmpmeta>  \n <?xpacket end="w"?>'
)


def resource(code, data):
    return b"8BIM" + struct.pack(">HHL", code, 0, len(data)) + data + b"\0" * (len(data) % 2)


def jpeg(**settings):
    blocks = resource(0x0404, IPTC) + resource(0x040C, b"old thumbnail") + resource(0x040A, b"\x01")
    payload = b"Photoshop 3.0\0" + blocks
    extra = b"\xff\xed" + struct.pack(">H", len(payload) + 2) + payload
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", xmp=XMP, extra=extra, comment=b"my words", **settings)
    return buffer.getvalue()


def rewritten(data, format):
    loaded = read_image(data)
    return Image.open(io.BytesIO(encode_image(loaded, format=format, xmp=loaded.notes.xmp)))


def test_what_the_author_wrote_is_in_the_result_and_old_pixels_are_not():
    image = rewritten(jpeg(), "JPEG")
    assert image.info["photoshop"][0x0404] == IPTC
    assert image.info["photoshop"][0x040A] == b"\x01"
    assert 0x040C not in image.info["photoshop"]
    assert image.info["comment"] == b"my words"
    assert b"A &amp; B" in image.info["xmp"]
    assert b'xmp:Rating="4"' in image.info["xmp"]
    assert b"old face" not in image.info["xmp"]
    assert b"hdrgm:Version" not in image.info["xmp"]


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_xmp_goes_along_into_every_format_that_has_room(format):
    image = rewritten(jpeg(), format)
    packet = image.tag_v2[700] if format == "TIFF" else image.info["xmp"]
    assert b"A &amp; B" in packet
    if format == "TIFF":
        assert bytes(image.tag_v2[33723]) == IPTC
        buffer = io.BytesIO()
        image.save(buffer, "TIFF", tiffinfo={33723: IPTC, 700: XMP})
        assert (
            Image.open(io.BytesIO(encode_image(read_image(buffer.getvalue()), format="JPEG")))
            .info["photoshop"][0x0404]
            .startswith(IPTC)
        )


def test_texts_of_a_png_stay_but_not_its_software():
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, text in {"Author": "Änne", "Copyright": "mine", "Software": "old tool"}.items():
        info.add_itxt(name, text)
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG", pnginfo=info)
    kept = rewritten(buffer.getvalue(), "PNG").info
    assert (kept["Author"], kept["Copyright"], kept.get("Software")) == ("Änne", "mine", None)


def test_second_images_are_told_about():
    assert sum("gain map" in note for note in read_image(jpeg()).notes.left_out) == 1
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(
        buffer, "MPO", save_all=True, append_images=[Image.fromarray(PIXELS), Image.fromarray(PIXELS)]
    )
    (note,) = read_image(buffer.getvalue()).notes.left_out
    assert note.startswith("2 further images")
    plain = io.BytesIO()
    Image.fromarray(PIXELS).save(plain, "JPEG")
    assert read_image(plain.getvalue()).notes.left_out == ()


@pytest.mark.parametrize(
    "packet",
    [
        None,
        b"",
        b"not xml",
        b"<a/>",
        XMP[:200],
        XMP.replace(b"<x:xmpmeta", b'<!DOCTYPE x [<!ENTITY a "b">]><x:xmpmeta', 1),
        XMP.replace(b"A &amp; B", b"&a;"),
        b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>" + b"<a>" * 50_000,
        b" " * (1 << 21) + XMP,
    ],
)
def test_packets_of_no_honest_tool_are_left_out(packet):
    assert parse_xmp(packet) is None
    assert clean_xmp(packet) is None


def test_deep_nesting_is_left_out_not_a_traceback():
    depth = 20_000
    body = (
        b"<dc:a xmlns:dc='http://purl.org/dc/elements/1.1/'>"
        + b"<dc:a>" * depth
        + b"</dc:a>" * depth
        + b"</dc:a>"
    )
    packet = b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>" + body + b"</rdf:RDF>"
    clean_xmp(packet)  # either answer is good, an error is not
    data = jpeg().replace(b"A &amp; B", b"A &amp; C")
    assert b"A &amp; C" in (read_image(data).notes.xmp or b"")
