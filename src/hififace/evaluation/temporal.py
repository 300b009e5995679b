"""Flicker as numbers: how much of a swapped video changes from frame to frame that did not change in the video.

Two measures, both taken where the video itself shows a face, track by track:

- *Similarity*: the cosine s_t between the face of frame t and the source (or, without a source, the track's own mean
  face). Its variance over the track holds two things: slow changes, since people turn and come nearer, and flicker.
  Half the mean square of successive differences, q² = mean((s_t+1 - s_t)²) / 2 (von Neumann 1941, "Distribution of the
  ratio of the mean square successive difference to the variance"), holds the flicker alone: it equals the variance
  where frames have nothing to do with each other, and 0 where they change slowly.
- *Warping error*: E = Σ M |V_t - W(V_t-1)|² / Σ M, with W warping the frame before onto this one by the optical flow of
  the video, and M 1 where that flow can be trusted (Lai et al. 2018, "Learning Blind Video Temporal Consistency"). Flow
  and M come from the target video for all videos, so every video is asked the same: does the generated face move as
  the video moves? Lai et al. use FlowNet2 and whole frames; here it is OpenCV's DIS flow (Kroeger et al. 2016) on a
  part of at most 256 px around the face, and M is the test of forward against backward flow of Sundaram et al. (2010,
  "Dense point trajectories by GPU-accelerated large displacement optical flow"). Root mean square, levels of 255.

The video's own numbers are the floor: its grain, and what the flow cannot follow. `video.py` takes them whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.types import RGBImage


@dataclass(frozen=True, slots=True)
class TrackFlicker:
    """One person of one video."""

    index: int
    num_frames: int
    similarity: float
    """Mean cosine to the source, or to the track's own mean face."""
    similarity_variance: float
    similarity_flicker: float
    """Half the mean square successive difference."""
    warping_error: float | None
    """Root mean square, levels of 255; None where no two neighbouring frames could be compared."""
    distance: float | None = None
    """Mean distance to the source by dlib's recogniser; None where it was not asked."""
    same_share: float | None = None
    """Share of the frames in which it says that they show the source."""


@dataclass(frozen=True, slots=True)
class VideoFlicker:
    """One video: the target itself, or a result."""

    video: Path
    tracks: tuple[TrackFlicker, ...]

    @property
    def num_frames(self) -> int:
        """Of all tracks together."""
        return sum(track.num_frames for track in self.tracks)

    @property
    def similarity(self) -> float | None:
        """Mean over tracks, weighted by frames, as the others; None for a video without faces."""
        return _mean([(t.similarity, t.num_frames) for t in self.tracks])

    @property
    def similarity_variance(self) -> float | None:
        """See `TrackFlicker`."""
        return _mean([(t.similarity_variance, t.num_frames) for t in self.tracks])

    @property
    def similarity_flicker(self) -> float | None:
        """See `TrackFlicker`."""
        return _mean([(t.similarity_flicker, t.num_frames) for t in self.tracks])

    @property
    def distance(self) -> float | None:
        """See `TrackFlicker`."""
        return _mean([(t.distance, t.num_frames) for t in self.tracks if t.distance is not None])

    @property
    def same_share(self) -> float | None:
        """See `TrackFlicker`."""
        return _mean([(t.same_share, t.num_frames) for t in self.tracks if t.same_share is not None])

    @property
    def warping_error(self) -> float | None:
        """Root of the mean square; levels of 255."""
        squares = [(t.warping_error**2, t.num_frames) for t in self.tracks if t.warping_error is not None]
        mean = _mean(squares)
        return None if mean is None else float(np.sqrt(mean))


def _mean(pairs: Sequence[tuple[float, int]]) -> float | None:
    if not pairs:
        return None
    values, weights = np.array(pairs, np.float64).T
    return float(np.average(values, weights=weights))


def successive_variance(values: Sequence[float]) -> float:
    """Half the mean square of successive differences; 0 for fewer than two values."""
    return float(np.mean(np.diff(values) ** 2) / 2) if len(values) > 1 else 0.0


def trusted(backward: NDArray[np.floating], forward: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where the flow from this frame to the one before leads to a place whose own flow leads back.

    |b + f|² < 0.01 (|b|² + |f|²) + 0.5, with f read where b leads (Sundaram et al. 2010).

    Args:
        backward: (h, w, 2) from this frame to the one before, pixels.
        forward: (h, w, 2) from the one before to this one.
    """
    there = _warped(forward.astype(np.float32), backward)
    apart = ((backward + there) ** 2).sum(axis=2)
    lengths = (backward**2).sum(axis=2) + (there**2).sum(axis=2)
    height, width = backward.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    to_x, to_y = x + backward[..., 0], y + backward[..., 1]
    inside = (to_x >= 0) & (to_x <= width - 1) & (to_y >= 0) & (to_y <= height - 1)
    return np.asarray(inside & (apart < 0.01 * lengths + 0.5))


def warping_error(
    before: NDArray[np.floating] | RGBImage,
    now: NDArray[np.floating] | RGBImage,
    backward: NDArray[np.floating],
    where: NDArray[np.bool_],
) -> float:
    """Mean square difference between a frame and the one before warped onto it, where the flow is trusted.

    Args:
        before: (h, w, 3).
        now: (h, w, 3), in the same units.
        backward: (h, w, 2) flow from `now` to `before`, pixels.
        where: (h, w) at least one of them true.
    """
    difference = now.astype(np.float64) - _warped(before.astype(np.float32), backward)
    return float((difference[where] ** 2).mean())


def _warped(image: NDArray[np.floating], flow: NDArray[np.floating]) -> NDArray[np.float64]:
    """(h, w, C) read where the flow (h, w, 2) leads."""
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    places = (x + flow[..., 0]).astype(np.float32), (y + flow[..., 1]).astype(np.float32)
    read = cv2.remap(image, *places, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read, np.float64)
