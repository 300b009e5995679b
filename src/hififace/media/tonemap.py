"""HDR to SDR, on request only: the networks see and generate SDR images.

The way is the plain one: undo the curve (PQ: SMPTE ST 2084; HLG: ARIB STD-B67 with the system gamma of a
1000 cd/m2 display, ITU-R BT.2100), divide by reference white (203 cd/m2, ITU-R BT.2408), bend what is
brighter than three quarters of white into the last quarter, go from the BT.2020 primaries to BT.709 and apply
the inverse of BT.1886 (gamma 2.4). The bend works on the brightest of the three components and scales all
three alike, so hues stay.
"""

from __future__ import annotations

from functools import lru_cache

import av
import numpy as np

from hififace.errors import VideoError
from hififace.media.video_colour import ColourFacts, HdrKind, Primaries, to_rgb48
from hififace.types import FloatArray, RGBImage

REFERENCE_WHITE_NITS = 203.0
"""What a diffuse white measures in HDR programmes, cd/m2 (BT.2408)."""

KNEE = 0.75
"""Share of SDR white up to which light is kept as it is."""

PEAK_NITS = 1000.0
"""Light that becomes SDR white; brighter is clipped."""

# Linear BT.2020 RGB -> linear BT.709 RGB (BT.2087, rounded to four digits there).
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


def refuse_hdr(kind: HdrKind) -> VideoError:
    """The sentence for an HDR video without tone mapping."""
    name = {"pq": "PQ (HDR10 or Dolby Vision)", "hlg": "HLG"}[kind]
    return VideoError(
        f"The video is in high dynamic range, {name}, and faces are swapped in standard dynamic range. "
        "Allow tone mapping (tone_map=True; leave out --no-tone-map) to get a BT.709 video, or convert the video first."
    )


@lru_cache(maxsize=2)
def _light_table(kind: HdrKind) -> FloatArray:
    """(65536,) linear light for each code: PQ in cd/m2; HLG scene light 0..1."""
    code = np.arange(65536, dtype=np.float64) / 65535.0
    if kind == "pq":
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = code ** (1 / m2)
        light = 10000.0 * (np.maximum(power - c1, 0.0) / (c2 - c3 * power)) ** (1 / m1)
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3.0, (np.exp((code - c) / a) + b) / 12.0)
    return light.astype(np.float32)


@lru_cache(maxsize=1)
def _sdr_table() -> RGBImage:
    """(4097,) uint8 code for linear light k / 4096: inverse of BT.1886."""
    return np.rint(255.0 * (np.arange(4097) / 4096.0) ** (1 / 2.4)).astype(np.uint8)


def bend(light: FloatArray) -> FloatArray:
    """Light relative to reference white, 0..peak, to 0..1: straight up to the knee, then a smooth shoulder.

    The shoulder is t / (1 + k t), Reinhard's form, with slope 1 at the knee and value 1 at the peak.
    """
    peak = PEAK_NITS / REFERENCE_WHITE_NITS
    room = 1.0 - KNEE
    span = peak - KNEE
    # y(t) = t / (1 + t * k): slope 1 at t = 0; k is chosen so that y(span) = room.
    k = 1.0 / room - 1.0 / span
    t = np.clip(light - KNEE, 0.0, span)
    return np.where(light <= KNEE, light, KNEE + t / (1.0 + t * k)).astype(np.float32)


def tone_map(frame: av.VideoFrame, facts: ColourFacts) -> RGBImage:
    """A PQ or HLG frame as (H, W, 3) uint8 SDR RGB (BT.709, gamma 2.4), in stored orientation."""
    kind = facts.hdr
    if kind is None:
        raise ValueError("tone_map needs a frame tagged PQ or HLG")
    light = _light_table(kind)[to_rgb48(frame, facts)]
    if kind == "hlg":
        # BT.2100 OOTF: display light = 1000 * Y^(gamma-1) * scene light, gamma 1.2 at 1000 cd/m2.
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
        light *= (1000.0 * np.maximum(luminance, 1e-6) ** 0.2)[..., None]
    light *= np.float32(1.0 / REFERENCE_WHITE_NITS)
    brightest = np.maximum(light.max(axis=2), 1e-6)
    light *= (bend(brightest) / brightest)[..., None]
    if facts.primaries in (Primaries.BT2020, 2):
        light = light @ _BT2020_TO_BT709.T
    codes = np.rint(np.clip(light, 0.0, 1.0) * 4096.0).astype(np.int32)
    return np.asarray(_sdr_table()[codes])
