"""Measures flicker of whole videos: a video and its results are read in parallel, frame by frame, in constant memory.

Faces are detected in the target and measured at the same place in each result, as for images: a new detection could
find another face, or none.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.errors import NoFaceFoundError, VideoError
from hififace.evaluation.temporal import (
    TrackFlicker,
    VideoFlicker,
    successive_variance,
    trusted,
    warping_error,
)
from hififace.faces.detection import YuNetDetector
from hififace.faces.identity import SFaceEmbedder, cosine, normalise
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.faces.masks import region_mask
from hififace.faces.templates import find_template
from hififace.media.frames import Frame
from hififace.media.image import read_image
from hififace.media.video import VideoReader
from hififace.swap.options import SwapOptions
from hififace.swap.source_map import SourceMap
from hififace.types import Face, FloatArray, RGBImage
from hififace.video.options import VideoOptions
from hififace.video.tracker import VideoFaces

SIDE_PX = 256
"""Maximum size of the region in which flow is computed; larger ones are reduced to it."""
LEAST_SIDE_PX = 16
"""Minimum size of the region, which DIS flow needs."""
MARGIN = 0.2
"""Margin of the region around the face box, relative to it; within half of it the rim of the face is measured."""
CHANGED_LEVELS = 6.0
"""Mean difference of 5 x 5 px above which a result changed the video. Only changed places are measured, the same ones
in all videos: elsewhere all of them show the original."""
LEAST_SHARE = 0.25
"""Minimum share of the changed places with reliable flow; pairs of frames below it are left out."""
SAME_PERSON_DISTANCE = 0.6
"""The value of `models/pretrained/dlib.py`, which is not imported since it needs PyTorch."""
SAME_TIME_S = 0.002
"""Tolerance of time stamps: Matroska rounds to milliseconds."""


@dataclass(slots=True)
class _Series:
    """Measurements of one track of one video."""

    identities: list[FloatArray] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)


def measure_flicker(
    target: str | os.PathLike[str],
    results: Sequence[str | os.PathLike[str]],
    *,
    source: FloatArray | None = None,
    start_s: float | None = None,
    unseen: Callable[[RGBImage, FloatArray], float] | None = None,
    tell: Callable[[int], None] | None = None,
) -> list[VideoFlicker]:
    """Measure a video and any number of results made from it, frame by frame.

    Args:
        target: the video.
        results: with the same frames, so not made with `--fps`.
        source: (D,) identity of the source face, by `SFaceEmbedder`; None compares each track with its own mean face.
        start_s: where in the video the results begin, seconds.
        unseen: computes the distance of a frame's face, given its mesh (468, 3), to the source by a recogniser that
            training never uses; below 0.6 they are the same person.
        tell: called after each frame with the number measured.

    Returns:
        Figures of the video itself, then of each result, with the same tracks.

    Raises:
        VideoError: a video that cannot be read, or a result whose frames are not those of the target.
    """
    paths = [Path(target), *map(Path, results)]
    embedder, flow = SFaceEmbedder(threads=1), cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    faces = _finder(embedder)
    series: list[dict[int, _Series]] = [defaultdict(_Series) for _ in paths]
    last: dict[int, Face] = {}
    before: list[RGBImage] = []
    for number, frames in enumerate(_side_by_side(paths, start_s)):
        found = {one.face.index: one.face for one in faces.take(frames[0]).faces if not one.bridged}
        images = [frame.rgb() for frame in frames]
        for index, face in found.items():
            for video, image in zip(series, images, strict=True):
                video[index].identities.append(embedder.embed(image, face.detection.points))
                if unseen is not None and face.landmarks is not None:
                    video[index].distances.append(unseen(image, face.landmarks.points))
            if index in last and before:
                for video, error in zip(
                    series, _errors(flow, before, images, last[index], face), strict=False
                ):
                    video[index].errors.append(error)
        last, before = found, images
        if tell is not None:
            tell(number + 1)
    return [
        VideoFlicker(path, tuple(_summed(index, one, source) for index, one in sorted(video.items())))
        for path, video in zip(paths, series, strict=True)
    ]


def identity_of_photo(photo: str | os.PathLike[str]) -> FloatArray:
    """(D,) identity of the largest face of a photo, for `measure_flicker`.

    Raises:
        ImageError: it cannot be read.
        NoFaceFoundError: it shows no face.
    """
    image = read_image(photo).pixels
    found = max(YuNetDetector(threads=1).detect(image), key=lambda face: face.size_px, default=None)
    if found is None:
        raise NoFaceFoundError(f"No face was found in {photo}; a photo of the source face was expected.")
    return SFaceEmbedder(threads=1).embed(image, found.points)


def _finder(embedder: SFaceEmbedder) -> VideoFaces:
    """A face tracker without temporal smoothing, so that positions are those of each frame."""
    detector = YuNetDetector(threads=1)
    return VideoFaces(
        find_faces=lambda image: [Face(i, found) for i, found in enumerate(detector.detect(image))],
        embed=lambda image, face: embedder.embed_with_length(image, face.detection.points),
        landmarker=FaceMeshLandmarker(threads=1),
        template=find_template("arcface_112"),
        options=SwapOptions(),
        video_options=VideoOptions(smooth=False),
        source_map=SourceMap(),
    )


def _side_by_side(paths: Sequence[Path], start_s: float | None) -> Iterator[tuple[Frame, ...]]:
    """The same frame of every video, until all results have ended."""
    readers = [VideoReader(paths[0], start_s=start_s), *map(VideoReader, paths[1:])]
    for path, reader in zip(paths, readers, strict=True):
        if (reader.info.width, reader.info.height) != (readers[0].info.width, readers[0].info.height):
            raise VideoError(
                f"{path} is {reader.info.width} x {reader.info.height}, {paths[0]} is {readers[0].info.width} x "
                f"{readers[0].info.height}; a result of the same video was expected."
            )
    for frames in itertools.zip_longest(*readers):
        there = [frame is not None for frame in frames]
        if len(frames) > 1 and not any(there[1:]):
            return  # results may cover only the beginning of the video
        for path, reader, frame in zip(paths, readers, frames, strict=True):
            if frame is None or abs(_since(frame, reader) - _since(frames[0], readers[0])) > SAME_TIME_S:
                raise VideoError(
                    f"{path} does not show the same frames as {paths[0]}: results of the same stretch were expected, "
                    "swapped without --fps. Give the --start that it was swapped with."
                )
        yield frames


def _since(frame: Frame | None, reader: VideoReader) -> float:
    """Time of a frame in seconds after the beginning of its reader's result; infinite for no frame."""
    return float("inf") if frame is None else float(frame.time_s - reader.shift_s)


