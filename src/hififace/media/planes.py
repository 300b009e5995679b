"""The planes of a frame as arrays: turning a video upright, changing a part without touching the rest."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias, cast

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from hififace.media.video_colour import ColourFacts, convert_format, from_rgb, to_rgb
from hififace.types import RGBImage

Plane: TypeAlias = NDArray[Any]
"""(h, w) uint8 or uint16 view of one component of a frame; writing to it writes to the frame."""

Box: TypeAlias = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, x1 and y1 exclusive."""

_MARGIN_PX = 4
"""Pixels around a change that are converted with it, so that chroma filters see real neighbours."""


def is_planar(pixel_format: str) -> bool:
    """Whether every component of the format lies in a plane of its own with 8 or 16 bits per sample."""
    return pixel_format.startswith(("yuv4", "yuvj4", "yuva4", "gray", "gbrp")) and (
        pixel_format.endswith(("p", "le", "gray")) and not pixel_format.endswith(("f16le", "f32le"))
    )


def plain_name(pixel_format: str) -> str:
    """The planar format that holds everything a stored format holds; itself for most videos."""
    renamed = pixel_format.replace("yuvj", "yuv")
    if is_planar(renamed):
        return renamed
    known = {
        "nv12": "yuv420p",
        "nv21": "yuv420p",
        "nv16": "yuv422p",
        "nv24": "yuv444p",
        "p010le": "yuv420p10le",
        "p210le": "yuv422p10le",
        "p016le": "yuv420p16le",
        "yuyv422": "yuv422p",
        "uyvy422": "yuv422p",
        "yvyu422": "yuv422p",
        "y210le": "yuv422p10le",
    }
    return known.get(renamed, "gbrp10le" if "48" in renamed or "64" in renamed else "gbrp")


def has_alpha(pixel_format: str) -> bool:
    """Whether a format holds transparency."""
    return pixel_format.startswith(("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya8", "ya16"))


def bit_depth(pixel_format: str) -> int:
    """Bits per component, e.g. 10 for yuv420p10le."""
    return max(component.bits for component in av.VideoFormat(pixel_format).components)


def planes_of(frame: av.VideoFrame) -> list[Plane]:
    """Views of all planes of a planar frame, without the padding at the end of each line."""
    dtype = np.uint8 if bit_depth(frame.format.name) <= 8 else np.uint16
    views = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(cast(Any, plane)), dtype=np.uint8).reshape(
            plane.height, plane.line_size
        )
        views.append(rows.view(dtype)[:, : plane.width])
    return views


def copy_frame(frame: av.VideoFrame, pixel_format: str | None = None) -> av.VideoFrame:
    """A frame with planes of its own; `pixel_format` may only rename (yuvj420p to yuv420p)."""
    copy = av.VideoFrame(frame.width, frame.height, pixel_format or frame.format.name)
    for new, old in zip(planes_of(copy), planes_of(frame), strict=True):
        new[...] = old
    return copy


