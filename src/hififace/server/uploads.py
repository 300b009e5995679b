"""Files of a new job, into its folder: what they are is looked up in them, not in their names."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from PIL import UnidentifiedImageError

from hififace.errors import HififaceError, VideoError
from hififace.media.image_formats import DECODER_ERRORS, open_image
from hififace.media.probe import VideoInfo, probe
from hififace.server.problems import FieldError, ProblemError
from hififace.server.settings import ServiceLimits

Kind = Literal["video", "images"]


def store_files(
    place: Path, sources: Sequence[BinaryIO], targets: Sequence[BinaryIO], limits: ServiceLimits
) -> Kind:
    """Copy a job's files into its folder as `source-N` and `target-N`.

    Returns:
        What the job is: one video, or images.

    Raises:
        FieldError: a target that can be read neither as video nor as image, or a video beyond the limits.
        ProblemError: videos among several targets.
    """
    for number, file in enumerate(sources):
        _copy(file, place / f"source-{number:04d}")
    paths = []
    for number, file in enumerate(targets):
        paths.append(place / f"target-{number:04d}")
        _copy(file, paths[-1])
    if all(_is_image(path) for path in paths):
        return "images"
    if len(paths) > 1:
        raise ProblemError(
            422, "target: one video, or images alone, were expected. Make a job for each video."
        )
    (path,) = paths
    try:
        info = probe(path)
        check_video(info, limits)
    except HififaceError as error:
        raise FieldError("target", type(error)(str(error).replace(str(path), "the video"))) from error
    path.rename(path.with_suffix(_suffix(info)))
    return "video"


def check_video(info: VideoInfo, limits: ServiceLimits) -> None:
    """Refuse a video that is too long or has too many pixels; one that hides its length is stopped at the limit.

    Raises:
        VideoError: it is, or has.
    """
    if info.width * info.height > limits.video_megapixels * 1e6:
        raise VideoError(
            f"The video has frames of {info.width} x {info.height} pixels; up to {limits.video_megapixels:g} million "
            "pixels a frame are taken. Make it smaller."
        )
    minutes = 0.0 if info.duration_s is None else float(info.duration_s) / 60
    if minutes > limits.video_minutes:
        raise VideoError(
            f"The video lasts {minutes:.1f} minutes; up to {limits.video_minutes:g} are taken. Cut it."
        )


def _copy(file: BinaryIO, path: Path) -> None:
    file.seek(0)
    with path.open("xb") as copied:
        shutil.copyfileobj(file, copied, 1 << 20)


def _is_image(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.read(1):
            return False
    try:
        with open_image(path.read_bytes()):
            return True
    except (UnidentifiedImageError, *DECODER_ERRORS):
        return False


def _suffix(info: VideoInfo) -> str:
    """Which container the result has: the target's, or MP4 where that cannot be written."""
    if "matroska" in info.container:
        return ".webm" if info.codec in {"vp8", "vp9", "av1"} else ".mkv"
    if "mp4" in info.container:
        return ".mov" if info.metadata.get("major_brand", "").strip() == "qt" else ".mp4"
    return ".mp4"
