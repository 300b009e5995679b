"""What the numbers of a video mean as colours, and the exact way from YUV to RGB and back.

A video says (or forgets to say) three things about its numbers: the matrix between YUV and RGB, the range
(limited 16..235 or full 0..255) and the curve and primaries of the light behind them. The first two are
needed to make RGB; all of them are copied to the result, *as they were written*: a video without tags stays
without tags, because what a player guesses for the original it must also guess for the result.

Numbers are those of ITU-T H.273, which every container and codec shares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray

from hififace.types import RGBImage

UNSPECIFIED = 2
"""H.273: "the video does not say", for matrix, primaries and transfer alike."""

HdrKind = Literal["pq", "hlg"]


class Matrix(IntEnum):
    """H.273 matrix coefficients that occur in videos."""

    RGB = 0
    BT709 = 1
    FCC = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    BT2020 = 9


class Primaries(IntEnum):
    """H.273 colour primaries that we name."""

    BT709 = 1
    SMPTE170M = 6
    BT2020 = 9


class Transfer(IntEnum):
    """H.273 transfer characteristics that we name."""

    BT709 = 1
    SMPTE170M = 6
    PQ = 16
    HLG = 18


_SWSCALE_FULL = 2
_SWSCALE_LIMITED = 1
# H.273 matrix -> swscale's own numbers (SWS_CS_*). Only the matrix matters here, so 470BG and 170M are one.
_SWSCALE_MATRIX = {
    Matrix.BT709: 1,
    Matrix.FCC: 4,
    Matrix.BT470BG: 5,
    Matrix.SMPTE170M: 5,
    Matrix.SMPTE240M: 7,
    Matrix.BT2020: 9,
}


_LUMA_SHARES = {
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.FCC: (0.30, 0.11),
    Matrix.BT470BG: (0.299, 0.114),
    Matrix.SMPTE170M: (0.299, 0.114),
    Matrix.SMPTE240M: (0.212, 0.087),
    Matrix.BT2020: (0.2627, 0.0593),
}
"""Shares of red and blue in brightness (H.273, table 4)."""


@dataclass(frozen=True, slots=True)
class ColourFacts:
    """The colour tags of a video, as written (H.273 numbers), and what to assume where nothing is written."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    full_range: bool | None = None
    """None: not written; limited is then assumed for YUV, as every player does."""
    assumed_matrix: int = Matrix.BT709
    """The matrix really used: `matrix` where it is written, else by the image's size."""

    @property
    def is_full(self) -> bool:
        """Whether the numbers use the full range."""
        return bool(self.full_range)

    @property
    def is_rgb(self) -> bool:
        """Whether the numbers are red, green and blue themselves."""
        return self.assumed_matrix == Matrix.RGB

    @property
    def hdr(self) -> HdrKind | None:
        """The kind of high dynamic range, if any: PQ (SMPTE ST 2084) or HLG (ARIB STD-B67)."""
        if self.transfer == Transfer.PQ:
            return "pq"
        return "hlg" if self.transfer == Transfer.HLG else None

    def describe(self) -> str:
        """Short words for reports, e.g. "BT709, limited range"."""
        names = {int(m): m.name for m in Matrix}
        matrix = names.get(self.assumed_matrix, str(self.assumed_matrix))
        guessed = " (assumed)" if self.matrix != self.assumed_matrix else ""
        return f"{matrix}{guessed}, {'full' if self.is_full else 'limited'} range"


SDR_BT709 = ColourFacts(Matrix.BT709, Primaries.BT709, Transfer.BT709, False, Matrix.BT709)
"""What a tone-mapped video is tagged with."""


def colour_facts(frame: av.VideoFrame, context: av.VideoCodecContext | None = None) -> ColourFacts:
    """Read the tags of a decoded frame, or of its decoder where the frame is silent.

    Without a matrix tag, images of at least 1280 x 577 pixels are taken for BT.709 and smaller ones for
    BT.601: the rule that the common players follow.
    """

    def written(name: str) -> int:
        value = int(getattr(frame, name, UNSPECIFIED))
        if value == UNSPECIFIED and context is not None:
            value = int(getattr(context, name))
        return value

    name = frame.format.name
    range_tag = int(frame.color_range) or (int(context.color_range) if context is not None else 0)
    full = True if name.startswith("yuvj") else {1: False, 2: True}.get(range_tag)
    matrix = written("colorspace")
    if name.startswith(("gbr", "rgb", "bgr", "0rgb", "0bgr", "argb", "abgr", "pal8")):
        matrix = assumed = int(Matrix.RGB)
        full = True
    elif matrix in _SWSCALE_MATRIX:
        assumed = matrix
    else:
        wide = frame.width >= 1280 or frame.height > 576
        assumed = int(Matrix.BT709 if wide else Matrix.SMPTE170M)
    return ColourFacts(matrix, written("color_primaries"), written("color_trc"), full, assumed)


def reformat(frame: av.VideoFrame, **arguments: Any) -> av.VideoFrame:
    """`VideoFrame.reformat`, on one thread.

    FFmpeg 8's threaded conversion to more than 8 bits now and then leaves the first row of a slice unwritten
    (measured: 17 of 600 conversions of a 50 x 38 image), and threads are better spent on frames.
    """
    return frame.reformat(**arguments, threads=1)