def _errors(
    flow: Any, before: Sequence[RGBImage], now: Sequence[RGBImage], was: Face, face: Face
) -> list[float]:
    """Mean square warping error of each video on one face; empty if the flow is not reliable."""
    part = _part_around(was, face, now[0].shape[:2])
    if part is None or face.landmarks is None:
        return []
    then, there = [part.cut(image) for image in before], [part.cut(image) for image in now]
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (then[0], there[0])]
    backward, forward = flow.calc(grey[1], grey[0], None), flow.calc(grey[0], grey[1], None)
    points = (face.landmarks.points[:, :2] - (part.x0, part.y0) + 0.5) * part.scale - 0.5
    reach_px = MARGIN / 2 * max(part.size)
    on_face = region_mask(points, there[0].shape[:2], dilate_px=reach_px, feather_px=0) > 0
    if len(there) > 1:
        on_face &= np.any([changed(there[0], result) for result in there[1:]], axis=0)
    where = trusted(backward, forward) & on_face
    if where.sum() < LEAST_SHARE * on_face.sum() or not where.any():
        return []
    return [warping_error(a, b, backward, where) for a, b in zip(then, there, strict=True)]


def changed(target: RGBImage, result: RGBImage) -> NDArray[np.bool_]:
    """(h, w) where a result differs from the video by more than re-encoding explains."""
    difference = cv2.absdiff(target, result).astype(np.float32).mean(axis=2)
    return np.asarray(cv2.blur(difference, (5, 5))) > CHANGED_LEVELS


@dataclass(frozen=True, slots=True)
class _Part:
    """A rectangle of the frames, and the size (width, height) to which it is resized."""

    x0: int
    y0: int
    x1: int
    y1: int
    size: tuple[int, int]

    @property
    def scale(self) -> NDArray[np.float64]:
        """(2,) resized pixels per pixel of the frame."""
        return np.array(self.size) / (self.x1 - self.x0, self.y1 - self.y0)

    def cut(self, image: RGBImage) -> RGBImage:
        """The resized rectangle (h, w, 3) of a frame."""
        part = image[self.y0 : self.y1, self.x0 : self.x1]
        return np.asarray(cv2.resize(part, self.size, interpolation=cv2.INTER_AREA), np.uint8)


def _part_around(was: Face, face: Face, size_hw: tuple[int, int]) -> _Part | None:
    """The rectangle around a face in two frames; None if almost all of it lies outside the frame."""
    boxes = np.stack([was.detection.box, face.detection.box])
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    margin = MARGIN * (high - low)
    x0, y0 = (int(v) for v in np.maximum(np.floor(low - margin), 0))
    x1, y1 = (int(v) for v in np.minimum(np.ceil(high + margin), size_hw[::-1]))
    if min(x1 - x0, y1 - y0) < LEAST_SIDE_PX:
        return None
    scale = min(SIDE_PX / max(x1 - x0, y1 - y0), 1.0)
    width, height = (max(round(length * scale), LEAST_SIDE_PX) for length in (x1 - x0, y1 - y0))
    return _Part(x0, y0, x1, y1, (width, height))


def _summed(index: int, one: _Series, source: FloatArray | None) -> TrackFlicker:
    identities = np.stack(one.identities)
    reference = normalise(identities.mean(axis=0)[None])[0] if source is None else source
    alike = [cosine(identity, reference) for identity in identities]
    return TrackFlicker(
        index=index,
        num_frames=len(alike),
        similarity=float(np.mean(alike)),
        similarity_variance=float(np.var(alike)),
        similarity_flicker=successive_variance(alike),
        warping_error=float(np.sqrt(np.mean(one.errors))) if one.errors else None,
        distance=float(np.mean(one.distances)) if one.distances else None,
        same_share=float(np.mean(np.array(one.distances) < SAME_PERSON_DISTANCE)) if one.distances else None,
    )
