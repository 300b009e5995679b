"""One frame of a video, lazy: converted when somebody looks, written back only where it changed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.media.planes import (
    Box,
    changed_box,
    copy_frame,
    plain_name,
    planes_of,
    turn_image,
    turn_upright,
    twin_frame,
    video_rgb,
    write_changes,
)
from hififace.media.tonemap import tone_map
from hififace.media.video_colour import ColourFacts, convert_format, from_rgb, reformat, to_rgb
from hififace.types import RGBImage


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What all frames of one video share."""

    colour: ColourFacts
    rotation_deg: int
    """Turn, counterclockwise, that makes a stored frame upright: 0, 90, 180 or 270."""


class Frame:
    """A frame between decoder and encoder.

    Attributes:
        index: place in the sequence that is being made, from 0.
        pts: time stamp in units of `time_base`; never counted, always the video's own (or that of `--fps`).
        time_base: seconds per unit of `pts`, exact.
        duration: how long it is shown in units of `time_base`, 0 if unknown.
        damaged: whether the decoder had to guess part of it.
    """

    __slots__ = (
        "_before",
        "_box",
        "_changed",
        "_facts",
        "_raw",
        "_rgb",
        "damaged",
        "duration",
        "index",
        "pts",
        "time_base",
    )

    def __init__(
        self,
        raw: av.VideoFrame,
        facts: FrameFacts,
        *,
        index: int,
        pts: int,
        time_base: Fraction,
        duration: int = 0,
        damaged: bool = False,
    ) -> None:
        self.index, self.pts, self.time_base, self.duration = index, pts, time_base, duration
        self.damaged = damaged
        self._raw, self._facts = raw, facts
        self._rgb: RGBImage | None = None
        self._before: RGBImage | None = None
        self._box: Box | None = None
        self._changed = False

    @property
    def time_s(self) -> Fraction:
        """When it is shown, in seconds on the video's own clock, exact."""
        return self.pts * self.time_base

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright image."""
        width, height = self._raw.width, self._raw.height
        return (height, width) if self._facts.rotation_deg % 180 else (width, height)

    @property
    def is_changed(self) -> bool:
        """Whether any pixel differs from the video's."""
        return self._changed or self._box is not None

    @property
    def colour(self) -> ColourFacts:
        """What the numbers of its planes mean."""
        return self._facts.colour

    def rgb(self) -> RGBImage:
        """(H, W, 3) uint8 RGB, upright, read-only; made on the first call and kept."""
        if self._rgb is None:
            if self._facts.colour.hdr:
                image = turn_image(tone_map(self._raw, self._facts.colour), self._facts.rotation_deg)
            else:
                image = video_rgb(self._raw, self._facts.rotation_deg, self._facts.colour)
            image.flags.writeable = False
            self._rgb = image
        return self._rgb

    def small_rgb(self, width: int, height: int) -> RGBImage:
        """(height, width, 3) uint8 RGB, upright, shrunk on the way: far cheaper than `rgb()`, and not kept.

        HDR is tone-mapped at full size, which saves nothing.
        """
        if self._facts.colour.hdr:
            small = cv2.resize(self.rgb(), (width, height), interpolation=cv2.INTER_AREA)
            return np.asarray(small, dtype=np.uint8)
        turned = self._facts.rotation_deg % 180 != 0
        size = (height, width) if turned else (width, height)
        return turn_image(to_rgb(self._raw, self._facts.colour, size), self._facts.rotation_deg)

    def thumbnail(self, width: int = 64, height: int = 36) -> NDArray[np.uint8]:
        """(height, width) uint8 brightness, area-averaged, in stored orientation: cheap, for finding cuts."""
        return luma_thumbnail(self._raw, width, height)

    def with_rgb(self, image: RGBImage, box: Box | None = None) -> Frame:
        """The same moment with another image.

        Args:
            image: (H, W, 3) uint8, upright, same size.
            box: outside of it the image is that of `rgb()`, so only there the two are compared; None: anywhere.

        Raises:
            ValueError: another size or type.
        """
        before = self.rgb()
        if image.shape != before.shape or image.dtype != np.uint8:
            raise ValueError(f"expected {before.shape} uint8, got {image.shape} {image.dtype}")
        changed = Frame(
            self._raw,
            self._facts,
            index=self.index,
            pts=self.pts,
            time_base=self.time_base,
            duration=self.duration,
            damaged=self.damaged,
        )
        changed._box = changed_box(before, image, box)
        changed._before = before if self._before is None else self._before
        changed._rgb = image
        if self._box is not None and changed._box is not None:
            changed._box = _union(self._box, changed._box)
        elif changed._box is None:
            changed._box = self._box
        return changed

    def upright_copy(self) -> av.VideoFrame:
        """The upright image in a planar format that holds all of it, with planes of its own, which may be changed."""
        upright = self._upright(plain_name(self._raw.format.name))
        return twin_frame(upright) if upright is self._raw else upright

    def with_upright(self, image: av.VideoFrame) -> Frame:
        """The same moment with another image: an `upright_copy` whose planes were changed."""
        changed = Frame(
            image,
            FrameFacts(self._facts.colour, 0),
            index=self.index,
            pts=self.pts,
            time_base=self.time_base,
            duration=self.duration,
            damaged=self.damaged,
        )
        changed._changed = True
        return changed

    def moved(self, *, index: int, pts: int, time_base: Fraction, duration: int = 0) -> Frame:
        """The same image at another time (for `--fps`); the pixels are shared."""
        twin = Frame(
            self._raw,
            self._facts,
            index=index,
            pts=pts,
            time_base=time_base,
            duration=duration,
            damaged=self.damaged,
        )
        twin._rgb, twin._before, twin._box = self._rgb, self._before, self._box
        twin._changed = self._changed
        return twin

    def image(self, pixel_format: str, colour: ColourFacts) -> av.VideoFrame:
        """The upright frame with this time stamp, for an encoder that takes `pixel_format` tagged `colour`.

        An unchanged frame of the right format passes as it came out of the decoder.
        """
        own = self._facts.colour
        if own.hdr or (own.assumed_matrix, own.is_full) != (colour.assumed_matrix, colour.is_full):
            frame = from_rgb(self.rgb(), pixel_format, colour)
        elif self._box is None:
            frame = self._upright(pixel_format)
        else:
            assert self._before is not None
            upright = self._upright(plain_name(pixel_format))
            frame = twin_frame(upright) if upright is self._raw else upright
            write_changes(frame, self._before, self.rgb(), self._box, own)
            frame = convert_format(frame, pixel_format, own)
        return self._stamp(frame, colour)

    def _upright(self, pixel_format: str) -> av.VideoFrame:
        frame = turn_upright(self._raw, self._facts.rotation_deg, self._facts.colour)
        if frame.format.name == pixel_format:
            return frame
        if frame.format.name.replace("yuvj", "yuv") == pixel_format:
            return copy_frame(frame, pixel_format)
        return convert_format(frame, pixel_format, self._facts.colour)

    def _stamp(self, frame: av.VideoFrame, colour: ColourFacts) -> av.VideoFrame:
        frame.pts, frame.time_base = self.pts, self.time_base
        frame.dts = None
        # A decoded frame remembers which type it had; an encoder would take that as an order.
        frame.pict_type = 0
        frame.colorspace = colour.matrix
        frame.color_range = 0 if colour.full_range is None else 2 if colour.full_range else 1
        return frame


def luma_thumbnail(frame: av.VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width) uint8 brightness of a decoded frame, area-averaged."""
    name = frame.format.name
    if name.startswith(("yuv", "gray", "nv")):
        plane: NDArray[Any] = planes_of(frame)[0] if not name.startswith("nv") else _first_plane(frame)
        shift = max(frame.format.components[0].bits - 8, 0)
        # Eight rows to a block say as much as all of them, for a third of the time.
        plane = plane[:: max(plane.shape[0] // (8 * height), 1)]
        small = cv2.resize(np.ascontiguousarray(plane), (width, height), interpolation=cv2.INTER_AREA)
        return (cast(Any, small) >> shift).astype(np.uint8) if shift else np.asarray(small, dtype=np.uint8)
    gray = reformat(frame, width=width, height=height, format="gray")
    return np.ascontiguousarray(planes_of(gray)[0])


def _first_plane(frame: av.VideoFrame) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(cast(Any, plane)), dtype=np.uint8)
    return rows.reshape(plane.height, plane.line_size)[:, : plane.width]


def _union(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