def _swscale_range(facts: ColourFacts) -> int:
    return _SWSCALE_FULL if facts.is_full else _SWSCALE_LIMITED


def _with_matrix(frame: av.VideoFrame, facts: ColourFacts) -> dict[str, int]:
    """The arguments that name the matrix of a conversion; it is the same on both sides, as only RGB has none.

    PyAV 17 takes BT.2020 for BT.601 when it is an argument (23 levels wrong), and reads it rightly from the frame's
    tag, as later ones do: so it is written there, where a video that uses it has it already.
    """
    if facts.assumed_matrix == Matrix.BT2020:
        frame.colorspace = int(Matrix.BT2020)
        return {}
    matrix = _SWSCALE_MATRIX.get(Matrix(facts.assumed_matrix), 1) if facts.assumed_matrix else 1
    return {"src_colorspace": matrix, "dst_colorspace": matrix}


def to_rgb(frame: av.VideoFrame, facts: ColourFacts, size: tuple[int, int] | None = None) -> RGBImage:
    """A decoded frame as (H, W, 3) uint8 RGB, full range, in the orientation in which it is stored.

    The result keeps the video's own curve and primaries: it is "the video's RGB", which the way back undoes.

    Args:
        frame: as it left the decoder.
        facts: what its numbers mean.
        size: width and height to average down to on the way; None keeps the frame's own.
    """
    # "AREA" is also the quickest way to shrink: 2.1 ms from 1080p to 360p, against 4.5 ms for the whole frame.
    shrunk = {} if size is None else {"width": size[0], "height": size[1], "interpolation": "AREA"}
    rgb = reformat(
        frame,
        format="rgb24",
        src_color_range=_swscale_range(facts),
        dst_color_range=_SWSCALE_FULL,
        **_with_matrix(frame, facts),
        **shrunk,
    )
    return np.asarray(rgb.to_ndarray(), dtype=np.uint8)


def to_rgb48(frame: av.VideoFrame, facts: ColourFacts) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """A decoded frame as (H, W, 3) uint16 RGB, full range 0..65535: for tone mapping."""
    wide = reformat(
        frame,
        format="rgb48le",
        src_color_range=_swscale_range(facts),
        dst_color_range=_SWSCALE_FULL,
        **_with_matrix(frame, facts),
    )
    return np.asarray(wide.to_ndarray(), dtype=np.uint16)


def from_rgb(image: RGBImage, pixel_format: str, facts: ColourFacts) -> av.VideoFrame:
    """(H, W, 3) uint8 RGB as a frame of `pixel_format` whose numbers mean what `facts` says."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return reformat(
        frame,
        format=pixel_format,
        src_color_range=_SWSCALE_FULL,
        dst_color_range=_swscale_range(facts),
        **_with_matrix(frame, facts),
    )


def convert_format(frame: av.VideoFrame, pixel_format: str, facts: ColourFacts) -> av.VideoFrame:
    """The same image in another pixel format (subsampling, bit depth), colours unchanged.

    The "yuvj" names of old mean "yuv, full range": they are renamed, their numbers stay.
    """
    if frame.format.name == pixel_format:
        return frame
    number_range = _swscale_range(facts)
    return reformat(
        frame,
        format=pixel_format,
        src_color_range=number_range,
        dst_color_range=number_range,
        **_with_matrix(frame, facts),
    )


def plane_matrix(facts: ColourFacts, bits: int, pixel_format: str) -> NDArray[np.float64]:
    """What the planes of a planar frame hold, as a matrix over (red, green, blue, 1), full range 0 to 255.

    Args:
        facts: what its numbers mean.
        bits: per sample.
        pixel_format: tells which planes there are; transparency is left out.

    Returns:
        (P, 4): a row for each plane, Y, U and V, or G, B and R, or Y alone.
    """
    if facts.is_rgb:
        shares = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
        return shares * (((1 << bits) - 1) / 255.0)
    red, blue = _LUMA_SHARES.get(Matrix(facts.assumed_matrix), _LUMA_SHARES[Matrix.BT709])
    luma = np.array([red, 1.0 - red - blue, blue])
    differences = [
        (np.array([0.0, 0.0, 1.0]) - luma) / (2.0 * (1.0 - blue)),
        (np.array([1.0, 0.0, 0.0]) - luma) / (2.0 * (1.0 - red)),
    ]
    fine = 1 << (bits - 8)
    luma_span, chroma_span, black = (
        ((1 << bits) - 1,) * 2 + (0,)
        if facts.is_full
        else (
            219 * fine,
            224 * fine,
            16 * fine,
        )
    )
    rows = [np.append(luma * (luma_span / 255.0), black)]
    if not pixel_format.startswith("gray"):
        rows += [np.append(one * (chroma_span / 255.0), 128 * fine) for one in differences]
    return np.stack(rows)


def result_colour(facts: ColourFacts, pixel_format: str) -> ColourFacts:
    """What a result in `pixel_format` is tagged with: the video's own facts wherever they can stay.

    They cannot after tone mapping, nor when an RGB video is encoded as YUV (or the other way round).
    """
    is_rgb = pixel_format.startswith(("gbr", "rgb", "bgr"))
    if facts.hdr or is_rgb != (facts.assumed_matrix == Matrix.RGB):
        return replace(SDR_BT709, matrix=0, assumed_matrix=0, full_range=True) if is_rgb else SDR_BT709
    return facts
