"""A visitor's video: what it is, single frames of it to choose faces on, and which result browsers play."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import cv2
import numpy as np

from hififace.app.images import data_url
from hififace.app.limits import Limits
from hififace.app.photos import thumbnail, with_landmarks_of_largest
from hififace.errors import HififaceError, VideoError
from hififace.media.encoding import CONTAINERS
from hififace.media.probe import VideoInfo, probe
from hififace.media.video import VideoReader
from hififace.swapper import FaceSwapper
from hififace.types import Face, FloatArray, RGBImage

PLAIN_SUFFIX: Final = ".mp4"
PLAIN_CODEC: Final = "h264"
"""What every browser and every telephone plays."""

PREVIEW_S: Final = 3.0
"""How long a preview is."""

_PLAYED: Final = {".mp4": {"h264", "av1"}, ".m4v": {"h264"}, ".webm": {"vp8", "vp9", "av1"}}
_SHOWN_PX: Final = 1280
"""Longest side of a frame as the page shows it."""
_LOOKS: Final = 12
"""Places of the video that are searched for the first face."""

ErrorKind = TypeVar("ErrorKind", bound=HififaceError)


@dataclass(frozen=True, slots=True)
class Video:
    """One uploaded video."""

    path: Path
    name: str
    """As the visitor's file was called."""
    info: VideoInfo

    @property
    def length_s(self) -> float:
        """Seconds, 0 where the video does not say."""
        return 0.0 if self.info.duration_s is None else float(self.info.duration_s)

    @property
    def last_s(self) -> float:
        """The moment at which it ends, in seconds; 0 where the video does not say. Later than `length_s` if it starts late."""
        return 0.0 if self.info.last_s is None else float(self.info.last_s)

    @property
    def own_suffix(self) -> str:
        """Ending of a result of the same kind."""
        suffix = Path(self.name).suffix.lower()
        return suffix if suffix in CONTAINERS else PLAIN_SUFFIX

    @property
    def played_by_browsers(self) -> bool:
        """Whether a page can play a result of the same kind."""
        return self.info.codec in _PLAYED.get(self.own_suffix, set())

    def sentence(self) -> str:
        """For people: size, rate, length, codec, sound."""
        info = self.info
        length = f"{self.length_s:.1f}\N{NO-BREAK SPACE}s" if self.length_s else "length not said"
        sound = "sound" if info.of_kind("audio") else "no sound"
        hdr = "; HDR is converted to SDR" if info.hdr is not None else ""
        return f"{info.width} x {info.height}, {float(info.rate):.4g}\N{NO-BREAK SPACE}fps, {length}, {sound}{hdr}"

    def says(self, error: ErrorKind) -> ErrorKind:
        """The error in the visitor's words: without the place where the video lies here."""
        return type(error)(str(error).replace(str(self.path), self.name))


@dataclass(frozen=True, slots=True, eq=False)
class FramedFace:
    """A face on a frame, and who that is."""

    face: Face
    identity: FloatArray = field(repr=False)
    """(D,) by the recogniser that ships."""
    thumbnail: RGBImage = field(repr=False)
    """(T, T, 3)."""


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """One frame of the video, to choose faces on."""

    moment_s: float
    """Seconds after the beginning."""
    image: RGBImage = field(repr=False)
    """(H, W, 3)."""
    faces: tuple[FramedFace, ...]

    def shown(self) -> str:
        """A data URL, at most `_SHOWN_PX` on its longest side."""
        height, width = self.image.shape[:2]
        scale = min(_SHOWN_PX / max(height, width), 1.0)
        small = self.image
        if scale < 1:
            size = (max(round(width * scale), 1), max(round(height * scale), 1))
            small = cv2.resize(small, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        return data_url(small)


def open_video(path: Path, name: str, limits: Limits) -> Video:
    """Look at an uploaded video.

    Raises:
        VideoError: it cannot be read.
        LimitError: it is too long, or has too many pixels.
    """
    try:
        info = probe(path)
    except VideoError as error:
        raise VideoError(str(error).replace(str(path), name)) from error
    limits.check_video(info, name)
    return Video(path, name, info)


def frame_at(video: Video, moment_s: float, swapper: FaceSwapper) -> Still:
    """The frame on screen at a moment, and its faces.

    Raises:
        VideoError: it cannot be decoded.
        OptionError: the moment is behind the end.
    """
    try:
        image = next(VideoReader(video.path, start_s=moment_s or None, tone_map=True).frames()).rgb()
    except StopIteration:
        raise VideoError(
            f"{video.name} shows nothing at {moment_s:.2f} s; choose an earlier frame."
        ) from None
    except HififaceError as error:
        raise video.says(error) from error
    found = with_landmarks_of_largest(swapper, image, swapper.find_faces(image))
    faces = tuple(FramedFace(face, swapper.identity(image, face), thumbnail(image, face)) for face in found)
    return Still(moment_s, image, faces)


def first_frame_with_faces(video: Video, swapper: FaceSwapper) -> Still:
    """The first of a dozen frames over the video that shows a face; the very first where none does.

    Raises:
        VideoError: the video cannot be decoded.
    """
    first = frame_at(video, 0.0, swapper)
    if first.faces:
        return first
    for place in range(1, _LOOKS):
        moment_s = round(video.last_s * place / _LOOKS, 2)
        frame = frame_at(video, moment_s, swapper) if moment_s else first
        if frame.faces:
            return frame
    return first
