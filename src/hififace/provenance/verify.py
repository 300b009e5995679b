"""Read a file's marks back, and say in plain words what they prove and what they do not."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hififace.errors import ProvenanceError
from hififace.media.atomic import refuse_address
from hififace.media.author_notes import xmp_of
from hififace.media.containers import comment_of
from hififace.media.image_formats import DECODER_ERRORS, open_image
from hififace.provenance.claim import Claim, claim_in_text, claim_in_xmp, printable
from hififace.provenance.content_credentials import MIME_TYPES, Reading, read_credentials
from hififace.provenance.signer import load_identity

Credentials = Literal["own", "intact", "altered", "foreign", "absent", "unreadable"]

# Images are read whole; a video's comment is found by its container.
_LARGEST_IMAGE: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about one file."""

    path: Path
    credentials: Credentials
    """The signed mark. `foreign`: Content Credentials of another tool, which claim no face swap."""
    metadata: bool
    """Whether the plain mark is there."""
    claim: Claim | None
    signer: str | None
    detail: str

    @property
    def marked(self) -> bool:
        """It says that it is a face swap, and nothing contradicts it."""
        return self.claim is not None and self.credentials != "altered"

    def sentence(self) -> str:
        """For people."""
        if self.claim is None:
            return f"No mark of a face swap. {self.detail}"
        return f"{self.claim.sentence()} {self.detail}"


def check_file(path: Path, identity_folder: Path | None = None) -> Verdict:
    """Read both marks of an image or video.

    Args:
        path: the file.
        identity_folder: where this installation's certificate is kept, to recognise its own files.

    Raises:
        ProvenanceError: the file is missing or empty.
        OptionError: an address on the web.
    """
    refuse_address(path)
    head = _head(path)
    mime_type = _mime_type(head)
    video = mime_type is None or mime_type.startswith("video/")
    data = None if video else _image_bytes(path)
    plain = _claim_in_video(path) if video else _claim_in_image(data or b"")
    reading, trouble = _read_signed(path, data, mime_type, identity_folder)
    return _verdict(path, plain, reading, trouble)


def _verdict(path: Path, plain: Claim | None, reading: Reading | None, trouble: str) -> Verdict:
    signed = reading.claim if reading is not None else None
    claim, signer = signed or plain, reading.signer if reading is not None else None
    state: Credentials = "unreadable" if trouble else "absent"
    if reading is not None:
        state = "foreign" if signed is None and reading.state != "altered" else reading.state
    if signed is not None and plain is not None and signed != plain:
        trouble = " The plain mark says something else than the signed one."
    reasons = ", ".join(reading.reasons) if reading else ""
    return Verdict(
        path=path,
        credentials=state,
        metadata=plain is not None,
        claim=claim,
        signer=signer,
        detail=_WORDS[state].format(signer=printable(signer or ""), reasons=reasons) + trouble,
    )


_WORDS: Final[dict[Credentials, str]] = {
    "own": "The signature is valid and was made by this installation; the file was not changed since.",
    "intact": (
        "The signature is valid, so the file was not changed since it was signed; the signer ({signer}) is "
        "not known here, so who made it is not proven."
    ),
    "altered": "The file was changed after it was signed ({reasons}): its marks prove nothing.",
    "foreign": "Its Content Credentials, by {signer}, claim no face swap.",
    "absent": "There are no Content Credentials; metadata alone can be removed or written by anybody.",
    "unreadable": "Content Credentials could not be looked for.",
}


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise ProvenanceError(f"{path} cannot be opened: {error.strerror or error}.") from error
    if not head:
        raise ProvenanceError(f"{path} is empty; an image or video was expected.")
    return head


def _image_bytes(path: Path) -> bytes:
    size = path.stat().st_size
    if size > _LARGEST_IMAGE:
        raise ProvenanceError(f"{path} has {size} bytes; no image is that large.")
    return path.read_bytes()


def _mime_type(head: bytes) -> str | None:
    """What the first bytes say; endings lie. None for a kind that carries no Content Credentials."""
    signatures = (
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x89PNG", "PNG"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"GIF8", "GIF"),
    )
    for signature, kind in signatures:
        if head.startswith(signature):
            return MIME_TYPES[kind]
    if head.startswith(b"RIFF"):
        return {b"WEBP": MIME_TYPES["WEBP"], b"AVI ": MIME_TYPES[".avi"]}.get(head[8:12])
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in {b"avif", b"avis"}:
            return MIME_TYPES["AVIF"]
        if brand in {b"heic", b"heix", b"mif1", b"hevc", b"msf1"}:
            return MIME_TYPES["HEIF"]
        return MIME_TYPES[".mov"] if brand == b"qt  " else MIME_TYPES[".mp4"]
    return None


def _claim_in_image(data: bytes) -> Claim | None:
    """The plain mark where the format keeps it: a claim anywhere else in the file is of somebody else."""
    try:
        with open_image(data) as image:
            packet = image.info.get("comment") if image.format == "GIF" else xmp_of(image)
    except DECODER_ERRORS:
        return None
    return claim_in_xmp(packet) if isinstance(packet, bytes) else None


def claim_in_tags(video: Path) -> Claim | None:
    """The plain mark among the tags of a video; None if there is none.

    Raises:
        av.FFmpegError, OSError, ValueError: it cannot be read.
    """
    return claim_in_text(comment_of(video))


def _claim_in_video(path: Path) -> Claim | None:
    import av

    try:
        return claim_in_tags(path)
    except (av.FFmpegError, OSError, ValueError):
        return None


def _read_signed(
    path: Path, data: bytes | None, mime_type: str | None, identity_folder: Path | None
) -> tuple[Reading | None, str]:
    if mime_type is None:
        return None, ""
    identity = load_identity(identity_folder) if identity_folder is not None else None
    root = identity.root if identity is not None else None
    try:
        if data is not None:
            return read_credentials(io.BytesIO(data), mime_type, root), ""
        with path.open("rb") as video:
            return read_credentials(video, mime_type, root), ""
    except ProvenanceError as error:
        return None, f" {error}"