def twin_frame(frame: av.VideoFrame) -> av.VideoFrame:
    """A frame with planes of its own and everything that travels with it, such as captions."""
    if frame.side_data.get("A53_CC") is None:
        return copy_frame(frame)
    # PyAV's own frames carry no captions, and only FFmpeg's filters make one frame of another.
    graph = av.filter.Graph()
    base = frame.time_base or Fraction(1, 1000)
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base)
    graph.link_nodes(source, graph.add("copy"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    twin = graph.vpull()
    assert isinstance(twin, av.VideoFrame)
    return twin


def upright_format(pixel_format: str, rotation_deg: int) -> str:
    """The planar format of the upright image: 4:2:2 on its side becomes 4:4:4, so that nothing is lost."""
    plain = plain_name(pixel_format)
    if rotation_deg % 180 == 0:
        return plain
    for narrow in ("422p", "440p", "411p", "410p"):
        plain = plain.replace(narrow, "444p")
    return plain


def turn_upright(frame: av.VideoFrame, rotation_deg: int, facts: ColourFacts) -> av.VideoFrame:
    """Turn a stored frame counterclockwise by 0, 90, 180 or 270 degrees, plane by plane, exactly."""
    wanted = upright_format(frame.format.name, rotation_deg)
    if rotation_deg % 360 == 0 and wanted == frame.format.name:
        return frame
    if frame.format.name.replace("yuvj", "yuv") != wanted:
        frame = convert_format(frame, wanted, facts)
    quarters = rotation_deg // 90 % 4
    width, height = (frame.height, frame.width) if quarters % 2 else (frame.width, frame.height)
    turned = av.VideoFrame(width, height, wanted)
    for new, old in zip(planes_of(turned), planes_of(frame), strict=True):
        new[...] = np.rot90(old, quarters)
    return turned


def turn_image(image: RGBImage, rotation_deg: int) -> RGBImage:
    """The same turn for an RGB image."""
    quarters = rotation_deg // 90 % 4
    return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image


def changed_box(before: RGBImage, after: RGBImage, within: Box | None = None) -> Box | None:
    """The smallest box that holds every pixel that differs, or None if the two are equal.

    Args:
        before: (H, W, 3).
        after: (H, W, 3).
        within: where to compare; None compares everything.
    """
    height, width = before.shape[:2]
    x0, y0, x1, y1 = within or (0, 0, width, height)
    differs = before[y0:y1, x0:x1] != after[y0:y1, x0:x1]
    rows = np.flatnonzero(differs.any(axis=(1, 2)))
    if rows.size == 0:
        return None
    # One axis after the other: over two that do not lie side by side, NumPy takes a hundred times as long.
    columns = np.flatnonzero(differs[rows[0] : rows[-1] + 1].any(axis=0).any(axis=1))
    return x0 + int(columns[0]), y0 + int(rows[0]), x0 + int(columns[-1]) + 1, y0 + int(rows[-1]) + 1


def write_changes(
    frame: av.VideoFrame, before: RGBImage, after: RGBImage, box: Box, facts: ColourFacts
) -> None:
    """Write the pixels of `after` that differ from `before` into the planes of `frame`, inside `box`.

    `before` must be what `frame` looks like. Samples under unchanged pixels keep their exact value: no second
    rounding, no second chroma filter, all ten bits. Under changed pixels of a video with more than 8 bits the
    little that an 8-bit image cannot say of the original (at most one 8-bit level) is added back, which
    avoids banding where the change fades out.

    Args:
        frame: planar, changed in place.
        before: (H, W, 3) uint8, the frame's RGB.
        after: (H, W, 3) uint8, the image wanted.
        box: where they may differ.
        facts: what the frame's numbers mean.
    """
    name = frame.format.name
    width, height = frame.width, frame.height
    x0 = max(box[0] - _MARGIN_PX, 0) & ~3
    y0 = max(box[1] - _MARGIN_PX, 0) & ~3
    # Odd ends only where the image itself ends: inside, whole chroma samples.
    x1 = min((box[2] + _MARGIN_PX + 3) & ~3, width)
    y1 = min((box[3] + _MARGIN_PX + 3) & ~3, height)
    old_rgb, new_rgb = before[y0:y1, x0:x1], after[y0:y1, x0:x1]
    converted = planes_of(from_rgb(new_rgb, name, facts))
    deep = bit_depth(name) > 8
    reference = planes_of(from_rgb(old_rgb, name, facts)) if deep else converted
    differs = old_rgb != new_rgb
    changed = differs[..., 0] | differs[..., 1] | differs[..., 2]  # ten times as quick as any(axis=2)
    level = 1 << (bit_depth(name) - 8)
    for index, plane in enumerate(planes_of(frame)[:3]):
        step_x, step_y = plane_steps(frame, plane)
        where = _any_block(changed, step_x, step_y)
        view = plane[
            y0 // step_y : y0 // step_y + where.shape[0], x0 // step_x : x0 // step_x + where.shape[1]
        ]
        new = converted[index]
        if deep and step_x == step_y == 1:
            # Halved chroma stays out: there the rest would be the neighbours' colour, not a fine step.
            rest = np.clip(view.astype(np.int32) - reference[index], -level, level)
            top = (1 << bit_depth(name)) - 1
            new = np.clip(new.astype(np.int32) + rest, 0, top).astype(view.dtype)
        np.copyto(view, new, where=where)


def plane_steps(frame: av.VideoFrame, plane: Plane) -> tuple[int, int]:
    """How many pixels one sample of a frame's plane spans, across and down."""

    def step(pixels: int, samples: int) -> int:
        return next(s for s in (1, 2, 4) if -(-pixels // s) == samples)

    return step(frame.width, plane.shape[1]), step(frame.height, plane.shape[0])


def _any_block(changed: NDArray[np.bool_], step_x: int, step_y: int) -> NDArray[np.bool_]:
    """(h, w) per pixel to (ceil(h/step_y), ceil(w/step_x)) per sample: whether any pixel under it changed."""
    if step_x == step_y == 1:
        return changed
    height, width = changed.shape
    padded = np.pad(changed, ((0, -height % step_y), (0, -width % step_x)))
    samples = [padded[y::step_y, x::step_x] for y in range(step_y) for x in range(step_x)]
    return np.asarray(np.logical_or.reduce(samples))


def video_rgb(frame: av.VideoFrame, rotation_deg: int, facts: ColourFacts) -> RGBImage:
    """A stored frame as an upright (H, W, 3) uint8 RGB image."""
    return turn_image(to_rgb(frame, facts), rotation_deg)
