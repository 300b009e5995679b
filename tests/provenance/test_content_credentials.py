from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hififace.errors import ProvenanceError
from hififace.provenance import content_credentials
from hififace.provenance.claim import Claim
from hififace.provenance.content_credentials import MIME_TYPES, read_credentials, sign_bytes
from hififace.provenance.signer import SigningIdentity, obtain_identity

CLAIM = Claim(model="mini", model_version="1")


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> SigningIdentity:
    return obtain_identity(tmp_path_factory.mktemp("signer"))


def image(format: str) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF", "GIF"])
def test_signed_and_read_back(format: str, identity: SigningIdentity):
    plain = image(format)
    assert read_credentials(io.BytesIO(plain), MIME_TYPES[format], identity.root) is None
    signed = sign_bytes(plain, MIME_TYPES[format], CLAIM, identity)
    reading = read_credentials(io.BytesIO(signed), MIME_TYPES[format], identity.root)
    assert reading is not None
    assert (reading.state, reading.claim, reading.reasons) == ("own", CLAIM, ())
    before, after = (np.asarray(Image.open(io.BytesIO(data))) for data in (plain, signed))
    np.testing.assert_array_equal(before, after)


def test_another_installation_sees_it_intact_but_unknown(identity: SigningIdentity, tmp_path: Path):
    signed = sign_bytes(image("PNG"), "image/png", CLAIM, identity)
    for root in (None, obtain_identity(tmp_path).root):
        reading = read_credentials(io.BytesIO(signed), "image/png", root)
        assert reading is not None
        assert (reading.state, reading.claim, reading.reasons) == ("intact", CLAIM, ())
        assert reading.signer == "hififace (local installation)"


def test_a_changed_pixel_and_a_changed_claim_are_seen(identity: SigningIdentity):
    signed = sign_bytes(image("PNG"), "image/png", CLAIM, identity)
    for place, code in (
        (len(signed) - 100, "dataHash.mismatch"),
        (signed.index(b"compositeWith"), "hashedURI.mismatch"),
    ):
        altered = bytearray(signed)
        altered[place] ^= 1
        reading = read_credentials(io.BytesIO(bytes(altered)), "image/png", identity.root)
        assert reading is not None
        assert reading.state == "altered"
        assert any(code in reason for reason in reading.reasons)


def test_the_network_is_never_asked(identity: SigningIdentity, monkeypatch: pytest.MonkeyPatch):
    """The library is native, so blocking sockets would not stop it: its settings and calls must."""
    import c2pa

    seen: list[tuple[object, ...]] = []
    real = c2pa.C2paSignerInfo
    monkeypatch.setattr(c2pa, "C2paSignerInfo", lambda *values: seen.append(values) or real(*values))
    sign_bytes(image("PNG"), "image/png", CLAIM, identity)
    assert seen[0][3] is None, "no time-stamp authority"
    verify = content_credentials._SETTINGS["verify"]
    assert verify["remote_manifest_fetch"] is False
    assert verify["ocsp_fetch"] is False


def test_the_manifest_names_no_file_person_or_machine(identity: SigningIdentity):
    signed = sign_bytes(image("PNG"), "image/png", CLAIM, identity)
    home = str(Path.home()).encode()
    assert home not in signed or len(home) < 3
    assert b"thumbnail" not in signed


@pytest.mark.parametrize(("data", "mime_type"), [(b"nonsense", "image/png"), (b"x", "video/x-matroska")])
def test_what_cannot_be_signed_is_a_sentence(identity: SigningIdentity, data: bytes, mime_type: str):
    with pytest.raises(ProvenanceError, match="cannot be written"):
        sign_bytes(data, mime_type, CLAIM, identity)


def test_a_missing_library_is_a_sentence(identity: SigningIdentity, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    with pytest.raises(ProvenanceError, match="c2pa-python"):
        sign_bytes(image("PNG"), "image/png", CLAIM, identity)
