"""The one door out: every result of a swap is written here, whole or not at all, and marked.

Two marks go into each file: Content Credentials, signed with this installation's certificate, and the plain
metadata of the format (XMP in images, the comment in videos). A container without room for the first
(Matroska, WebM) still carries the second; a format with room for neither is refused.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from pathlib import Path
from typing import Final

import cv2

from hififace.errors import HififaceError, ImageError, ProvenanceError
from hififace.media.atomic import atomic_path, atomic_write, refuse_no_file
from hififace.media.image import LoadedImage, encode_image, format_for
from hififace.provenance.claim import Claim, without_claims
from hififace.provenance.content_credentials import MIME_TYPES, sign_bytes, sign_file
from hififace.provenance.signer import obtain_identity
from hififace.provenance.verify import claim_in_tags
from hififace.types import RGBImage
from hififace.weights.places import data_dir

LOGGER = logging.getLogger(__name__)

LIVE_LABEL: Final = "face swap"
"""Burnt into every frame of a camera."""
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
    """The bytes of a marked result, for callers that hand it on without a file (the web page, the service).

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
    data = encode_image(
        like.with_pixels(pixels), format=format, quality=quality, xmp=claim.to_xmp(like.notes.xmp)
    )
    try:
        return sign_bytes(data, MIME_TYPES[format], claim, obtain_identity(identity_folder()))
    except ProvenanceError as error:
        LOGGER.warning("the result carries only its plain mark: %s", error)
        return data


def live_jpeg(pixels: RGBImage, claim: Claim, *, quality: int = 80) -> bytes:
    """One frame of a camera as a JPEG, with words burnt into it that say what it is, and the plain mark beside them.

    There is no way to leave the words out. A signature for each frame would cost more than the swap.

    Args:
        pixels: (H, W, 3) uint8 RGB, swapped or not.
        claim: what the frame says about itself.
        quality: 1 to 100.
    """
    labelled = pixels.copy()
    height = labelled.shape[0]
    scale = max(height / 480.0, 0.4) * 0.62
    thickness = max(round(1.6 * scale), 1)
    (wide, high), below = cv2.getTextSize(LIVE_LABEL, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    edge = max(round(10 * scale), 3)
    left, bottom = edge, height - edge
    box = (left, bottom - high - below - edge), (left + wide + 2 * edge, bottom)
    cv2.rectangle(labelled, *box, (20, 20, 20), cv2.FILLED)
    place = (left + edge, bottom - below - edge // 2)
    white = (255, 255, 255)
    cv2.putText(labelled, LIVE_LABEL, place, cv2.FONT_HERSHEY_SIMPLEX, scale, white, thickness, cv2.LINE_AA)
    done, packed = cv2.imencode(".jpg", labelled[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    jpeg = packed.tobytes()
    told = b"http://ns.adobe.com/xap/1.0/\0" + claim.to_xmp()
    segment = b"\xff\xe1" + (len(told) + 2).to_bytes(2, "big") + told
    return jpeg[:2] + segment + jpeg[2:]


def video_tags(claim: Claim, comment: str | None = None) -> dict[str, str]:
    """The metadata that a video's writer must put into the container for `mark_video`.

    Args:
        claim: what the video says about itself.
        comment: what the target says; marks of earlier swaps are taken out of it, the rest stays in front of ours.
    """
    return {"comment": f"{without_claims(comment or '')} {claim.to_text()}".lstrip()}


def check_video(video: Path, claim: Claim) -> None:
    """Make sure that a video carries its plain mark.

    Raises:
        ProvenanceError: it does not.
    """
    if claim_in_tags(video) != claim:
        raise ProvenanceError(
            f"A {video.suffix} video does not keep the mark that every result carries; choose another ending, "
            "such as .mp4 or .mkv."
        )


def mark_video(unmarked: Path, path: str | os.PathLike[str], claim: Claim) -> Path:
    """Sign a finished video and move it into its place; `unmarked` is gone afterwards.

    Args:
        unmarked: the video as written, with `video_tags(claim)` in its metadata. It is signed where it lies, so that
            a run that is killed meanwhile leaves nothing beside the result.
        path: where it goes; the ending must be that of `unmarked`.
        claim: what the video says about itself.

    Returns:
        Where it was written.

    Raises:
        ProvenanceError: the plain mark is not in it; `unmarked` stays.
        HififaceError: a place that cannot be written to; `unmarked` stays.
    """
    final = Path(path)
    check_video(unmarked, claim)
    refuse_no_file(final)
    signed = unmarked.with_name(f"signed{unmarked.suffix}")
    mime_type = MIME_TYPES.get(final.suffix.lower())
    try:
        try:
            if mime_type is None:
                raise ProvenanceError(f"{final.suffix} has no room for Content Credentials.")
            sign_file(unmarked, signed, mime_type, claim, obtain_identity(identity_folder()))
        except ProvenanceError as error:
            LOGGER.warning("the video carries only its plain mark: %s", error)
            _put(unmarked, final)
        else:
            _put(signed, final)
    finally:
        signed.unlink(missing_ok=True)
    unmarked.unlink(missing_ok=True)
    return final


def _put(whole: Path, final: Path) -> None:
    """Move a whole file into its place; over to another file system it is copied, and appears when it is whole."""
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with whole.open("rb+") as file:
            os.fsync(file.fileno())
        whole.replace(final.resolve())
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise HififaceError(f"{final} cannot be written: {error.strerror or error}.") from error
        with atomic_path(final) as temporary:
            shutil.copyfile(whole, temporary)
