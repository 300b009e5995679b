"""The one door out: every result of a swap is written here, whole or not at all, and marked.

Two marks go into each file: Content Credentials, signed with this installation's certificate, and the plain
metadata of the format (XMP in images, the comment in videos). A container without room for the first
(Matroska, WebM) still carries the second; a format with room for neither is refused.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from hififace.errors import ImageError, ProvenanceError
from hififace.media.atomic import atomic_path, atomic_write
from hififace.media.image import LoadedImage, encode_image, format_for
from hififace.provenance.claim import Claim
from hififace.provenance.content_credentials import MIME_TYPES, sign_bytes, sign_file
from hififace.provenance.signer import obtain_identity
from hififace.provenance.verify import claim_in_tags
from hififace.types import RGBImage
from hififace.weights.store import data_dir

LOGGER = logging.getLogger(__name__)

_UNMARKABLE: Final = {"BMP"}


def identity_folder() -> Path:
    """Where this installation's certificate is kept."""
    return data_dir() / "signer"


def save_image(
    pixels: RGBImage,
    like: LoadedImage,
    path: str | os.PathLike[str],
    claim: Claim,
    *,
    quality: int | None = None,
) -> Path:
    """Write a result with the format of its ending, and alpha, ICC profile and camera notes of the target.

    Args:
        pixels: (H, W, 3) uint8 RGB, the result.
        like: the target, whose settings the file keeps.
        path: where; an ending names another format, none keeps the target's.
        claim: what the file says about itself.
        quality: 1 to 100 for lossy formats.

    Returns:
        Where it was written.

    Raises:
        ImageError: a format that cannot be written or marked.
        HififaceError: a place that cannot be written to; nothing is left behind.
    """
    final = Path(path)
    format = format_for(final) if final.suffix else like.format
    atomic_write(final, marked_image(pixels, like, claim, format=format, quality=quality))
    return final


def marked_image(
    pixels: RGBImage,
    like: LoadedImage,
    claim: Claim,
    *,
    format: str | None = None,
    quality: int | None = None,
) -> bytes:
    """The bytes of a marked result, for who hands it on without a file (the web page, the service).

    Raises:
        ImageError: a format that cannot be written or marked.
    """
    format = format or like.format
    if format in _UNMARKABLE:
        raise ImageError(
            f"{format} has no room for the mark that every result carries. Choose PNG, TIFF, WebP or JPEG."
        )
    if format not in MIME_TYPES:
        format = "PNG"  # can be read but not written, as encode_image decides too
    data = encode_image(like.with_pixels(pixels), format=format, quality=quality, xmp=claim.to_xmp())
    try:
        return sign_bytes(data, MIME_TYPES[format], claim, obtain_identity(identity_folder()))
    except ProvenanceError as error:
        LOGGER.warning("the result carries only its plain mark: %s", error)
        return data


def video_tags(claim: Claim) -> dict[str, str]:
    """The metadata that a video's writer must put into the container for `mark_video`."""
    return {"comment": claim.to_text()}


def mark_video(unmarked: Path, path: str | os.PathLike[str], claim: Claim) -> Path:
    """Sign a finished video and move it into its place; `unmarked` is gone afterwards.

    Args:
        unmarked: the video as written, with `video_tags(claim)` in its metadata.
        path: where it goes; the ending must be that of `unmarked`.
        claim: what the video says about itself.

    Returns:
        Where it was written.

    Raises:
        ProvenanceError: the plain mark is not in it; `unmarked` stays.
        HififaceError: a place that cannot be written to; `unmarked` stays.
    """
    final = Path(path)
    _check_tags(unmarked)
    mime_type = MIME_TYPES.get(final.suffix.lower())
    with atomic_path(final) as temporary:
        try:
            if mime_type is None:
                raise ProvenanceError(f"{final.suffix} has no room for Content Credentials.")
            sign_file(unmarked, temporary, mime_type, claim, obtain_identity(identity_folder()))
        except ProvenanceError as error:
            LOGGER.warning("the video carries only its plain mark: %s", error)
            _move(unmarked, temporary)
    unmarked.unlink(missing_ok=True)
    return final


def _check_tags(video: Path) -> None:
    if claim_in_tags(video) is None:
        raise ProvenanceError(f"{video} lacks its plain mark: its writer must be given video_tags(claim).")


def _move(source: Path, target: Path) -> None:
    import shutil

    target.unlink(missing_ok=True)
    shutil.move(source, target)
