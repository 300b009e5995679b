"""The signed mark: a C2PA manifest inside the file, made and read without any network.

No time stamp is asked for, no remote manifest is fetched, no certificate status is looked up.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal

from pydantic import ValidationError

from hififace.errors import ProvenanceError
from hififace.json_values import parse_json_object
from hififace.provenance.claim import Claim
from hififace.provenance.signer import SigningIdentity

if TYPE_CHECKING:
    import c2pa

MIME_TYPES: Final[dict[str, str]] = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
    "GIF": "image/gif",
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".avi": "video/avi",
}
"""Kinds that can carry a manifest: Pillow's names of image formats, and file endings of videos."""

CLAIM_LABEL: Final = "org.hififace.claim"

_SETTINGS: Final[dict[str, Any]] = {
    "verify": {
        "verify_trust": True,
        "verify_timestamp_trust": False,
        "remote_manifest_fetch": False,
        "ocsp_fetch": False,
    },
    "builder": {"thumbnail": {"enabled": False}},
}

State = Literal["own", "intact", "altered"]
"""`own`: unaltered and signed by this installation; `intact`: unaltered, by a signer nobody here vouches for."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the Content Credentials of a file say."""

    state: State
    claim: Claim | None
    """None where they were made by a tool that says nothing about a face swap."""
    signer: str
    """The organisation that the certificate names; anybody can put any name there unless `own`."""
    reasons: tuple[str, ...] = ()
    """C2PA's codes for what does not fit."""


def sign_bytes(data: bytes, mime_type: str, claim: Claim, identity: SigningIdentity) -> bytes:
    """The same file with a signed manifest in it; pixels and other metadata stay as they are.

    Raises:
        ProvenanceError: the library refuses the file or is not there.
    """
    result = io.BytesIO()
    _sign(io.BytesIO(data), result, mime_type, claim, identity)
    return result.getvalue()


def sign_file(source: Path, target: Path, mime_type: str, claim: Claim, identity: SigningIdentity) -> None:
    """`sign_bytes` for a video, from file to file.

    Raises:
        ProvenanceError: the library refuses the file or is not there.
    """
    with source.open("rb") as reading, target.open("wb+") as writing:
        _sign(reading, writing, mime_type, claim, identity)


def _sign(
    source: IO[bytes], target: IO[bytes], mime_type: str, claim: Claim, identity: SigningIdentity
) -> None:
    c2pa = _library()
    try:
        # No time-stamp authority (None): asking one would need the network.
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo("es256", identity.chain, identity.key, None))
        builder = c2pa.Builder.from_json(json.dumps(_manifest(claim, mime_type)), _context(None))
        builder.sign(signer, mime_type, source, target)
    except c2pa.C2paError as error:
        raise ProvenanceError(
            f"Content Credentials cannot be written into this {mime_type}: {error}."
        ) from error


def read_credentials(source: IO[bytes], mime_type: str, own_root: bytes | None) -> Reading | None:
    """What the Content Credentials of a file say; None if it has none.

    Args:
        source: the open file.
        mime_type: a value of `MIME_TYPES`.
        own_root: the root certificate of this installation, to recognise its files.

    Raises:
        ProvenanceError: the file is too damaged to be searched, or the library is not there.
    """
    c2pa = _library()
    try:
        reader = c2pa.Reader.try_create(mime_type, source, context=_context(own_root))
        if reader is None:
            return None
        store = parse_json_object(reader.json())
        verdict = reader.get_validation_state()
    except (c2pa.C2paError, ValueError) as error:
        raise ProvenanceError(f"The file cannot be searched for Content Credentials: {error}.") from error
    manifest = store.get("manifests", {}).get(store.get("active_manifest"), {})
    states: dict[str | None, State] = {"Trusted": "own", "Valid": "intact"}
    return Reading(
        state=states.get(verdict, "altered"),
        claim=_claim_of(manifest),
        signer=manifest.get("signature_info", {}).get("issuer", "unknown"),
        reasons=tuple(
            status["code"]
            for status in store.get("validation_status", [])
            if status["code"] != "signingCredential.untrusted"
        ),
    )


def _claim_of(manifest: dict[str, Any]) -> Claim | None:
    for assertion in manifest.get("assertions", []):
        if assertion.get("label") == CLAIM_LABEL:
            try:
                return Claim.model_validate(assertion.get("data"))
            except ValidationError:
                return None
    return None


def _manifest(claim: Claim, mime_type: str) -> dict[str, Any]:
    tool = {"name": claim.tool, "version": claim.tool_version}
    action = {
        "action": "c2pa.created",
        "digitalSourceType": claim.digital_source_type,
        "softwareAgent": tool,
        "description": claim.sentence(),
    }
    return {
        "claim_generator_info": [tool],
        "format": mime_type,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
            {"label": CLAIM_LABEL, "data": claim.model_dump(mode="json", exclude_none=True)},
        ],
    }


def _context(own_root: bytes | None) -> c2pa.Context:
    c2pa = _library()
    trust = {"trust": {"trust_anchors": own_root.decode()}} if own_root is not None else {}
    return c2pa.Context.from_dict({**_SETTINGS, **trust})


def _library() -> Any:
    try:
        import c2pa
    except (ImportError, OSError, RuntimeError) as error:  # its native part is loaded when it is imported
        raise ProvenanceError(
            f"Content Credentials need c2pa-python, which does not load: {error}."
        ) from error
    return c2pa
