"""The certificate that this installation signs with: made here, known to nobody, kept for this user.

It proves that a file was not changed since this installation wrote it. It does not prove who the user is:
nobody vouches for it, and `hififace verify` says so.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, KeyUsage

LOGGER = logging.getLogger(__name__)

_FILE: Final = "signer.pem"
_YEARS: Final = 10
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class SigningIdentity:
    """A private key and its chain, in PEM."""

    key: bytes = field(repr=False)
    chain: bytes = field(repr=False)
    """The signing certificate, then the root that issued it."""
    expires: datetime
    lasting: bool = True
    """False where it could not be kept: results then cannot be recognised as this installation's."""

    @property
    def root(self) -> bytes:
        """The certificate to trust for recognising this installation's own files."""
        begin = b"-----BEGIN CERTIFICATE-----"
        return begin + self.chain.rpartition(begin)[2]


def load_identity(folder: Path) -> SigningIdentity | None:
    """The identity kept in `folder`; None if there is none, it is damaged or has expired."""
    path = folder / _FILE
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return _parse(content)


def obtain_identity(folder: Path) -> SigningIdentity:
    """The identity kept in `folder`, made and kept there if there is none.

    Where the folder cannot be written, one is made for this process only, with a warning.
    """
    with _LOCK:
        known = load_identity(folder)
        if known is not None:
            return known
        content = _make()
        try:
            _keep(folder, content)
        except OSError as error:
            LOGGER.warning("the signing certificate cannot be kept in %s (%s)", folder, error)
            made = _parse(content)
            assert made is not None
            return SigningIdentity(made.key, made.chain, made.expires, lasting=False)
        kept = load_identity(folder)
        assert kept is not None
        return kept


def _keep(folder: Path, content: bytes) -> None:
    """Write it readable by the user alone; if another process was first, theirs stands."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / _FILE
    temporary = folder / f".{_FILE}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        if final.exists() and _parse(final.read_bytes()) is None:
            final.unlink()  # damaged or expired: of no use to anybody
        with contextlib.suppress(FileExistsError):
            os.link(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


def _parse(content: bytes) -> SigningIdentity | None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    key, mark, rest = content.partition(b"-----END PRIVATE KEY-----\n")
    try:
        serialization.load_pem_private_key(key + mark, password=None)
        certificates = x509.load_pem_x509_certificates(rest)
    except ValueError:
        return None
    expires = min(certificate.not_valid_after_utc for certificate in certificates)
    if len(certificates) != 2 or expires <= datetime.now(timezone.utc):
        return None
    return SigningIdentity(key + mark, rest, expires)


def _make() -> bytes:
    """A root and a signing certificate of the profile that C2PA 2.x asks for (section 14.5), ES256."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import ExtendedKeyUsageOID

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = (
        _builder("local root", "local root", root_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(root_key, SHA256())
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    leaf = (
        _builder("local signer", "local root", key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(issuer, critical=False)
        .sign(root_key, SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret + _pem(leaf) + _pem(root)


def _builder(subject: str, issuer: str, key: EllipticCurvePrivateKey) -> CertificateBuilder:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    def named(name: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "hififace (local installation)"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )

    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks differ a little between machines that share a home folder.
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)
