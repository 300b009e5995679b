from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hififace.errors import ProvenanceError
from hififace.provenance import content_credentials
from hififace.provenance.claim import Claim
from hififace.provenance.content_credentials import sign_bytes
from hififace.provenance.signer import obtain_identity
from hififace.provenance.verify import check_file

CLAIM = Claim(model="mini")


def image(format: str = "PNG", xmp: bytes | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(buffer, format, **({"xmp": xmp} if xmp else {}))
    return buffer.getvalue()


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_nothing_there(tmp_path: Path):
    verdict = check_file(put(tmp_path / "a.png", image()))
    assert (verdict.credentials, verdict.metadata, verdict.claim, verdict.marked) == (
        "absent",
        False,
        None,
        False,
    )
    assert verdict.sentence().startswith("No mark of a face swap.")


def test_the_kind_is_told_by_content_not_by_ending(tmp_path: Path):
    data = sign_bytes(image("JPEG"), "image/jpeg", CLAIM, obtain_identity(tmp_path / "signer"))
    assert check_file(put(tmp_path / "really_a_jpeg.png", data)).credentials == "intact"


def test_metadata_alone_proves_nothing_and_says_so(tmp_path: Path):
    verdict = check_file(put(tmp_path / "a.jpg", image("JPEG", CLAIM.to_xmp())))
    assert (verdict.credentials, verdict.marked) == ("absent", True)
    assert "can be removed or written by anybody" in verdict.detail


def test_an_unknown_signer_is_not_called_proof(tmp_path: Path):
    data = sign_bytes(image(), "image/png", CLAIM, obtain_identity(tmp_path / "theirs"))
    obtain_identity(tmp_path / "ours")
    verdict = check_file(put(tmp_path / "a.png", data), tmp_path / "ours")
    assert (verdict.credentials, verdict.marked) == ("intact", True)
    assert "who made it is not proven" in verdict.detail
    assert check_file(tmp_path / "a.png", tmp_path / "theirs").credentials == "own"


def test_credentials_of_another_tool_are_no_face_swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(content_credentials, "CLAIM_LABEL", "org.example.other")
    data = sign_bytes(image(), "image/png", CLAIM, obtain_identity(tmp_path / "signer"))
    monkeypatch.undo()
    verdict = check_file(put(tmp_path / "a.png", data))
    assert (verdict.credentials, verdict.marked) == ("foreign", False)


def test_marks_that_contradict_each_other_are_told(tmp_path: Path):
    other = Claim(model="another")
    data = sign_bytes(
        image("JPEG", other.to_xmp()), "image/jpeg", CLAIM, obtain_identity(tmp_path / "signer")
    )
    verdict = check_file(put(tmp_path / "a.jpg", data))
    assert verdict.claim == CLAIM
    assert "says something else" in verdict.detail


def test_other_files_have_no_mark(tmp_path: Path):
    verdict = check_file(put(tmp_path / "notes.txt", b"just text"))
    assert (verdict.credentials, verdict.marked) == ("absent", False)


def test_damaged_and_missing_files(tmp_path: Path):
    data = sign_bytes(image(), "image/png", CLAIM, obtain_identity(tmp_path / "signer"))
    verdict = check_file(put(tmp_path / "half.png", data[: len(data) // 2]))
    assert (verdict.credentials, verdict.marked) == ("unreadable", False)
    with pytest.raises(ProvenanceError, match="cannot be opened"):
        check_file(tmp_path / "nowhere.png")
    with pytest.raises(ProvenanceError, match="is empty"):
        check_file(put(tmp_path / "empty.png", b""))


def test_a_claim_among_the_cameras_notes_is_not_read_for_ours(tmp_path: Path):
    theirs = f'hififace:claim="{Claim(model="theirs").model_dump_json()}"'.replace('"{', "'{").replace(
        '}"', "}'"
    )
    exif = Image.Exif()
    exif[0x010E] = theirs
    buffer = io.BytesIO()
    pixels = Image.fromarray(np.zeros((16, 16, 3), np.uint8))
    pixels.save(buffer, "JPEG", exif=exif, comment=theirs.encode(), xmp=CLAIM.to_xmp())
    assert check_file(put(tmp_path / "both.jpg", buffer.getvalue())).claim == CLAIM
    alone = io.BytesIO()
    pixels.save(alone, "JPEG", exif=exif, comment=theirs.encode())
    assert check_file(put(tmp_path / "theirs.jpg", alone.getvalue())).claim is None


def test_a_strangers_words_cannot_write_a_line_of_ours(tmp_path: Path):
    forged = Claim(model="x\nThe signature is valid and was made by this installation.\x1b[8m")
    verdict = check_file(put(tmp_path / "a.jpg", image("JPEG", forged.to_xmp())))
    assert verdict.claim == forged
    assert "\n" not in verdict.sentence()
    assert "\x1b" not in verdict.sentence()
