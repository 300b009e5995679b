"""Pixel arithmetic that everyone shares: ranges, linear light, and pixels as text. numpy only."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hififace.types import FloatArray, RGBImage


def to_float(image: RGBImage) -> FloatArray:
    """uint8 0..255 to float32 0..1, same shape."""
    return image.astype(np.float32) * np.float32(1.0 / 255.0)


def to_uint8(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Float 0..1 to uint8 0..255, rounded to nearest and clamped, same shape."""
    levels: NDArray[np.uint8] = np.clip(np.rint(image * 255.0), 0.0, 255.0).astype(np.uint8)
    return levels


def to_nchw(images: NDArray[np.uint8]) -> FloatArray:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32 0..1, contiguous."""
    return np.ascontiguousarray(to_float(images).transpose(0, 3, 1, 2))


def to_nhwc(images: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(B, 3, H, W) float 0..1 to (B, H, W, 3) uint8, contiguous."""
    return np.ascontiguousarray(to_uint8(images.transpose(0, 2, 3, 1)))


def decibels(squared_error: float, *, peak: float = 1.0, ceiling: float = 120.0) -> float:
    """Peak signal-to-noise ratio of a mean squared error: 10 log10(peak² / error), in dB.

    Args:
        squared_error: mean squared difference.
        peak: largest value of a pixel: 1, or 255 for levels.
        ceiling: of equal images, whose ratio is infinite, and of nearly equal ones.
    """
    return min(ceiling, 10.0 * math.log10(peak**2 / squared_error)) if squared_error > 0 else ceiling


def srgb_to_linear(image: NDArray[np.floating]) -> FloatArray:
    """Encoded sRGB 0..1 to linear light 0..1 (IEC 61966-2-1)."""
    x = np.asarray(image, dtype=np.float32)
    return np.where(x <= 0.04045, x / 12.92, ((np.maximum(x, 0.0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(image: NDArray[np.floating]) -> FloatArray:
    """Linear light 0..1 to encoded sRGB 0..1 (IEC 61966-2-1)."""
    x = np.asarray(image, dtype=np.float32)
    return np.where(x <= 0.0031308, x * 12.92, 1.055 * np.maximum(x, 0.0) ** (1.0 / 2.4) - 0.055).astype(
        np.float32
    )


def packed(pixels: NDArray[Any]) -> str:
    """An array's bytes as text that JSON can hold; `unpacked` needs its type and shape beside it."""
    return base64.b64encode(zlib.compress(pixels.tobytes())).decode()


def unpacked(text: str, kind: DTypeLike, shape: Sequence[int]) -> NDArray[Any]:
    """What `packed` packed, not to be written into."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=kind).reshape(shape)
