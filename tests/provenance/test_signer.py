from __future__ import annotations

import os
import stat
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509

from hififace.provenance import signer
from hififace.provenance.signer import load_identity, obtain_identity


def test_made_once_kept_and_private(tmp_path: Path):
    folder = tmp_path / "signer"
    assert load_identity(folder) is None
    first = obtain_identity(folder)
    assert obtain_identity(folder) == first == load_identity(folder)
    (kept,) = folder.iterdir()
    if sys.platform != "win32":
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_two_installations_differ_and_name_nobody(tmp_path: Path):
    one, two = obtain_identity(tmp_path / "a"), obtain_identity(tmp_path / "b")
    assert one.root != two.root
    for certificate in x509.load_pem_x509_certificates(one.chain):
        assert "hififace (local installation)" in certificate.subject.rfc4514_string()
        assert certificate.not_valid_after_utc > datetime.now(timezone.utc) + timedelta(days=3000)
    assert "PRIVATE" not in repr(one)


def test_the_root_issued_the_signing_certificate(tmp_path: Path):
    identity = obtain_identity(tmp_path)
    leaf, root = x509.load_pem_x509_certificates(identity.chain)
    leaf.verify_directly_issued_by(root)
    assert x509.load_pem_x509_certificate(identity.root) == root


@pytest.mark.parametrize(
    "content", [b"", b"damaged", b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_file_is_replaced(tmp_path: Path, content: bytes):
    (tmp_path / "signer.pem").write_bytes(content)
    assert load_identity(tmp_path) is None
    assert obtain_identity(tmp_path).lasting
    assert load_identity(tmp_path) is not None


def test_an_expired_certificate_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(signer, "_YEARS", 0)
    old = signer._make()
    (tmp_path / "signer.pem").write_bytes(old)
    monkeypatch.undo()
    assert load_identity(tmp_path) is None
    assert obtain_identity(tmp_path).expires > datetime.now(timezone.utc)


def test_a_folder_that_cannot_be_written_gives_a_passing_identity(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_bytes(b"in the way")
    identity = obtain_identity(tmp_path / "file" / "signer")
    assert not identity.lasting
    assert "cannot be kept" in caplog.text


def test_of_two_processes_the_first_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    others = signer._make()
    real_link = os.link

    def beaten(source, target) -> None:
        Path(target).write_bytes(others)
        real_link(source, target)

    monkeypatch.setattr(signer.os, "link", beaten)
    assert obtain_identity(tmp_path).chain in others
    assert [path.name for path in tmp_path.iterdir()] == ["signer.pem"]
